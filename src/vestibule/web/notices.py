"""The gateway's answers to requests that never reach the control plane: a page for people, JSON for programs."""

from __future__ import annotations

import http
from typing import Protocol

from vestibule.core.branding import PLAIN
from vestibule.core.route import Host
from vestibule.model import Session
from vestibule.protocol.url import Target
from vestibule.web.pages import Pages, Scene, person_of, prefers_json


class Head(Protocol):
    """What is asked of a request's head."""

    method: bytes
    target: Target

    def value(self, name: bytes) -> bytes:
        """The value of the first header line with this lower-case name, or empty."""


class Notices:
    """Makes answers; one for all listeners."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def is_navigation(self, head: Head) -> bool:
        """True when a person waits for a page: a browser says so, or an old one asks for HTML by GET."""
        if head.method not in {b"GET", b"HEAD"}:
            return False
        mode = head.value(b"sec-fetch-mode")
        if mode:
            return mode == b"navigate"
        return not self._is_program(head) and b"text/html" in head.value(b"accept")

    def make(
        self,
        head: Head | None,
        *,
        status: int,
        code: str,
        reason: str = "",
        request_id: str = "",
        host: Host | None = None,
        session: Session | None = None,
        sign_in: str = "",
        decided_by: tuple[str, ...] = (),
        as_json: bool = False,
    ) -> tuple[bytes, list[bytes], bytes]:
        """Status line, header lines, body. `head` None: the request could not be read."""
        if as_json or (head is not None and self._wants_problem(head, sign_in)):
            page = self._pages.problem(
                status, code, reason=reason, request_id=request_id, sign_in=sign_in, decided_by=decided_by
            )
        else:
            scene = Scene(
                request_id=request_id,
                host=(host.title or host.name.decode()) if host is not None else "",
                branding=host.branding if host is not None else PLAIN,
                languages=head.value(b"accept-language").decode("latin-1") if head is not None else "",
                who=person_of(session),
                has_no_email=session is not None and not any(known.email for known in session.identities),
                rd=_way_back(head),
            )
            page = self._pages.error(status, code, reason=reason, decided_by=decided_by, scene=scene)
        return status_line_of(page.status), page.header_lines(), page.body

    def _wants_problem(self, head: Head, sign_in: str) -> bool:
        """Programs want JSON; where signing in would help, so does all that does not ask for HTML."""
        return self._is_program(head) or bool(sign_in and b"text/html" not in head.value(b"accept"))

    def _is_program(self, head: Head) -> bool:
        return prefers_json(
            head.value(b"accept").decode("latin-1"),
            head.value(b"sec-fetch-dest").decode("latin-1"),
            head.value(b"x-requested-with").decode("latin-1"),
        )


def _way_back(head: Head | None) -> str:
    """Where to go after signing in (again): the address asked for, if it can be asked for by a link."""
    return head.target.full.decode("ascii") if head is not None and head.method == b"GET" else ""


def status_line_of(status: int) -> bytes:
    """The status line of an answer with this status."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}".encode("ascii")
