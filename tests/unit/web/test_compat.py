"""Other products' paths for people: where each leads, and the addresses that nginx pastes into them."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from tests.unit.web.asgi import ALICE, BASE, HOST, SIGNED_IN, Desk, Reply, session_of, visit
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.service.visit import Visit
from vestibule.web import signin
from vestibule.web.answers import redirect
from vestibule.web.compat import _OWN_OF_OTHERS, _OWN_OF_VOUCH, TRIES_MAX, TRIES_S, pasted

NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN = {"Origin": BASE, "Sec-Fetch-Site": "same-origin", "Accept": "text/html", **FORM}
ONE = replace(HOST, sign_in=("google",), clients={"google": "google"})
IDP = "https://idp.example/authorize?x=1"


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.signin._keys = KeyRing((Key("k1", b"1" * 32),))
    return desk


def at(product: str, session=None, *, many: bool = False, **more) -> Visit:
    """A visit by the product's edge."""
    host = replace(HOST if many else ONE, compat=(product,), **more.pop("host", {}))
    root = "/oauth2" if product == "oauth2-proxy" else ""
    return replace(visit(session, host), root=root, **more)


def begun(desk: Desk) -> str:
    """The destination of the one flow that was begun."""
    [(what, _, rd, _)] = desk.signin.calls
    assert what == "begin"
    return rd


def get(desk: Desk, target: str, by: Visit, **headers: str) -> Reply:
    return desk.call(target, headers={**NAVIGATION, **headers}, visit=by)


# -- oauth2-proxy -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "wanted", "rd"),
    [
        ("?rd=/a", (), "/a"),
        ("?rd=%2Fa%3Fb%3D1%26c%3D2", (), "/a?b=1&c=2"),
        ("?rd=https://forum.example/a?b=1&c=2", (), "/a?b=1&c=2"),
        ("?rd=/a?b=1;c=2&d=%20", (), "/a?b=1;c=2&d=%20"),
        ("?rd=/a?b=1&provider=google", (), "/a?b=1"),
        ("?rd=https://wiki.example/x", (), "https://wiki.example/x"),
        ("?rd=https://evil.example/", (), "/"),
        ("?rd=//evil.example/", ("/b",), "/b"),
        ("?rd=/\\evil.example", ("/b",), "/b"),
        ("?rd=https://forum.example.evil.test/", (), "/"),
        ("?rd=https://evil-forum.example/", (), "/"),
        ("?rd=https://forum.example@evil.test/", (), "/"),
        ("?rd=javascript:alert(1)", (), "/"),
        ("", ("/b", "/c"), "/b"),
        ("", ("https://evil.example/", "/c"), "/c"),
        ("", ("/oauth2/sign_in?rd=x",), "/"),
        ("?rd=/oauth2/start", ("/b",), "/b"),
        ("?rd=/a&rd=/b", (), "/a"),
        ("", (), "/"),
    ],
)
def test_start_leads_to_the_provider_and_then_to_the_first_that_may_be_gone_to(desk, query, wanted, rd):
    reply = get(desk, f"/oauth2/start{query}", at("oauth2-proxy", wanted=wanted))
    assert (reply.status, reply.headers["location"]) == (303, IDP)
    assert begun(desk) in (rd, rd if rd != "/" else "")


def test_the_sign_in_page_is_shown_also_where_there_is_one_provider(desk):
    for session in (None, SIGNED_IN):
        reply = get(desk, "/oauth2/sign_in?rd=/a", at("oauth2-proxy", session))
        assert reply.status == 200
        assert 'href="/oauth2/@google/signin?rd=%2Fa"' in reply.text
    assert desk.signin.calls == []


def test_where_people_sign_in_elsewhere_the_sign_in_page_leads_there_by_itself(desk, monkeypatch):
    there = "https://auth.example/oauth2/@/signin?rd=https%3A%2F%2Fforum.example%2Fa"

    async def led_away(_desk, _ask):
        return redirect(there, ("state=1; Path=/",))

    monkeypatch.setattr(signin, "choose", led_away)
    reply = get(desk, "/oauth2/sign_in?rd=/a", at("oauth2-proxy"))
    assert (reply.status, reply.headers["refresh"]) == (200, f"0; url={there}")
    assert f'href="{there}"' in reply.text
    assert reply.cookies == ["state=1; Path=/"]


def test_who_is_signed_in_is_led_straight_back(desk):
    reply = get(desk, "/oauth2/start?rd=/a", at("oauth2-proxy", SIGNED_IN))
    assert (reply.status, reply.headers["location"]) == (303, "/a")


