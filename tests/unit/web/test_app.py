"""The control plane through its ASGI door: every path, every method, every way to fail."""

from __future__ import annotations

import itertools
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from tests.unit.web.asgi import (
    ALICE,
    BASE,
    HOST,
    PAGES,
    SIGNED_IN,
    XSS,
    Desk,
    Inert,
    Reply,
    session_of,
    visit,
)
from vestibule.errors import (
    BackendError,
    ClientError,
    Crowded,
    FlowError,
    ProviderError,
    ProviderInvalid,
    ProviderRefused,
    ProviderUnavailable,
    StoreError,
    UserDisabled,
    VestibuleError,
)
from vestibule.model import RETRY_AFTER_S
from vestibule.protocol.cookie import is_ours

SAME_ORIGIN = {"Origin": BASE, "Sec-Fetch-Site": "same-origin"}
OWN_CLICK = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}
PATHS = {
    "/@/signin": {"GET", "HEAD", "POST"},
    "/@/signout": {"GET", "HEAD", "POST"},
    "/@/signedout": {"GET", "HEAD"},
    "/@/session": {"GET", "HEAD"},
    PAGES.assets.url("vestibule.css"): {"GET", "HEAD"},
    "/@google/signin": {"GET", "HEAD"},
    "/@google/callback": {"GET", "HEAD", "POST"},
    "/@google/signout": {"GET", "HEAD", "POST"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def assert_guarded(reply: Reply) -> None:
    """The headers that every answer of the gateway carries."""
    assert reply.headers["cache-control"] == "no-store"
    is_page = reply.headers.get("content-type", "").startswith("text/html")
    assert reply.headers["vary"] == "Cookie, Authorization" + (", Accept-Language" if is_page else "")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] in {"no-referrer", "same-origin"}
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    single = [name for name, _ in reply.raw_headers if name != "set-cookie"]
    assert len(single) == len(set(single))


# -- paths and methods ---------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "method"), list(itertools.product(PATHS, METHODS)))
def test_a_path_takes_its_methods_and_no_other(desk: Desk, path: str, method: str) -> None:
    reply = desk.call(path, method, SAME_ORIGIN)
    if method not in PATHS[path]:
        assert reply.status == 405
        assert {m.strip() for m in reply.headers["allow"].split(",")} == PATHS[path]
        assert desk.signin.calls == []
        assert desk.logged[0]["code"] == "method_not_allowed"
    elif not path.startswith("/@/static/"):
        assert_guarded(reply)


@pytest.mark.parametrize(
    "path",
    [
        "/@/",
        "/@/nothing",
        "/@/signin/",
        "/@/signin/x",
        "/@/SIGNIN",
        "/@google",
        "/@google/",
        "/@google/nothing",
        "/@google/signin/",
        "/@/static/",
        "/@/static/vestibule.css",
        "/@/static/vestibule.000000000000.css",
        "/@/static/x/y",
        "/@nobody/signin",
        "/@nobody/callback",
        "/@nobody/signout",
        "/@GOOGLE/signin",
        "/@forum.example/drive/signin",
    ],
)
def test_what_stands_nowhere_is_a_404_page(desk: Desk, path: str) -> None:
    reply = desk.call(path, headers=OWN_CLICK)
    assert reply.status == 404
    assert_guarded(reply)
    Inert(reply.text)
    assert "req-0123" in reply.text
    assert [line["status"] for line in desk.logged] == [404]
    assert desk.signin.calls == []


@pytest.mark.parametrize("path", [path for path in PATHS if "callback" not in path])
def test_head_is_answered_as_get_is(desk: Desk, path: str) -> None:
    get, head = desk.call(path), desk.call(path, "HEAD")
    assert (head.status, head.raw_headers) == (get.status, get.raw_headers)


def test_head_finishes_no_sign_in(desk: Desk) -> None:
    assert desk.call("/@google/callback?code=c&state=s", "HEAD").status == 405
    assert desk.signin.calls == []


def test_the_stylesheet_is_kept_for_ever(desk: Desk) -> None:
    reply = desk.call(PAGES.assets.url("vestibule.css"))
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/css; charset=utf-8"
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.text == PAGES.assets.style


# -- /@/signin -----------------------------------------------------------------------------------


def test_the_sign_in_page_has_a_button_for_each_provider(desk: Desk) -> None:
    reply = desk.call("/@/signin?rd=/deep%3Fa=b")
    assert reply.status == 200
    assert_guarded(reply)
    assert Inert(reply.text).links == [
        "/@google/signin?rd=%2Fdeep%3Fa%3Db",
        "/@github/signin?rd=%2Fdeep%3Fa%3Db",
    ]
    assert desk.signin.calls == []
    assert desk.logged == []


def test_the_provider_used_last_comes_first_and_says_so(desk: Desk) -> None:
    reply = desk.call("/@/signin", visit=replace(visit(), cookies={"__Host-vestibule-last": "github"}))
    read = Inert(reply.text)
    assert read.links == ["/@github/signin?rd=", "/@google/signin?rd="]
    assert "".join(read.words).count("Last used") == 1


@pytest.mark.parametrize(
    "cookies",
    [
        pytest.param({"__Host-vestibule-last": "gone"}, id="no client of this host"),
        pytest.param({"__Host-vestibule-last": '"><b>'}, id="markup"),
        pytest.param({"vestibule-8000-last": "github"}, id="of another listener"),
        pytest.param({"last": "github"}, id="of the app's own"),
    ],
)
def test_a_cookie_that_names_no_client_of_ours_changes_nothing(desk: Desk, cookies: dict[str, str]) -> None:
    assert desk.call("/@/signin", visit=replace(visit(), cookies=cookies)).text == desk.call("/@/signin").text


def test_one_provider_goes_straight_on(desk: Desk) -> None:
    here = visit(host=replace(HOST, sign_in=("google",)))
    reply = desk.call("/@/signin?rd=/deep&login_hint=alice&prompt=login", visit=here)
    assert (reply.status, reply.headers["location"]) == (303, "https://idp.example/authorize?x=1")
    assert reply.cookies == ["flow=1; Path=/", "old=; Max-Age=0"]
    assert_guarded(reply)
    assert desk.signin.calls == [("begin", "google", "/deep", {"login_hint": "alice", "prompt": "login"})]


def test_a_named_provider_goes_straight_on(desk: Desk) -> None:
    assert desk.call("/@/signin?provider=github&login_hint=a").status == 303
    assert desk.signin.calls == [("begin", "github", "", {"provider": "github", "login_hint": "a"})]


@pytest.mark.parametrize("provider", ["nobody", "drive", "", "GOOGLE", "google&provider=github"])
def test_a_name_that_is_none_shows_the_page(desk: Desk, provider: str) -> None:
    assert desk.call(f"/@/signin?provider={provider}").status == 200
    assert desk.signin.calls == []


def test_a_host_without_sign_in_says_so(desk: Desk) -> None:
    reply = desk.call("/@/signin", visit=visit(host=replace(HOST, sign_in=())))
    assert reply.status == 404
    assert "no sign-in" in reply.text


@pytest.mark.parametrize(
    ("rd", "location"),
    [
        pytest.param("", "/", id="nothing asked for"),
        pytest.param("/deep?a=b#c", "/deep?a=b#c", id="a path"),
        pytest.param("https://wiki.example/x", "https://wiki.example/x", id="a host of the configuration"),
        pytest.param("https://evil.example/x", "/", id="another host"),
        pytest.param("//evil.example", "/", id="protocol-relative"),
        pytest.param("/\\evil.example", "/", id="backslash"),
        pytest.param("/\t/evil.example", "/", id="tab"),
        pytest.param("javascript:alert(1)", "/", id="script"),
        pytest.param("https://forum.example@evil.example/", "/", id="userinfo"),
        pytest.param("https://wiki.example.evil.example/", "/", id="a longer name"),
    ],
)
def test_whoever_is_signed_in_goes_straight_back(desk: Desk, rd: str, location: str) -> None:
    reply = desk.call(f"/@/signin?rd={quote(rd, safe='')}", visit=visit(SIGNED_IN))
    assert (reply.status, reply.headers["location"]) == (303, location)
    assert reply.cookies == []


@pytest.mark.parametrize("query", ["prompt=login", "prompt=select_account", "switch=1", "switch"])
def test_switching_accounts_works_while_signed_in(desk: Desk, query: str) -> None:
    reply = desk.call(f"/@/signin?{query}", visit=visit(SIGNED_IN))
    assert reply.status == 200
    assert desk.call(f"/@/signin?{query}&provider=google", visit=visit(SIGNED_IN)).status == 303
    assert desk.signin.calls[0][3]["prompt"] in {"login", "select_account"}


@pytest.mark.parametrize(
    "session",
    [
        pytest.param(session_of(clients=("drive",)), id="credentials without a person"),
        pytest.param(session_of(replace(ALICE, client="okta")), id="a person by a client no longer listed"),
    ],
)
def test_a_session_that_no_rule_would_see_is_not_sent_back(desk: Desk, session: object) -> None:
    """Else the gateway would send it here again, for ever."""
    assert desk.call("/@/signin?rd=/deep", visit=visit(session)).status == 200  # type: ignore[arg-type]


# -- /@CLIENT/signin and callback ----------------------------------------------------------------


def test_a_clients_sign_in_goes_off_with_its_hints(desk: Desk) -> None:
    reply = desk.call("/@drive/signin?rd=//evil.example&login_hint=alice", visit=visit(SIGNED_IN))
    assert (reply.status, reply.headers["location"]) == (303, "https://idp.example/authorize?x=1")
    assert desk.signin.calls == [("begin", "drive", "//evil.example", {"login_hint": "alice"})]


def test_a_callback_ends_in_a_303_that_takes_the_code_away(desk: Desk) -> None:
    reply = desk.call("/@google/callback?code=c%2B1&state=s&state=t")
    assert (reply.status, reply.headers["location"]) == (303, "/there?x=1")
    assert reply.cookies[:2] == ["__Host-vestibule=h; Path=/", "flow=; Max-Age=0"]
    assert reply.body == b""
    assert_guarded(reply)
    assert desk.signin.calls == [("finish", "google", {"code": "c+1"})]


def test_a_finished_sign_in_is_remembered_by_its_client_alone(desk: Desk) -> None:
    cookies = desk.call("/@github/callback?code=c&state=s").cookies
    assert cookies[2:] == [
        "__Host-vestibule-last=github; Path=/; Max-Age=31536000; Secure; HttpOnly; SameSite=Lax"
    ]
    assert is_ours(b"__Host-vestibule-last")


def test_where_there_is_nothing_to_choose_from_nothing_is_remembered(desk: Desk) -> None:
    here = visit(host=replace(HOST, sign_in=("google",)))
    assert len(desk.call("/@google/callback?code=c&state=s", visit=here).cookies) == 2


APPLE = {"Origin": "https://appleid.apple.com", "Content-Type": "application/x-www-form-urlencoded"}


def test_an_answer_by_form_is_parked_whoever_sent_it_and_taken_by_a_get(desk: Desk) -> None:
    reply = desk.call("/@google/callback?state=not-this", "POST", APPLE, body=b"state=s&code=c%20d&x=1&x=2")
    assert (reply.status, reply.headers["location"]) == (303, "/@google/callback?parked=k&state=s")
    assert desk.signin.calls == [("park_answer", "google", {"state": "s", "code": "c d"})]
    assert reply.cookies == []
    assert_guarded(reply)


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("application/x-www-form-urlencoded", b"a=" + b"b" * 65535, 413, "body_too_large"),
        ("application/json", b"{}", 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", b"--x--", 415, "unsupported_media_type"),
        ("", b"state=s", 415, "unsupported_media_type"),
        ("application/x-www-form-urlencoded", b"&".join([b"a=b"] * 51), 400, "bad_request"),
        ("application/x-www-form-urlencoded", b"a=%ff", 400, "bad_request"),
        ("application/x-www-form-urlencoded", "a=ä".encode(), 400, "bad_request"),
    ],
)
def test_an_answer_by_form_that_can_not_be_read_is_not_parked(
    desk: Desk, content_type: str, body: bytes, status: int, code: str
) -> None:
    headers = {**APPLE, "Content-Type": content_type}
    reply = desk.call("/@google/callback", "POST", headers, body=body)
    assert (reply.status, desk.logged[0]["code"]) == (status, code)
    assert desk.signin.calls == []


