"""Who gets in to the admin pages, what they may send, and what every answer says."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from msgspec.structs import replace

from tests.unit.web.admin.hall import BASE, Hall
from tests.unit.web.asgi import SIGNED_IN, XSS, visit

HOME = "/sign-in"


@pytest.fixture
def hall() -> Hall:
    return Hall(is_owner=False)


def bearer(hall: Hall, **options) -> str:
    _, token = hall.desk.do(hall.desk.tokens.create("ops", None, hall.desk.now, **options))
    return token.reveal()


def signed_in(hall: Hall, **options) -> Hall:
    reply = hall.post("/sign-in", {"token": bearer(hall, **options)}, on=HOME)
    assert reply.status == 303
    return hall


def test_who_opened_the_socket_is_in(hall):
    assert "the owner of admin.sock" in Hall().get("/").text


def test_nobody_is_sent_to_sign_in_and_back(hall):
    reply = hall.get("/?a=1&b=%3Cx")
    assert (reply.status, reply.headers["location"]) == (303, "/sign-in?next=%2F%3Fa%3D1%26b%3D%253Cx")


def test_a_token_lets_in_for_twelve_hours(hall):
    assert signed_in(hall).get("/").status == 200
    hall.desk.now += 12 * 3600
    assert hall.get("/").status == 303


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(hall):
    token = bearer(hall)
    reply = hall.post("/sign-in", {"token": token}, on=HOME)
    [cookie] = [one for one in reply.cookies if one.startswith("vestibule-admin-9000=")]
    assert cookie.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict")
    assert token not in cookie


def test_a_revoked_token_is_out_at_once(hall):
    signed_in(hall)
    [token] = hall.desk.do(hall.desk.tokens.list())
    hall.desk.do(hall.desk.tokens.revoke(token.id))
    assert hall.get("/").status == 303
    assert "vestibule-admin-9000" in hall.cookies
    hall.get(HOME)
    assert "vestibule-admin-9000" not in hall.cookies


def test_the_cookie_of_another_port_is_nobodys(hall):
    signed_in(hall)
    value = hall.cookies.pop("vestibule-admin-9000")
    hall.cookies["vestibule-admin-9001"] = value
    assert hall.get("/").status == 303
    hall.port = 9001
    assert hall.get("/").status == 303


@pytest.mark.parametrize("value", ["", "x", "AAAA", "vst_admin_x"])
def test_what_nobody_sealed_lets_nobody_in(hall, value):
    hall.cookies["vestibule-admin-9000"] = value
    assert hall.get("/").status == 303


def test_wrong_tokens_are_told_and_limited(hall):
    told = [hall.post("/sign-in", {"token": "vst_admin_" + "A" * 43}, on=HOME) for _ in range(22)]
    assert (told[0].status, told[-1].status) == (401, 429)
    assert "does not exist" in told[0].text


def test_a_cookie_that_somebody_kept_is_no_longer_good_after_signing_out(hall):
    """Threat: cookies of a name go to all its ports, so to every program that listens there."""
    kept = dict(signed_in(hall).cookies)
    assert hall.post("/sign-out").status == 303
    hall.cookies = dict(kept)
    assert hall.get("/").status == 303
    hall.cookies = {}
    assert signed_in(hall).get("/").status == 200


@pytest.mark.parametrize("path", ["/audit/export", "/audit/verify"])
def test_to_what_leaves_a_trace_no_other_site_leads(hall, path):
    signed_in(hall)
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert (site, hall.get(path, sec_fetch_site=site).status) == (site, status)


def test_what_is_not_sent_is_not_made(hall):
    signed_in(hall)
    for path, status in (("/live", 405), ("/traffic/live", 405), ("/audit/export", 405), ("/people", 200)):
        headers = {"sec_fetch_site": "same-origin"}
        assert (path, hall.send("HEAD", path, b"", headers).status) == (path, status)


def test_signing_out_takes_the_cookie_back(hall):
    signed_in(hall)
    reply = hall.post("/sign-out")
    assert (reply.status, reply.headers["location"]) == (303, "/sign-in")
    assert "vestibule-admin-9000" not in hall.cookies
    assert "You are signed out" in hall.get("/sign-in").text
    assert "You are signed out" not in hall.get("/sign-in").text


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("/sessions/1", "/sessions/1"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/sign-in", "/"),
        ("", "/"),
    ],
)
def test_people_go_on_to_pages_of_ours_alone(hall, wanted, there):
    reply = hall.post("/sign-in", {"token": bearer(hall), "next": wanted}, on=HOME)
    assert (reply.status, reply.headers["location"]) == (303, there)


# -- other sites --------------------------------------------------------------------------------

CROSS = [
    pytest.param({"origin": "http://evil.example", "sec_fetch_site": "cross-site"}, id="another site"),
    pytest.param({"origin": "http://localhost:8000", "sec_fetch_site": "same-site"}, id="another port"),
    pytest.param({"origin": "http://evil.example", "sec_fetch_site": ""}, id="no fetch metadata"),
    pytest.param({"origin": "null", "sec_fetch_site": "cross-site"}, id="a sandbox"),
    pytest.param({"origin": "null", "sec_fetch_site": ""}, id="a sandbox, no fetch metadata"),
    pytest.param({"origin": "", "sec_fetch_site": ""}, id="a program"),
    pytest.param({"origin": "http://127.0.0.1:9000", "sec_fetch_site": "cross-site"}, id="another name"),
]


@pytest.mark.parametrize("headers", CROSS)
def test_a_form_of_another_site_does_nothing(hall, headers):
    signed_in(hall)
    reply = hall.post("/sign-out", **headers)
    assert reply.status == 403
    assert "vestibule-admin-9000" in hall.cookies


@pytest.mark.parametrize("headers", [{}, {"origin": ""}, {"origin": "null"}, {"sec_fetch_site": ""}])
def test_a_form_of_ours_is_taken(hall, headers):
    assert signed_in(hall).post("/sign-out", **headers).status == 303


@pytest.mark.parametrize(
    "token", ["", "AAAA", pytest.param("A" * 43, id="a mark"), pytest.param("?", id="of nobody")]
)
def test_a_form_without_its_mark_does_nothing(hall, token):
    if token == "?":
        token = hall.form_token(HOME)
    signed_in(hall)
    assert hall.post("/sign-out", {"form_token": token}).status == 403


def test_a_form_kept_from_another_sign_in_does_nothing(hall):
    kept = signed_in(hall).form_token("/")
    hall.cookies.clear()
    signed_in(hall)
    assert hall.post("/sign-out", {"form_token": kept}).status == 403


@pytest.mark.parametrize(
    ("mode", "dest", "status"),
    [
        ("navigate", "document", 303),
        ("navigate", "iframe", 403),
        ("no-cors", "script", 403),
        ("cors", "empty", 403),
    ],
)
def test_another_site_may_only_lead_people_here(hall, mode, dest, status):
    reply = hall.get("/", sec_fetch_site="cross-site", sec_fetch_mode=mode, sec_fetch_dest=dest)
    assert reply.status == status


def test_a_page_of_another_origin_reads_nothing(hall):
    assert hall.get("/", origin="http://evil.example").status == 403


# -- people the gateway has let in --------------------------------------------------------------


def test_people_act_as_themselves(hall):
    hall.visit = visit(SIGNED_IN, base_url=BASE)
    assert "Alice Liddell" in hall.get("/").text


def test_a_session_of_nobody_is_no_operator(hall):
    hall.visit = visit(replace(SIGNED_IN, user_id=""), base_url=BASE)
    assert hall.get("/").status == 403


def test_where_people_can_sign_in_by_providers_they_are_told(hall):
    assert "with your account" not in hall.get(HOME).text
    hall.sign_in = BASE
    assert 'href="http://localhost:9000/@/signin?rd=%2F"' in hall.get(HOME).text


def test_the_api_is_not_reached_by_a_persons_visit(hall):
    hall.visit = visit(SIGNED_IN, base_url=BASE)
    assert hall.get("/api/v1/users").status == 404


# -- what every answer says ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/sign-in", "/nothing", "/static/x.css", "/?%ff"])
def test_every_answer_keeps_scripts_frames_and_caches_out(hall, path):
    reply = hall.get(path)
    policy = dict(
        part.strip().partition(" ")[::2] for part in reply.headers["content-security-policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_errors_show_the_id_that_is_in_the_log(hall):
    signed_in(hall)
    assert "req-0123" in hall.get("/nothing").text
    assert [one for one in hall.desk.log if one.get("code") == "not_found" and one["id"] == "req-0123"]


@pytest.mark.parametrize("text", XSS)
def test_nothing_that_came_stands_on_a_page_as_it_is(hall, text):
    signed_in(hall)
    for path in (
        f"/{quote(text, safe='')}",
        f"/traces/{quote(text, safe='')}",
        f"/people?text={quote(text)}",
    ):
        shown = hall.get(path).text
        if set(text) & set("<>\"'"):
            assert text not in shown
        assert "<script>" not in shown
        assert "<img" not in shown