@pytest.mark.parametrize("path", ["/oauth2/sign_in", "/oauth2/@/signin?prompt=login", "/oauth2/@/nowhere"])
def test_every_link_of_a_page_stands_where_that_edge_hands_it_on(desk, path):
    by = at("oauth2-proxy", many=True)
    reply = get(desk, path.replace("/oauth2/@", "/@"), by)
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', reply.text)
    assert any(link.startswith("/oauth2/@/static/") for link in links)
    assert [link for link in links if link.startswith("/@")] == []
    assert int(reply.headers["content-length"]) == len(reply.body)


def test_without_a_root_links_stay_as_they_are(desk):
    reply = get(desk, "/oauth2/sign_in", replace(at("oauth2-proxy", many=True), root=""))
    assert 'href="/@/static/' in reply.text


@pytest.mark.parametrize(
    ("said", "leads"),
    [
        ("/@/signedout", "/oauth2/@/signedout"),
        (f"{BASE}/@/x", f"{BASE}/oauth2/@/x"),
        ("https://x/@/y", "https://x/@/y"),
    ],
)
def test_a_redirect_of_the_gateways_own_stays_below_the_root(desk, said, leads):
    desk.signin.sign_out_location = said
    reply = get(desk, "/oauth2/sign_out", at("oauth2-proxy", SIGNED_IN))
    assert reply.headers["location"] == leads


@pytest.mark.parametrize(
    ("headers", "acts"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "image"}, False),
    ],
)
@pytest.mark.parametrize(
    ("product", "path"), [("oauth2-proxy", "/oauth2/sign_out"), ("vouch", "/logout"), ("nuon", "/logout")]
)
def test_somebody_elses_link_signs_nobody_out(desk, product, path, headers, acts):
    reply = get(desk, path, at(product, SIGNED_IN), **headers)
    assert (reply.status, bool(desk.signin.calls)) == ((303, True) if acts else (200, False))
    if not acts:
        assert f'action="{path}"' in reply.text
        posted = desk.call(
            path, "POST", headers={**OWN, "Origin": "https://evil.example"}, visit=at(product, SIGNED_IN)
        )
        assert (posted.status, desk.signin.calls) == (403, [])
        desk.call(path, "POST", headers=OWN, visit=at(product, SIGNED_IN))
        assert desk.signin.calls == [("sign_out", None, "")]


def test_sign_out_of_nobody_is_no_fault_and_no_token_gets_into_an_address(desk):
    """oauth2-proxy panics there, and writes the ID token into `rd` where its place stands."""
    for session in (None, SIGNED_IN, session_of(clients=())):
        reply = get(desk, "/oauth2/sign_out?rd=/x?t={id_token}", at("oauth2-proxy", session))
        assert reply.status in (200, 303)
        assert "token" not in reply.headers.get("location", "").replace("id_token%7D", "").replace(
            "{id_token}", ""
        )
    for _, client, rd in desk.signin.calls:
        assert (client, rd) == (None, "/x?t={id_token}")


def test_userinfo_says_who_is_signed_in(desk):
    alice = replace(ALICE, groups=("staff",))
    reply = get(desk, "/oauth2/userinfo", at("oauth2-proxy", session_of(alice)))
    assert reply.json == {
        "user": "a-1",
        "email": "alice@example.com",
        "groups": ["staff"],
        "preferredUsername": "alice",
    }
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "session", [None, session_of(clients=("drive",))], ids=["nobody", "credentials only"]
)
def test_userinfo_of_nobody_is_401(desk, session):
    assert get(desk, "/oauth2/userinfo", at("oauth2-proxy", session)).status == 401


def test_probes_of_oauth2_proxy(desk, monkeypatch):
    for path in ("/ping", "/ready"):
        reply = desk.call(path, visit=at("oauth2-proxy"))
        assert (reply.status, reply.body) == (200, b"OK")

    async def away(_user_id):
        raise StoreError("away")

    monkeypatch.setattr(desk.people, "sessions_of", away)
    assert desk.call("/ping", visit=at("oauth2-proxy")).status == 200
    assert desk.call("/ready", visit=at("oauth2-proxy")).status == 503


# -- Vouch and Nuon -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "rd"),
    [
        ("url=https://forum.example/a", "/a"),
        ("url=https%3A%2F%2Fforum.example%2Fa%3Fb%3D1", "/a?b=1"),
        ("url=https://forum.example/a?b=1&c=2&vouch-failcount=&X-Vouch-Token=&error=", "/a?b=1&c=2"),
        ("url=https://forum.example/a?b=1;c=2&error=x", "/a?b=1;c=2"),
        ("url=https://forum.example/a?b=%20%26x&rd=/evil", "/a?b=%20%26x"),
        ("vouch-failcount=1&url=https://wiki.example/a&b=2", "https://wiki.example/a?b=2"),
        ("stray=1&url=https://forum.example/a?b=1&error=&late=2", "/a?b=1"),
        ("url=https://forum.example/a?url=https://evil.example/", "/a?url=https://evil.example/"),
    ],
)
def test_vouchs_login_leads_to_the_provider_and_then_to_the_pasted_address(desk, query, rd):
    reply = get(desk, f"/login?{query}", at("vouch"))
    assert (reply.status, reply.headers["location"]) == (303, IDP)
    assert begun(desk) == rd