FAILURES = [
    pytest.param(FlowError("x", code=code), 400, code, id=code) for code in FlowError.CODES
] + [
    pytest.param(ProviderRefused("access_denied"), 403, "access_denied", id="cancelled"),
    pytest.param(ProviderRefused("consent_required", "long text"), 403, "provider_refused", id="refused"),
    pytest.param(ProviderRefused("invalid_scope", "long text"), 502, "provider_misconfigured", id="ours"),
    pytest.param(ProviderRefused("temporarily_unavailable"), 503, "provider_unavailable", id="busy"),
    pytest.param(ProviderRefused("server_error"), 503, "provider_unavailable", id="failing"),
    pytest.param(ProviderUnavailable("no route"), 503, "provider_unavailable", id="away"),
    pytest.param(ProviderInvalid("nonce"), 502, "provider_invalid", id="not believed"),
    pytest.param(ClientError("x", code="other_person", status=403), 403, "other_person", id="other person"),
    pytest.param(UserDisabled("x"), 403, "user_disabled", id="disabled"),
    pytest.param(StoreError("disk full at /var"), 503, "store_unavailable", id="store"),
    pytest.param(BackendError("b"), 502, "backend_unavailable", id="backend"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "code"), FAILURES)
def test_a_callback_that_fails_is_a_page_with_a_way_back(
    desk: Desk, error: VestibuleError, status: int, code: str
) -> None:
    error.detail = "only-for-the-log"
    desk.signin.raising = error
    reply = desk.call("/@google/callback?code=SECRET-CODE&state=SECRET-STATE")
    assert reply.status == status
    assert_guarded(reply)
    assert reply.cookies == ([] if code == "store_unavailable" else ["flow=; Max-Age=0"])
    assert "req-0123" in reply.text
    assert "SECRET" not in reply.text
    assert "only-for-the-log" not in reply.text
    links = Inert(reply.text).links
    assert ("retry-after" in reply.headers) is (status == 503)
    assert code in {"other_person", "user_disabled"} or "/@google/signin?rd=%2Fdeep" in links
    # Where the provider itself is the trouble, another one is a way on.
    assert ("/@/signin?rd=%2Fdeep" in links) is (code.startswith("provider_") and status >= 500)
    (line,) = desk.logged
    assert (line["event"], line["code"], line["id"]) == ("refused", code, "req-0123")
    assert line["level"] == ("info" if isinstance(error, ClientError) else "warning")
    assert line["detail"] == "only-for-the-log"
    assert "SECRET" not in str(line)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderInvalid("aud", code="id_token_aud"), "provider_invalid"),
        (ProviderInvalid("issuer", code="wrong_issuer"), "provider_invalid"),
        (ProviderUnavailable("slow", code="provider_timeout"), "provider_unavailable"),
    ],
)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_which_of_its_faults_a_provider_made_is_for_the_log_alone(
    desk: Desk, error: ProviderError, code: str, accept: str
) -> None:
    desk.signin.raising = error
    reply = desk.call("/@google/callback?code=c", headers={"Accept": accept})
    (line,) = desk.logged
    assert line["code"] == error.code
    assert error.code not in reply.text
    if accept == "application/json":
        assert reply.json["code"] == code
    else:
        desk.signin.raising = type(error)("x")
        family = desk.call("/@google/callback?code=c")
        assert (reply.status, reply.text) == (family.status, family.text)


