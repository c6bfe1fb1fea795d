"""Pages as bytes and headers: what they say, where they lead, what a browser may do with them."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.web.asgi import ALICE, PAGES, SIGNED_IN, XSS, Inert, session_of
from vestibule.model import Session
from vestibule.web.blocks import Choice
from vestibule.web.page import Page, with_query
from vestibule.web.pages import Scene, person_of, prefers_json

SCENE = Scene(request_id="req-0123", host="forum")
SIGNED_IN_SCENE = Scene(request_id="req-0123", host="forum", who="Alice", rd="/a b?c=d&e", again="/x")

ANY_PAGE = [
    pytest.param(PAGES.error(0, "not_allowed", scene=SIGNED_IN_SCENE), id="error with a form"),
    pytest.param(PAGES.error(0, "not_found", scene=SCENE), id="error"),
    pytest.param(PAGES.error(0, "unknown_host"), id="alone"),
    pytest.param(PAGES.signin([Choice(title="Google", href="/@google/signin")], SCENE), id="sign-in"),
    pytest.param(PAGES.signed_out(SCENE), id="signed out"),
    pytest.param(PAGES.confirm_sign_out(SIGNED_IN_SCENE, action="/@/signout"), id="confirm"),
    pytest.param(PAGES.problem(401, "sign_in_required"), id="problem"),
    pytest.param(PAGES.json(200, {}), id="json"),
]


def headers(page: Page) -> dict[str, str]:
    assert len(dict(page.headers)) == len(page.headers)
    return dict(page.headers)


def policy(page: Page) -> dict[str, str]:
    directives = headers(page)["content-security-policy"].split("; ")
    return {name: value for name, _, value in (directive.partition(" ") for directive in directives)}


@pytest.mark.parametrize("page", ANY_PAGE)
def test_every_answer_carries_the_headers(page: Page) -> None:
    found = headers(page)
    assert found["cache-control"] == "no-store"
    is_page = found["content-type"].startswith("text/html")
    assert found["vary"] == "Cookie, Authorization" + (", Accept-Language" if is_page else "")
    assert found.get("content-language") == ("en" if is_page else None)
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] in {"no-referrer", "same-origin"}
    assert found["cross-origin-opener-policy"] == "same-origin"
    assert found["cross-origin-resource-policy"] == "same-origin"
    assert "charset=utf-8" in found["content-type"] or "json" in found["content-type"]
    assert policy(page)["default-src"] == "'none'"
    assert policy(page)["frame-ancestors"] == "'none'"
    assert policy(page)["base-uri"] == "'none'"
    assert "unsafe" not in found["content-security-policy"]


@pytest.mark.parametrize("page", ANY_PAGE[:6])
def test_every_page_is_inert_and_readable_by_machines(page: Page) -> None:
    text = page.body.decode()
    read = Inert(text)
    assert '<html lang="en" dir="ltr">' in text
    assert read.tags.count("h1") == read.tags.count("main") == read.tags.count("title") == 1
    assert "style=" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_pages_with_a_form_let_the_browser_send_its_origin() -> None:
    with_form = PAGES.error(0, "not_allowed", scene=SIGNED_IN_SCENE)
    assert Inert(with_form.body.decode()).forms == ["/@/signout"]
    assert headers(with_form)["referrer-policy"] == "same-origin"
    assert headers(PAGES.error(0, "not_found", scene=SCENE))["referrer-policy"] == "no-referrer"


def test_a_page_without_a_host_brings_its_stylesheet_along_by_its_hash() -> None:
    page = PAGES.error(421, "unknown_host", scene=Scene(request_id="req-0123"))
    style = re.search(r"<style>(.*)</style>", page.body.decode(), re.DOTALL)
    assert style is not None
    digest = b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy(page)["style-src"] == f"'sha256-{digest}'"
    assert policy(page)["img-src"] == "'none'"
    assert "/@/static/" not in page.body.decode()
    assert Inert(page.body.decode()).links == []


def test_a_page_of_a_host_names_files_that_exist() -> None:
    page = PAGES.signin([Choice(title="Google", href="/@google/signin", kind="google")], SCENE)
    names = re.findall(r'"(/@/static/[^"]+)"', page.body.decode())
    assert len(names) == 3
    for name in names:
        found = PAGES.static(name)
        assert found is not None
        assert headers(found)["cache-control"] == "public, max-age=31536000, immutable"
        assert headers(found)["x-content-type-options"] == "nosniff"
    assert PAGES.static("/@/static/vestibule.css") is None


def test_a_button_bears_its_providers_mark_or_its_first_letter() -> None:
    page = PAGES.signin(
        [
            Choice(title="Google", href="/@google/signin", kind="google"),
            Choice(title="émile’s", href="/@e/signin"),
        ],
        SCENE,
    )
    text = page.body.decode()
    assert "/@/static/google." in text
    assert '<span class="letter" aria-hidden="true">É</span>' in text
    assert Inert(text).links == ["/@google/signin", "/@e/signin"]


@pytest.mark.parametrize("text", XSS)
def test_nothing_from_outside_becomes_markup_or_a_link_elsewhere(text: str) -> None:
    scene = Scene(request_id=text, host=text, who=text, rd=text, again=text, other_ways=True)
    rendered = [
        PAGES.error(0, "not_allowed", reason=text, scene=scene),
        PAGES.error(0, "provider_unavailable", reason=text, scene=scene),
        PAGES.error(400, text, reason=text, scene=scene),
        PAGES.signin([Choice(title=text, href="/@x/signin", kind=text)], scene),
        PAGES.signed_out(scene),
        PAGES.confirm_sign_out(scene, action="/@/signout", what=text),
    ]
    for page in rendered:
        read = Inert(page.body.decode())
        assert text in "".join(read.words)


@pytest.mark.parametrize(
    "again", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/a\nb", "x"]
)
def test_trying_again_never_leads_elsewhere(again: str) -> None:
    page = PAGES.error(0, "backend_unavailable", scene=Scene(host="forum", again=again))
    assert Inert(page.body.decode()).links == [""]


def test_signing_in_goes_back_to_where_it_was_needed() -> None:
    page = PAGES.error(0, "sign_in_required", scene=SIGNED_IN_SCENE)
    assert Inert(page.body.decode()).links == ["/@/signin?rd=%2Fa%20b%3Fc%3Dd%26e"]


def test_the_403_says_who_and_offers_another_account_and_the_way_out() -> None:
    page = PAGES.error(403, "not_allowed", scene=SIGNED_IN_SCENE)
    read = Inert(page.body.decode())
    assert "Alice" in read.words
    assert read.links == ["/@/signin?prompt=select_account&rd=%2Fa%20b%3Fc%3Dd%26e"]
    assert read.forms == ["/@/signout"]
    assert "Alice" not in Inert(PAGES.error(0, "not_found", scene=SIGNED_IN_SCENE).body.decode()).words


@pytest.mark.parametrize("code", ["not_allowed", "denied", "denied_unknown", "sign_in_required"])
def test_rules_are_not_recited_to_whoever_asks(code: str) -> None:
    """A decision's reason names rules, and so other people's addresses."""
    reason = "no rule allows it: email:boss@example.com"
    assert b"boss" not in PAGES.error(0, code, reason=reason, scene=SCENE).body
    assert b"boss" not in PAGES.problem(0, code, reason=reason).body
    assert b"boss" in PAGES.problem(0, "method_not_allowed", reason=reason).body


def test_nobody_signed_in_is_not_offered_to_sign_out() -> None:
    assert Inert(PAGES.error(403, "not_allowed", scene=SCENE).body.decode()).forms == []


def test_another_way_to_sign_in_is_offered_only_where_there_is_one() -> None:
    one = PAGES.error(0, "provider_unavailable", scene=SCENE).body.decode()
    two = PAGES.error(0, "provider_unavailable", scene=Scene(host="forum", other_ways=True)).body.decode()
    assert "another way" not in one
    assert "another way" in two


def test_the_landing_page_does_not_claim_that_a_session_ended_that_did_not() -> None:
    assert "You are signed out" in PAGES.signed_out(SCENE).body.decode()
    still = PAGES.signed_out(SIGNED_IN_SCENE).body.decode()
    assert "You are signed out" not in still
    assert Inert(still).forms == ["/@/signout"]


def test_leaving_for_another_origin_is_no_redirect() -> None:
    page = PAGES.leaving(SIGNED_IN_SCENE, location="https://idp.example/logout?a=b&c=d")
    assert page.status == 200
    assert headers(page)["refresh"] == "0; url=https://idp.example/logout?a=b&c=d"
    assert "Alice" not in page.body.decode()


def test_a_page_speaks_the_persons_language() -> None:
    page = PAGES.signin(
        [
            Choice(title="Google", href="/@google/signin", kind="google"),
            Choice(title="IdP", href="/@idp/signin"),
        ],
        Scene(host="forum", who="Alice", languages="de-AT,de;q=0.9,en;q=0.5"),
    )
    words = "".join(Inert(page.body.decode()).words)
    assert headers(page)["content-language"] == "de"
    assert "Mit Google anmelden" in words
    assert "Weiter mit IdP" in words
    assert "Angemeldet als Alice" in words


def test_what_a_provider_answered_is_put_into_words() -> None:
    scene = Scene(host="forum", languages="fr")
    page = PAGES.error(0, "provider_refused", answered="consent_required", scene=scene)
    assert "Sa réponse\u00a0: consent_required" in "".join(Inert(page.body.decode()).words)
    problem = PAGES.problem(0, "provider_refused", answered="consent_required")
    assert msgspec.json.decode(problem.body)["detail"] == "It answered: consent_required"


def test_a_problem_is_problem_json() -> None:
    page = PAGES.problem(403, "not_allowed", request_id="req-0123", sign_in="https://forum.example/@/signin")
    assert headers(page)["content-type"] == "application/problem+json"
    assert msgspec.json.decode(page.body) == {
        "type": "urn:vestibule:problem:not_allowed",
        "title": "You can’t open this page",
        "status": 403,
        "code": "not_allowed",
        "detail": "Your account is not among those who may open it.",
        "id": "req-0123",
        "sign_in": "https://forum.example/@/signin",
    }


def test_a_401_names_a_scheme() -> None:
    """RFC 9110 section 15.5.2: a 401 must say how to authenticate."""
    assert "www-authenticate" in headers(PAGES.problem(401, "sign_in_required"))
    assert "www-authenticate" in headers(PAGES.error(401, "sign_in_required", scene=SCENE))
    assert "www-authenticate" not in headers(PAGES.problem(403, "not_allowed"))


def test_header_lines_are_ready_for_the_wire() -> None:
    assert b"cache-control: no-store" in PAGES.error(0, "not_found", scene=SCENE).header_lines()


@pytest.mark.parametrize(
    ("session", "name"),
    [
        pytest.param(None, "", id="nobody"),
        pytest.param(session_of(), "", id="credentials only"),
        pytest.param(SIGNED_IN, "Alice Liddell", id="name"),
        pytest.param(session_of(replace(ALICE, name="")), "alice@example.com", id="address"),
        pytest.param(session_of(replace(ALICE, name="", email="")), "alice", id="login"),
        pytest.param(session_of(replace(ALICE, name="", email="", login="")), "a-1", id="subject"),
    ],
)
def test_a_person_is_called_by_the_best_name_there_is(session: Session | None, name: str) -> None:
    assert person_of(session) == name


@pytest.mark.parametrize(
    ("accept", "dest", "requested_with", "expected"),
    [
        pytest.param("text/html,application/xhtml+xml,*/*;q=0.8", "document", "", False, id="a browser"),
        pytest.param("text/html, application/json", "empty", "", False, id="html is fine"),
        pytest.param("application/json", "", "", True, id="json"),
        pytest.param("application/problem+json", "", "", True, id="problem json"),
        pytest.param("*/*", "empty", "", True, id="fetch"),
        pytest.param("*/*", "", "XMLHttpRequest", True, id="jquery"),
        pytest.param("*/*", "", "", False, id="curl"),
        pytest.param("", "", "", False, id="nothing"),
        pytest.param("image/*", "image", "", False, id="image"),
    ],
)
def test_who_gets_json(accept: str, dest: str, requested_with: str, expected: bool) -> None:
    assert prefers_json(accept, dest, requested_with) is expected


def test_queries_are_encoded() -> None:
    assert with_query("/a", rd="") == "/a"
    assert with_query("/a?b=c", rd="/x&y=z#f") == "/a?b=c&rd=%2Fx%26y%3Dz%23f"


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        ("ink", "door", 4.5),
        ("soft", "door", 4.5),
        ("ink", "tint", 4.5),
        ("on-accent", "accent", 4.5),
        ("on-accent", "accent-over", 4.5),
        ("edge", "door", 3),
        ("ring", "door", 3),
        ("accent", "door", 3),
    ],
)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_keep_their_contrast(scheme: int, front: str, back: str, least: float) -> None:
    """WCAG 2.2 AA: 1.4.3 for text, 1.4.11 for edges and focus rings."""
    blocks = PAGES.assets.style.split(":root {")[1:3]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[scheme]))
    assert _contrast(colours[front], colours[back]) >= least