@pytest.mark.parametrize(
    "query",
    [
        "",
        "rd=/a",
        "url=",
        "url=https://evil.example/",
        "url=https://forum.example.evil.test/",
        "url=https://evilforum.example/",
        "url=https://forum.example@evil.test/",
        "url=https:forum.example",
        "url=http://forum.example/",
        "url=//evil.example",
        "url=javascript:alert(1)",
        "url=https%3A%2F%2Fevil.example%2F%3Fx%3Dhttps%3A%2F%2Fforum.example",
        "url=%2509https://forum.example",
    ],
)
def test_vouchs_login_leads_nowhere_else(desk, query):
    reply = get(desk, f"/login?{query}", at("vouch"))
    assert (reply.status, desk.signin.calls) == (400, [])
    assert "location" not in reply.headers


def test_what_an_address_says_in_its_own_query_is_no_hint_of_ours(desk):
    get(desk, "/login?url=https://forum.example/a?x=1&prompt=none&login_hint=root", at("vouch"))
    [(_, _, rd, hints)] = desk.signin.calls
    assert (rd, hints) == ("/a?x=1&prompt=none&login_hint=root", {})


@pytest.mark.parametrize(
    ("query", "client", "rd"),
    [
        ("provider=github&url=https%3A%2F%2Fforum.example%2Fa", "github", "/a"),
        ("url=https%3A%2F%2Fforum.example%2Fa&provider=github", "github", "/a"),
        ("url=https://forum.example/a?b=1&c=2&provider=google", "google", "/a?b=1&c=2"),
        ("provider=google", "google", "/success"),
    ],
)
def test_nuons_login_names_the_provider(desk, query, client, rd):
    reply = get(desk, f"/login?{query}", at("nuon", many=True))
    assert reply.status == 303
    [(_, begun_by, begun_rd, _)] = desk.signin.calls
    assert (begun_by, begun_rd) == (client, rd)


def test_nuons_login_without_a_provider_lets_people_choose(desk):
    assert get(desk, "/login?url=https%3A%2F%2Fforum.example%2Fa", at("nuon", many=True)).status == 200


@pytest.mark.parametrize("url", ["https://evil.example/", "javascript:alert(1)"])
def test_nuons_login_leads_nowhere_else(desk, url):
    assert get(desk, f"/login?provider=google&url={url}", at("nuon", many=True)).status == 400


@pytest.mark.parametrize(
    ("product", "query", "status", "rd"),
    [
        ("vouch", "", 303, ""),
        ("vouch", "?url=https://wiki.example/x", 303, "https://wiki.example/x"),
        ("vouch", "?url=https://evil.example/", 400, None),
        ("nuon", "?url=https://wiki.example/x", 303, "https://wiki.example/x"),
        ("nuon", "?url=https://evil.example/", 303, ""),
    ],
)
def test_logout_leads_where_one_may_be_led(desk, product, query, status, rd):
    reply = get(desk, f"/logout{query}", at(product, SIGNED_IN))
    assert reply.status == status
    assert desk.signin.calls == ([] if rd is None else [("sign_out", None, rd)])


def test_vouchs_health(desk):
    reply = desk.call("/healthcheck", visit=at("vouch"))
    assert (reply.status, reply.json) == (200, {"ok": True})


@pytest.mark.parametrize(("session", "leads"), [(SIGNED_IN, "/@/account"), (None, "/@/signin")])
def test_nuons_success_shows_who_one_is(desk, session, leads):
    assert get(desk, "/success", at("nuon", session)).headers["location"] == leads


# -- the loop guard -----------------------------------------------------------------------------


def led(desk: Desk, times: int, target: str = "/login?url=https://forum.example/a", *, now: float = 2_000.0):
    """Statuses of a browser that keeps cookies and comes again and again."""
    kept: dict[str, str] = {}
    statuses = []
    for _ in range(times):
        reply = get(desk, target, replace(at("vouch", SIGNED_IN), cookies=kept, now=now))
        for line in reply.cookies:
            name, _, value = line.partition(";")[0].partition("=")
            kept = {**kept, name: value}
        statuses.append(reply.status)
    return statuses, kept


def test_who_is_led_round_and_round_sees_a_page_instead_of_a_redirect(desk):
    """Vouch counts in a cookie that never comes back."""
    statuses, kept = led(desk, TRIES_MAX + 3)
    assert statuses == [303] * TRIES_MAX + [429] * 3
    assert list(kept) == ["__Host-vestibule-tries"]
    assert "does the destination's host get the session's cookie?" in desk.logged[-1]["detail"]