@pytest.mark.parametrize(("error", "status", "code"), FAILURES)
def test_programs_get_the_same_as_json(desk: Desk, error: VestibuleError, status: int, code: str) -> None:
    desk.signin.raising = error
    reply = desk.call("/@google/callback?code=c", headers={"Accept": "application/json"})
    assert (reply.status, reply.json["status"]) == (status, status)
    assert (reply.json["code"], reply.json["id"]) == (code, "req-0123")
    assert reply.headers["content-type"] == "application/problem+json"
    assert_guarded(reply)


def test_a_provider_that_is_down_says_when_to_come_back_and_where_else(desk: Desk) -> None:
    desk.signin.raising = ProviderUnavailable("no route")
    reply = desk.call("/@/signin?provider=google&rd=/deep")
    assert reply.headers["retry-after"] == str(RETRY_AFTER_S)
    assert Inert(reply.text).links == ["/@google/signin?rd=%2Fdeep", "/@/signin?rd=%2Fdeep"]


@pytest.mark.parametrize("error", ["Call +1 555 1234 now", "<b>x</b>", "a" * 99, "https://evil.example", ""])
def test_an_error_name_of_somebody_elses_choosing_is_not_shown(desk: Desk, error: str) -> None:
    desk.signin.raising = ProviderRefused(error, "and a description")
    text = desk.call("/@google/callback").text
    assert "answered" not in text
    assert "description" not in text


