"""URLs of Redis."""

from __future__ import annotations

import pytest

from vestibule.core.redis import Address, Redis, is_prefix, parse
from vestibule.model import Secret

CACHE = (Address("cache.example.com", 6379),)
SENTINELS = (Address("10.0.0.1", 26379), Address("10.0.0.2", 26380))
NODES = (Address("n1", 7000), Address("::1", 7001), Address("n3", 6379))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://cache.example.com", Redis(kind="single", hosts=CACHE)),
        ("redis://cache.example.com:6379/", Redis(kind="single", hosts=CACHE)),
        (
            "redis://app:s3cret@cache.example.com:6379/3",
            Redis(kind="single", hosts=CACHE, user="app", password=Secret("s3cret"), number=3),
        ),
        (
            "redis://:p%40%2F%3A%25+@cache.example.com",
            Redis(kind="single", hosts=CACHE, password=Secret("p@/:%+")),
        ),
        (
            "rediss://a%40b@cache.example.com?ca=ca%2Epem&cert=me.pem&key=me.key",
            Redis(
                kind="single", hosts=CACHE, user="a@b", is_tls=True, ca="ca.pem", cert="me.pem", key="me.key"
            ),
        ),
        (
            "redis+sentinel://10.0.0.1,10.0.0.2:26380/main",
            Redis(kind="sentinel", hosts=SENTINELS, primary="main"),
        ),
        (
            "rediss+sentinel://u:p@10.0.0.1,10.0.0.2:26380/main/2?sentinel_user=s&sentinel_password=q%26+",
            Redis(
                kind="sentinel",
                hosts=SENTINELS,
                primary="main",
                number=2,
                user="u",
                password=Secret("p"),
                sentinel_user="s",
                sentinel_password=Secret("q&+"),
                is_tls=True,
            ),
        ),
        ("redis+cluster://n1:7000,[::1]:7001,n3", Redis(kind="cluster", hosts=NODES)),
        ("rediss+cluster://n1:7000,[::1]:7001,n3/0", Redis(kind="cluster", hosts=NODES, is_tls=True)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_url_names_a_redis(url, found):
    assert parse(url) == found


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis:canary", "not of the form"),
        ("redis://", "not of the form"),
        ("redis://canary:ca nary@h", "not of the form"),
        ("redis://canary:can@ary@h", "not of the form"),
        ("redis+mesh://canary:canary@h", "not of the form"),
        ("redis://h:1:2", "not of the form"),
        ("redis://h,", "not of the form"),
        ("redis://canary:canary@h:0", "names no port"),
        ("redis://canary:canary@h:65536", "names no port"),
        ("redis://canary:canary@h1,h2", "names several servers"),
        ("redis://canary:canary@h/canary", "no number of a database"),
        ("redis+sentinel://canary:canary@h", "what the Sentinels call the primary"),
        ("redis+sentinel://canary:canary@h/main/canary", "no number of a database"),
        ("redis+cluster://canary:canary@h/1", "a Cluster has only one"),
        ("redis://canary:canary@h?db=1", "parameter `db`; known are ca, cert, key"),
        ("redis://h?sentinel_password=canary", "parameter `sentinel_password`"),
        ("rediss://canary:canary@h?ca=a&ca=b", "a parameter twice"),
        ("redis://canary:canary@h?ca=canary", "write rediss"),
        ("rediss://canary:canary@h?key=canary", "`key` without `cert`"),
    ],
)
def test_a_fault_is_told_without_what_the_url_holds(url, why):
    with pytest.raises(ValueError, match=why) as caught:
        parse(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:6379",
        "rediss://h:6379/3",
        "redis+sentinel://h1:1,h2:2/main",
        "rediss+cluster://[::1]:7000,h:7001",
    ],
)
def test_what_is_shown_of_it_holds_no_secret(url):
    scheme, _, rest = url.partition("://")
    place = parse(f"{scheme}://user:canary@{rest}")
    assert str(place) == url
    assert "canary" not in repr(place)


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("redis://localhost", True),
        ("redis://127.0.0.1", True),
        ("redis://[::1]", True),
        ("redis://10.0.0.1", False),
        ("redis://cache", False),
        ("redis+cluster://127.0.0.1,cache", False),
    ],
)
def test_only_a_redis_of_this_machine_is_loopback(url, is_loopback):
    assert parse(url).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("vestibule:", True),
        ("forum/1.x_y-", True),
        ("", False),
        (":v", False),
        ("v{1}:", False),
        ("v*", False),
        ("v ", False),
        ("ü:", False),
        ("v" * 65, False),
    ],
)
def test_a_prefix_has_nothing_in_it_that_redis_reads_otherwise(text, is_good):
    assert is_prefix(text) is is_good