def test_another_destination_or_another_minute_begins_anew(desk):
    _, kept = led(desk, TRIES_MAX)
    other = replace(at("vouch", SIGNED_IN), cookies=kept)
    assert get(desk, "/login?url=https://forum.example/b", other).status == 303
    later = replace(other, now=2_000.0 + TRIES_S)
    assert get(desk, "/login?url=https://forum.example/a", later).status == 303
    assert get(desk, "/login?url=https://forum.example/a", other).status == 429


@pytest.mark.parametrize("value", ["", "x", "0.0.0", "a.b.c", "f" * 16 + ".999.1", "\u0662.6.1"])
def test_a_made_up_count_is_no_fault(desk, value):
    by = replace(at("vouch"), cookies={"__Host-vestibule-tries": value})
    assert get(desk, "/login?url=https://forum.example/a", by).status == 303


# -- coming back --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "path"),
    [
        ("oauth2-proxy", "/oauth2/callback"),
        ("vouch", "/auth"),
        ("vouch", "/auth/STATE/"),
        ("nuon", "/auth"),
        ("nuon", "/auth/STATE"),
    ],
)
@pytest.mark.parametrize("is_registered", [True, False])
def test_people_come_back_to_their_products_path(desk, product, path, is_registered):
    theirs = path.partition("/STATE")[0].encode()
    callbacks = {theirs: ("google",)} if is_registered else {}
    by = at(product, host={"callbacks": callbacks})
    reply = get(desk, f"{path}?code=c&state=STATE", by)
    assert (reply.status, reply.headers["location"]) == (303, "/there?x=1")
    assert desk.signin.calls == [("finish", "google", {"code": "c", "state": "STATE"})]
    parked = desk.call(
        path, "POST", headers={**FORM, "Origin": "https://idp.example"}, visit=by, body=b"state=STATE"
    )
    assert parked.status == 303
    assert desk.signin.calls[-1] == ("park_answer", "google", {"state": "STATE"})


def test_the_state_in_the_path_must_be_the_one_that_comes(desk):
    for target in ("/auth/OTHER/?code=c&state=STATE", "/auth/OTHER/?code=c"):
        reply = get(desk, target, at("vouch"))
        assert (reply.status, desk.signin.calls) == (400, [])
        assert "STATE" not in reply.text


def test_no_path_is_there_on_a_host_that_has_no_such_product(desk):
    for path in ("/login?url=/", "/oauth2/start", "/auth", "/ping", "/success"):
        assert get(desk, path, visit(None, HOST)).status == 404
        assert (
            get(
                desk,
                path,
                at("vouch" if "oauth2" in path or path in ("/ping", "/success") else "oauth2-proxy"),
            ).status
            == 404
        )


@pytest.mark.parametrize(
    ("product", "path", "method"),
    [("oauth2-proxy", "/oauth2/userinfo", "POST"), ("vouch", "/login", "POST"), ("vouch", "/logout", "PUT")],
)
def test_other_methods_are_refused(desk, product, path, method):
    reply = desk.call(path, method, headers=OWN, visit=at(product))
    assert reply.status == 405
    assert "GET" in reply.headers["allow"]


# -- what nginx pastes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "folds", "found", "others"),
    [
        ("url=a&b=1", True, "a?b=1", {}),
        ("url=a?b&c", True, "a?b&c", {}),
        ("url=a?b;c", True, "a?b;c", {}),
        ("url=a%20b", True, "a b", {}),
        ("url=https://h/a%20b", True, "https://h/a%20b", {}),
        ("x=1;url=a;vouch=2;y=3", True, "a", {"x": "1", "vouch": "2", "y": "3"}),
        ("X-VOUCH-Token=t&url=a", True, "a", {"X-VOUCH-Token": "t"}),
        ("url=a&b=1", None, "a", {"b": "1"}),
        ("url=a?x&b=1", None, "a?x&b=1", {}),
        ("a=1", True, "", {"a": "1"}),
        ("", True, "", {}),
        ("&&;url=a&;", True, "a?;", {}),
    ],
)
def test_a_pasted_address_keeps_its_own_query(query, folds, found, others):
    assert pasted(query, "url", _OWN_OF_VOUCH, folds=folds) == (found, others)


def test_parameters_of_ours_end_an_address_that_is_pasted_for_oauth2_proxy():
    query = "rd=/a?b=1&c=2&provider=x&d=3"
    assert pasted(query, "rd", _OWN_OF_OTHERS, folds=None) == ("/a?b=1&c=2", {"provider": "x", "d": "3"})