def test_the_name_of_an_oauth_error_is_shown(desk: Desk) -> None:
    desk.signin.raising = ProviderRefused("interaction_required")
    words = Inert(desk.call("/@google/callback").text).words
    assert "It answered: interaction_required" in "".join(words)


@pytest.mark.parametrize("path", ["/@google/callback", "/@google/signin", "/@/signin?provider=google"])
def test_what_nobody_meant_is_a_500_page_without_a_traceback(desk: Desk, path: str) -> None:
    desk.signin.raising = RuntimeError("secret inside")
    reply = desk.call(path)
    assert reply.status == 500
    assert_guarded(reply)
    assert "secret" not in reply.text
    assert "RuntimeError" not in reply.text
    assert "req-0123" in reply.text
    (line,) = desk.logged
    assert (line["event"], line["level"], line["id"]) == ("fault", "error", "req-0123")
    assert desk.call(path, headers={"Accept": "application/json"}).json["code"] == "internal_error"


@pytest.mark.parametrize(
    "location",
    ["/a\r\nSet-Cookie: x=y", "/a b", "javascript:alert(1)", "/é", "", "data:text/html,x"],
)
def test_a_redirect_that_could_split_a_header_or_run_script_is_not_sent(desk: Desk, location: str) -> None:
    desk.signin.sign_out_location = location or "x"
    for method, headers in (("GET", OWN_CLICK), ("POST", SAME_ORIGIN)):
        reply = desk.call("/@/signout", method, headers, visit(SIGNED_IN))
        assert reply.status == 500
        assert "location" not in reply.headers
        assert "refresh" not in reply.headers


