"""The gateway's own answers: a page where a person waits for one, JSON for the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import msgspec
import pytest

from tests.unit.web.asgi import HOST, PAGES, SIGNED_IN, Inert
from vestibule.protocol.url import Target, canonical
from vestibule.web.notices import Notices, status_line_of

NOTICES = Notices(PAGES)
SIGN_IN = "https://forum.example/@/signin"
BROWSER = {b"accept": b"text/html,*/*;q=0.8", b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}
OLD_BROWSER = {b"accept": b"text/html,*/*;q=0.8"}
FETCH = {b"accept": b"*/*", b"sec-fetch-mode": b"cors", b"sec-fetch-dest": b"empty"}
PICTURE = {b"accept": b"image/*,*/*;q=0.8", b"sec-fetch-mode": b"no-cors", b"sec-fetch-dest": b"image"}
CURL = {b"accept": b"*/*"}
API = {b"accept": b"application/json"}


class Head:
    """As much of a request's head as is looked at."""

    def __init__(
        self, values: Mapping[bytes, bytes], method: bytes = b"GET", target: bytes = b"/a?b=c"
    ) -> None:
        self.method = method
        self.target: Target = canonical(target)
        self._values = values

    def value(self, name: bytes) -> bytes:
        return self._values.get(name, b"")


@pytest.mark.parametrize(
    ("values", "method", "expected"),
    [
        pytest.param(BROWSER, b"GET", True, id="a browser"),
        pytest.param(BROWSER, b"HEAD", True, id="head"),
        pytest.param(OLD_BROWSER, b"GET", True, id="an old browser"),
        pytest.param(BROWSER, b"POST", False, id="a form"),
        pytest.param(FETCH, b"GET", False, id="a fetch"),
        pytest.param(PICTURE, b"GET", False, id="a picture"),
        pytest.param(CURL, b"GET", False, id="curl"),
        pytest.param(API, b"GET", False, id="an API's caller"),
        pytest.param({}, b"GET", False, id="nothing said"),
    ],
)
def test_who_is_sent_to_sign_in_at_once(values: dict[bytes, bytes], method: bytes, expected: bool) -> None:
    assert NOTICES.is_navigation(Head(values, method)) is expected


@pytest.mark.parametrize(
    ("values", "sign_in", "is_json"),
    [
        pytest.param(BROWSER, "", False, id="a browser"),
        pytest.param(BROWSER, SIGN_IN, False, id="a browser's form without a session"),
        pytest.param(CURL, "", False, id="curl"),
        pytest.param(CURL, SIGN_IN, True, id="curl without a session"),
        pytest.param(FETCH, "", True, id="a fetch"),
        pytest.param(API, SIGN_IN, True, id="an API's caller"),
    ],
)
def test_who_gets_which_form(values: dict[bytes, bytes], sign_in: str, is_json: bool) -> None:
    _, lines, body = NOTICES.make(
        Head(values, b"POST"),
        status=401,
        code="sign_in_required",
        request_id="req-0123",
        host=HOST,
        sign_in=sign_in,
    )
    assert (b"content-type: application/problem+json" in lines) is is_json
    assert b"req-0123" in body
    if is_json and sign_in:
        assert msgspec.json.decode(body)["sign_in"] == SIGN_IN


def test_another_account_leads_back_to_the_address_asked_for() -> None:
    _, _, body = NOTICES.make(
        Head(BROWSER), status=403, code="not_allowed", reason="email:boss@x", host=HOST, session=SIGNED_IN
    )
    read = Inert(body.decode())
    assert read.links == ["/@/signin?prompt=select_account&rd=%2Fa%3Fb%3Dc"]
    assert "Alice Liddell" in read.words
    assert "boss" not in body.decode()


def test_a_person_is_told_what_kinds_of_rules_decided_and_never_whom_they_name() -> None:
    refused = {
        "status": 403,
        "code": "not_allowed",
        "reason": "group:bosses",
        "host": HOST,
        "session": SIGNED_IN,
    }
    _, _, body = NOTICES.make(Head(BROWSER), **refused, decided_by=("domain", "group", "phase-of-moon"))
    words = Inert(body.decode()).words
    assert "What decides here: the domain of your e-mail address · your groups" in " ".join(
        " ".join(words).split()
    )
    assert "bosses" not in body.decode()
    _, _, body = NOTICES.make(Head(FETCH), **refused, decided_by=("domain", "group"))
    problem = msgspec.json.decode(body)
    assert problem["decided_by"] == ["domain", "group"]
    assert "bosses" not in str(problem)


@pytest.mark.parametrize(
    ("kinds", "email", "is_said"),
    [
        (("domain",), "", True),
        (("email", "group"), "", True),
        (("group",), "", False),
        (("domain",), "a@b.example", False),
    ],
)
def test_who_came_without_a_verified_address_is_told_so_where_that_counts(
    *, kinds: tuple[str, ...], email: str, is_said: bool
) -> None:
    identity = msgspec.structs.replace(SIGNED_IN.identities[0], email=email)
    session = msgspec.structs.replace(SIGNED_IN, identities=(identity,))
    _, _, body = NOTICES.make(
        Head(BROWSER), status=403, code="not_allowed", host=HOST, session=session, decided_by=kinds
    )
    assert ("without a verified e-mail address" in body.decode()) is is_said


def test_a_post_is_not_gone_back_to() -> None:
    _, _, body = NOTICES.make(Head(BROWSER, b"POST"), status=403, code="not_allowed", host=HOST)
    assert Inert(body.decode()).links == ["/@/signin?prompt=select_account"]


def test_a_request_that_could_not_be_read_gets_a_page_that_needs_nothing_else() -> None:
    status_line, lines, body = NOTICES.make(None, status=400, code="bad_header", request_id="req-0123")
    assert status_line == b"HTTP/1.1 400 Bad Request"
    assert b"cache-control: no-store" in lines
    assert b"<style>" in body


def test_a_page_of_the_data_plane_speaks_the_persons_language() -> None:
    head = Head({**BROWSER, b"accept-language": b"ja,en;q=0.5"})
    _, lines, body = NOTICES.make(head, status=502, code="backend_unavailable", host=HOST)
    assert b"content-language: ja" in lines
    assert "サイトが応答していません" in body.decode()


def test_json_can_be_demanded() -> None:
    _, lines, _ = NOTICES.make(None, status=401, code="handle_missing", as_json=True)
    assert b"content-type: application/problem+json" in lines


@pytest.mark.parametrize(
    ("status", "line"),
    [(431, b"HTTP/1.1 431 Request Header Fields Too Large"), (599, b"HTTP/1.1 599 ")],
)
def test_status_lines(status: int, line: bytes) -> None:
    assert status_line_of(status) == line


def test_the_gateway_can_answer_before_the_control_plane_is_loaded() -> None:
    """Pages and notices import no part of the ASGI side."""
    program = (
        "import sys, vestibule.web.notices;"
        "sys.exit(','.join(m for m in sys.modules if m.split('.')[0] in {'starlette', 'anyio'}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
