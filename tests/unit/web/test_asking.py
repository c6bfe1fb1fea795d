"""What handlers are given: parameters once or not at all, and who may act with a person's cookie."""

from __future__ import annotations

import pytest

from tests.unit.web.asgi import BASE, visit
from vestibule.errors import BadRequest, ClientError
from vestibule.web.asking import Ask, check_post, may_act, parameters_of


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(b"", {}, id="none"),
        pytest.param(b"rd=%2Fa%3Fb&x=", {"rd": "/a?b", "x": ""}, id="decoded once"),
        pytest.param(b"rd=%252Fa", {"rd": "%2Fa"}, id="not twice"),
        pytest.param(b"a=1+2", {"a": "1 2"}, id="plus"),
        pytest.param(b"a=1&b=2&a=3", {"b": "2"}, id="sent twice counts as not sent"),
        pytest.param(b"a=1&%61=3", {}, id="twice in another spelling"),
        pytest.param(b"a=1;b=2", {"a": "1;b=2"}, id="a semicolon separates nothing"),
        pytest.param(b"a=%C3%A9", {"a": "é"}, id="utf-8"),
    ],
)
def test_parameters(query: bytes, expected: dict[str, str]) -> None:
    assert parameters_of(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(b"a=%ff", id="not utf-8"),
        pytest.param(b"a=%c0%ae", id="overlong"),
        pytest.param("a=é".encode(), id="raw bytes"),
        pytest.param(b"&".join(b"a%d=1" % i for i in range(51)), id="too many"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused(query: bytes) -> None:
    with pytest.raises(BadRequest):
        parameters_of(query)


def ask(
    method: str = "GET", *, origin: str = "", site: str = "", dest: str = "", prefetch: bool = False
) -> Ask:
    return Ask(
        visit=visit(),
        method=method,
        path="/@/signout",
        client="",
        params={},
        origin=origin,
        fetch_site=site,
        fetch_dest=dest,
        is_prefetch=prefetch,
        wants_json=False,
    )


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        pytest.param(BASE, "same-origin", id="a browser's"),
        pytest.param(BASE, "", id="an older browser's"),
        pytest.param("null", "same-origin", id="hidden by a referrer policy, vouched for by the browser"),
    ],
)
def test_a_post_of_this_site_passes(origin: str, site: str) -> None:
    check_post(ask("POST", origin=origin, site=site))


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        pytest.param("", "", id="no Origin"),
        pytest.param("", "same-origin", id="no Origin, though vouched for"),
        pytest.param("null", "", id="null"),
        pytest.param("null", "cross-site", id="null of another site"),
        pytest.param("null", "none", id="null of nobody"),
        pytest.param("https://evil.example", "cross-site", id="another site"),
        pytest.param("https://evil.example", "same-origin", id="another site, whatever it says"),
        pytest.param("https://wiki.example", "same-site", id="another host of ours"),
        pytest.param("http://forum.example", "cross-site", id="another scheme"),
        pytest.param("https://forum.example:8443", "same-site", id="another port"),
        pytest.param("https://forum.example.evil.example", "", id="a longer name"),
        pytest.param("https://xforum.example", "", id="a name that ends like ours"),
        pytest.param(BASE + "/", "", id="a path"),
        pytest.param(BASE.upper(), "", id="upper case"),
    ],
)
def test_any_other_post_is_refused(origin: str, site: str) -> None:
    with pytest.raises(ClientError) as caught:
        check_post(ask("POST", origin=origin, site=site))
    assert (caught.value.code, caught.value.status) == ("cross_origin", 403)


@pytest.mark.parametrize(
    ("site", "dest", "acts"),
    [
        pytest.param("same-origin", "document", True, id="a link of this site"),
        pytest.param("same-origin", "empty", True, id="a fetch of this site"),
        pytest.param("same-origin", "", True, id="no destination told"),
        pytest.param("none", "document", True, id="typed, or a bookmark"),
        pytest.param("same-origin", "image", False, id="a picture in a post"),
        pytest.param("same-origin", "iframe", False, id="a frame"),
        pytest.param("same-origin", "script", False, id="a script"),
        pytest.param("same-site", "document", False, id="a sibling host"),
        pytest.param("cross-site", "document", False, id="another site's link"),
        pytest.param("", "", False, id="a browser that does not say"),
        pytest.param("Same-Origin", "document", False, id="another spelling"),
    ],
)
def test_which_gets_act(site: str, dest: str, acts: bool) -> None:
    assert may_act(ask(site=site, dest=dest)) is acts


def test_a_prefetch_and_head_never_act() -> None:
    assert not may_act(ask(site="same-origin", dest="document", prefetch=True))
    assert not may_act(ask("HEAD", site="same-origin", dest="document"))