def test_a_query_that_cannot_be_read_is_a_400_page(desk: Desk) -> None:
    reply = desk.call("/@/signin?rd=%ff")
    assert reply.status == 400
    assert_guarded(reply)
    assert "req-0123" in reply.text


# -- signing out ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "client"), [("/@/signout", None), ("/@google/signout", "google")])
def test_ones_own_click_signs_out(desk: Desk, path: str, client: str | None) -> None:
    reply = desk.call(f"{path}?rd=/bye", headers=OWN_CLICK, visit=visit(SIGNED_IN))
    assert (reply.status, reply.headers["location"]) == (303, "/bye")
    assert reply.cookies == ["__Host-vestibule=; Max-Age=0"]
    assert_guarded(reply)
    assert desk.signin.calls == [("sign_out", client, "/bye")]


@pytest.mark.parametrize("path", ["/@/signout", "/@google/signout"])
@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_any_other_get_asks_first(desk: Desk, path: str, headers: dict[str, str]) -> None:
    reply = desk.call(f"{path}?rd=/bye", headers=headers, visit=visit(SIGNED_IN))
    assert reply.status == 200
    assert_guarded(reply)
    assert "form-action 'self'" in reply.headers["content-security-policy"]
    assert reply.headers["referrer-policy"] == "same-origin"
    read = Inert(reply.text)
    assert read.forms == [f"{path}?rd=%2Fbye"]
    assert "Alice Liddell" in read.words
    assert desk.signin.calls == []
    assert reply.cookies == []


