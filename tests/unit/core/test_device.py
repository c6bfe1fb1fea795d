"""`core.device`: what User-Agent names, and what is new about a sign-in."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.device import (
    NETWORKS_MAX,
    USER_AGENT_MAX,
    Family,
    KnownDevice,
    Novelty,
    digest_of,
    family_of,
    held_by,
    network_of,
    novelty,
    remembered,
    user_agent_of,
)
from vestibule.model import Device, Session

NOW = 1_800_000_000.0
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
MINE, OTHER = digest_of("mine", "u1"), digest_of("other", "u1")
AT_HOME = Device(user_agent=FIREFOX, address="192.0.2.7")
HOME = KnownDevice(
    user_id="u1",
    digest=MINE,
    family=Family("Firefox", "Linux"),
    networks=("192.0.2.0/24",),
    first_at=NOW,
    seen_at=NOW,
)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"Shop/2.1 (iOS)", "Shop/2.1 (iOS)"),
        (b"", ""),
        (b"Caf\xe9/1", "Caf\xe9/1"),
        (b"a\tb\x7fc", "abc"),
        (b"\x9b31mred", "31mred"),
        (b"x" * 60_000, "x" * USER_AGENT_MAX),
    ],
    ids=["a program", "nothing", "Latin-1", "a tab", "what steers a terminal", "much"],
)
def test_what_user_agent_says_is_kept_as_one_line_that_can_be_shown(raw, kept):
    assert user_agent_of(raw) == kept


AGENTS = [
    (FIREFOX, "Firefox on Linux"),
    (CHROME, "Chrome on Linux"),
    (CHROME.replace("Chrome/", "HeadlessChrome/"), "Chrome on Linux"),
    (
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
            "Safari/537.36 Edg/142.0.0.0"
        ),
        "Edge on Windows",
    ),
    (
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
            "Safari/537.36 OPR/124.0.0.0"
        ),
        "Opera on Windows",
    ),
    (
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
            "Safari/605.1.15"
        ),
        "Safari on macOS",
    ),
    (
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/26.0 Mobile/15E148 Safari/604.1"
        ),
        "Safari on iPhone",
    ),
    (
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "CriOS/142.0.0.0 Mobile/15E148 Safari/604.1"
        ),
        "Chrome on iPhone",
    ),
    (
        (
            "Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/145.0 "
            "Mobile/15E148 Safari/605.1.15"
        ),
        "Firefox on iPad",
    ),
    (
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 "
            "Chrome/130.0.0.0 Mobile Safari/537.36"
        ),
        "Samsung Internet on Android",
    ),
    ("Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", "Firefox on Android"),
    (
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
            "Safari/537.36"
        ),
        "Chrome on ChromeOS",
    ),
    ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer on Windows"),
    ("curl/8.14.1", "curl"),
    ("git/2.47.3", "Git"),
    ("legit/1.0", ""),
    ("Mozilla/5.0 (X11; Linux x86_64)", "browser on Linux"),
    ("Mozilla/5.0 (Linux; U) Version/4.0", "browser on Linux"),
    ("", ""),
    ("<script>alert(1)</script>", ""),
    ("\x00\xff", ""),
]


@pytest.mark.parametrize(("user_agent", "words"), AGENTS, ids=[words or repr(ua) for ua, words in AGENTS])
def test_a_browser_is_named(user_agent, words):
    assert family_of(user_agent).words == words


def test_an_update_makes_no_other_browser_of_it():
    assert family_of(FIREFOX.replace("145", "146")) == family_of(FIREFOX)


def test_what_stands_far_behind_is_not_read():
    assert family_of("x" * 1_000_000 + FIREFOX) == Family()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", ""),
        ("", ""),
        ("unix", ""),
    ],
)
def test_a_network_is_a_24_or_a_48(address, network):
    assert network_of(address) == network


def test_a_device_has_another_digest_for_every_person():
    assert len({digest_of("d", "u1"), digest_of("d", "u2"), digest_of("e", "u1")}) == 3


@pytest.mark.parametrize(
    ("known", "digest", "device", "expected"),
    [
        pytest.param((), MINE, AT_HOME, Novelty.FIRST, id="nothing is remembered"),
        pytest.param((HOME,), MINE, AT_HOME, Novelty.NONE, id="its cookie"),
        pytest.param(
            (HOME,), MINE, replace(AT_HOME, user_agent=CHROME), Novelty.NONE, id="its cookie, updated"
        ),
        pytest.param(
            (HOME,), MINE, replace(AT_HOME, address="192.0.3.7"), Novelty.PLACE, id="its cookie, away"
        ),
        pytest.param((HOME,), MINE, replace(AT_HOME, address=""), Novelty.NONE, id="its cookie, nowhere"),
        pytest.param(
            (HOME, replace(HOME, digest=OTHER, networks=("192.0.3.0/24",))),
            MINE,
            replace(AT_HOME, address="192.0.3.7"),
            Novelty.NONE,
            id="its cookie, where another one of theirs was",
        ),
        pytest.param((HOME,), OTHER, AT_HOME, Novelty.NONE, id="the same browser at the same place"),
        pytest.param(
            (HOME,), OTHER, replace(AT_HOME, user_agent=CHROME), Novelty.DEVICE, id="another browser there"
        ),
        pytest.param(
            (HOME,),
            OTHER,
            replace(AT_HOME, address="192.0.3.7"),
            Novelty.DEVICE,
            id="the same browser elsewhere",
        ),
        pytest.param(
            (replace(HOME, family=Family()),),
            OTHER,
            replace(AT_HOME, user_agent="odd"),
            Novelty.DEVICE,
            id="two that have no name",
        ),
    ],
)
def test_what_is_new_about_a_sign_in(known, digest, device, expected):
    assert novelty(known, digest, device) is expected


def test_a_device_is_remembered_with_where_it_was():
    first = remembered(None, user_id="u1", digest=MINE, device=AT_HOME, now=NOW)
    assert first == HOME
    away = remembered(
        first, user_id="u1", digest=MINE, device=replace(AT_HOME, address="2001:db8::1"), now=NOW + 5
    )
    assert away == replace(HOME, networks=("2001:db8::/48", "192.0.2.0/24"), seen_at=NOW + 5)
    back = remembered(away, user_id="u1", digest=MINE, device=AT_HOME, now=NOW + 4)
    assert back.networks == ("192.0.2.0/24", "2001:db8::/48")
    assert back.seen_at == NOW + 5


def test_only_the_latest_networks_are_remembered():
    known = None
    for n in range(NETWORKS_MAX + 5):
        device = Device(user_agent=FIREFOX, address=f"10.0.{n}.1")
        known = remembered(known, user_id="u1", digest=MINE, device=device, now=NOW)
    assert known is not None
    assert len(known.networks) == NETWORKS_MAX
    assert known.networks[0] == f"10.0.{NETWORKS_MAX + 4}.0/24"


def session(name: str, *, host: str = "auth", parent: str = "", seen_at: float = NOW) -> Session:
    return Session(
        id=name, host=host, parent_id=parent, created_at=NOW, seen_at=seen_at, expires_at=NOW + 9, idle_s=9.0
    )


def test_what_was_handed_on_is_one_device_with_the_hosts_named():
    laptop, phone = session("s1"), session("s2", seen_at=NOW + 1)
    wiki = session("c1", host="wiki", parent="s1", seen_at=NOW + 5)
    app, again = session("c2", host="app", parent="s1"), session("c3", host="app", parent="s1")
    first, second = held_by((again, wiki, phone, app, laptop))
    assert (first.session, first.hosts, first.seen_at) == (laptop, ("auth", "app", "wiki"), NOW + 5)
    assert (second.session, second.hosts, second.children) == (phone, ("auth",), ())
    assert [first.is_of(one) for one in (laptop, wiki, phone)] == [True, True, False]


def test_nobody_has_no_devices():
    assert held_by(()) == ()