@pytest.mark.parametrize(("path", "client"), [("/@/signout", None), ("/@drive/signout", "drive")])
def test_the_button_signs_out(desk: Desk, path: str, client: str | None) -> None:
    reply = desk.call(f"{path}?rd=/bye", "POST", SAME_ORIGIN, visit(SIGNED_IN))
    assert (reply.status, reply.headers["location"]) == (303, "/bye")
    assert desk.signin.calls == [("sign_out", client, "/bye")]


@pytest.mark.parametrize("path", ["/@/signout", "/@google/signout"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no Origin"),
        pytest.param({"Origin": "null"}, id="null"),
        pytest.param({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, id="no Origin but vouched for"),
        pytest.param([("Origin", BASE), ("Origin", "https://evil.example")], id="two Origins"),
        pytest.param([("Origin", "https://evil.example"), ("Origin", BASE)], id="two Origins, ours last"),
    ],
)
def test_a_post_of_another_site_signs_nobody_out(desk: Desk, path: str, headers: dict[str, str]) -> None:
    reply = desk.call(path, "POST", headers, visit(SIGNED_IN))
    assert reply.status == 403
    assert_guarded(reply)
    assert desk.signin.calls == []
    assert reply.cookies == []
    assert desk.logged[0]["code"] == "cross_origin"


@pytest.mark.parametrize("rd", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
@pytest.mark.parametrize(("method", "headers"), [("GET", OWN_CLICK), ("POST", SAME_ORIGIN)])
def test_signing_out_leads_nowhere_else(desk: Desk, rd: str, method: str, headers: dict[str, str]) -> None:
    reply = desk.call(f"/@/signout?rd={quote(rd, safe='')}", method, headers, visit(SIGNED_IN))
    assert reply.headers["location"] == "/@/signedout"


def test_to_another_origin_a_click_is_redirected_and_a_form_is_led(desk: Desk) -> None:
    desk.signin.sign_out_location = "https://idp.example/logout?to=x"
    click = desk.call("/@/signout", headers=OWN_CLICK, visit=visit(SIGNED_IN))
    assert (click.status, click.headers["location"]) == (303, "https://idp.example/logout?to=x")
    form = desk.call("/@/signout", "POST", SAME_ORIGIN, visit(SIGNED_IN))
    assert (form.status, form.headers["refresh"]) == (200, "0; url=https://idp.example/logout?to=x")
    assert form.cookies == ["__Host-vestibule=; Max-Age=0"]
    assert_guarded(form)


def test_nobody_is_asked_whether_to_sign_out(desk: Desk) -> None:
    reply = desk.call("/@/signout")
    assert (reply.status, reply.headers["location"]) == (303, "/@/signedout")
    assert desk.signin.calls == []


def test_who_comes_in_a_crowd_is_told_when_to_come_again(desk: Desk) -> None:
    desk.signin.raising = Crowded(wait_s=4.2)
    reply = desk.call("/@google/signin")
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert "Many people are signing in" in reply.text
    assert_guarded(reply)


def test_a_store_that_is_away_signs_nobody_out(desk: Desk) -> None:
    desk.signin.raising = StoreError("away")
    reply = desk.call("/@/signout", "POST", SAME_ORIGIN, visit(SIGNED_IN))
    assert (reply.status, reply.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
    assert reply.cookies == []


def test_the_landing_page(desk: Desk) -> None:
    reply = desk.call("/@/signedout", headers={"Sec-Fetch-Site": "cross-site"})
    assert reply.status == 200
    assert_guarded(reply)
    assert "You are signed out" in reply.text
    assert Inert(reply.text).links == ["/@/signin", "/"]
    assert reply.cookies == []
    still = desk.call("/@/signedout", visit=visit(SIGNED_IN))
    assert "You are signed in" in still.text
    assert desk.signin.calls == []


# -- /@/session ----------------------------------------------------------------------------------


def test_who_is_signed_in_until_when(desk: Desk) -> None:
    reply = desk.call("/@/session", visit=visit(SIGNED_IN))
    assert reply.status == 200
    assert_guarded(reply)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == {
        "user": {"id": "u-1", "login": "alice", "name": "Alice Liddell", "email": "alice@example.com"},
        "providers": ["google"],
        "signed_in_at": "1970-01-01T00:16:40Z",
        "expires_at": "1970-01-02T00:33:20Z",
        "ends_at": "1970-01-07T22:40:00Z",
    }
    assert "permanent-session-id" not in reply.text


def test_credentials_without_a_person_are_no_user(desk: Desk) -> None:
    reply = desk.call("/@/session", visit=visit(session_of(clients=("forum.example/drive",))))
    assert (reply.status, reply.json["user"], reply.json["providers"]) == (200, None, ["drive"])


@pytest.mark.parametrize("headers", [{}, {"Accept": "text/html"}])
def test_nobody_is_a_401_that_says_where_to_sign_in(desk: Desk, headers: dict[str, str]) -> None:
    reply = desk.call("/@/session", headers=headers)
    assert reply.status == 401
    assert_guarded(reply)
    assert reply.json["code"] == "sign_in_required"
    assert reply.json["sign_in"] == "https://forum.example/@/signin"
    assert reply.json["id"] == "req-0123"


# -- text of somebody else's ---------------------------------------------------------------------

PARAMETERS = (
    "rd",
    "provider",
    "login_hint",
    "prompt",
    "switch",
    "error",
    "error_description",
    "state",
    "code",
    "iss",
    "x",
)


@pytest.mark.parametrize("text", XSS)
@pytest.mark.parametrize("path", [path for path in PATHS if "static" not in path])
def test_no_parameter_becomes_markup_or_a_way_out(desk: Desk, path: str, text: str) -> None:
    query = "&".join(f"{name}={quote(text, safe='')}" for name in PARAMETERS)
    for session, error in itertools.product((None, SIGNED_IN), (None, ProviderRefused(text, text))):
        desk.signin.raising = error
        reply = desk.call(f"{path}?{query}", visit=visit(session))
        assert_guarded(reply)
        assert "evil.example" not in reply.headers.get("location", "")
        assert "evil.example" not in reply.headers.get("refresh", "")
        if "html" in reply.headers.get("content-type", ""):
            Inert(reply.text)


@pytest.mark.parametrize("text", XSS)
def test_no_claim_or_title_becomes_markup(desk: Desk, text: str) -> None:
    session = session_of(replace(ALICE, name=text, email=text, login=text))
    here = visit(session, host=replace(HOST, title=text))
    for path in ("/@/signin?prompt=login", "/@/signout", "/@/signedout", "/@/nothing"):
        Inert(desk.call(path, visit=here).text)


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client", "invalid_scope"])
def test_a_site_the_provider_does_not_accept_is_nobodys_refusal(desk: Desk, error: str) -> None:
    desk.signin.raising = ProviderRefused(error)
    reply = desk.call("/@google/callback")
    assert reply.status == 502
    assert f"It answered: {error}" in "".join(Inert(reply.text).words)
    assert "not set up right" in reply.text


def test_who_has_gone_is_logged_by_ids_alone(desk: Desk) -> None:
    desk.call("/@/signout", "POST", SAME_ORIGIN, visit(SIGNED_IN))
    (line,) = desk.logged
    assert (line["event"], line["session"], line["user"]) == ("signed_out", SIGNED_IN.id, SIGNED_IN.user_id)
    assert not any("@" in str(value) for value in line.values())


def test_no_token_stands_on_the_page_that_leads_to_the_providers_sign_out(desk: Desk) -> None:
    """Threat: a page is kept, looked at and shared; the redirect by GET has the hint, the page has not."""
    desk.signin.sign_out_location = (
        "https://op.example/end?id_token_hint=SECRET.ID.TOKEN&client_id=app&state=s"
    )
    reply = desk.call("/@/signout", "POST", SAME_ORIGIN, visit(SIGNED_IN))
    assert "client_id=app" in reply.text + reply.headers.get("refresh", "")
    assert "SECRET" not in reply.text + str(reply.raw_headers)
