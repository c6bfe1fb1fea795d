"""Answers of the control plane: pages, redirects and errors as Starlette responses."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable

import msgspec
from starlette.responses import Response

from vestibule.core.route import SIGN_IN_PATH
from vestibule.errors import ClientError, ProviderRefused, TooManyTries, VestibuleError
from vestibule.model import RETRY_AFTER_S, Session
from vestibule.observe.log import Log
from vestibule.service.authorizing import Authorizing
from vestibule.service.device_flow import DeviceFlow
from vestibule.service.devices import Devices
from vestibule.service.machines import MachineTokens
from vestibule.service.minting import Minting
from vestibule.service.native import Native
from vestibule.service.people import People
from vestibule.service.registered_apps import RegisteredApps
from vestibule.service.signin import SignIn
from vestibule.web.asking import Ask
from vestibule.web.page import COMMON_HEADERS, Page, with_query
from vestibule.web.pages import Pages, Scene
from vestibule.web.texts import TEXTS

_OAUTH_ERROR = re.compile(r"[a-z][a-z0-9_]{1,39}")
#: the site's own registration is at fault: RFC 6749 sections 4.1.2.1 and 5.2
_OPERATOR_ERRORS = {"invalid_client", "unauthorized_client", "unsupported_response_type", "invalid_scope"}
_UNAVAILABLE_ERRORS = {"temporarily_unavailable", "server_error"}
_REDIRECT_HEADERS = (
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    *COMMON_HEADERS,
)


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What the handlers work with."""

    signin: SignIn
    people: People
    minting: Minting
    devices: Devices
    authorizing: Authorizing
    device_flow: DeviceFlow
    machines: MachineTokens
    native: Native
    registered: RegisteredApps
    pages: Pages
    log: Log


def answer(page: Page, set_cookies: Iterable[str] = ()) -> Response:
    """The page as a response."""
    return _with_headers(Response(page.body, page.status), page.headers, set_cookies)


def redirect(location: str, set_cookies: Iterable[str] = ()) -> Response:
    """Send the browser on with 303: whatever the method was, a GET follows. Spec: RFC 9700 section 4.12."""
    headers = (("location", checked_location(location)), *_REDIRECT_HEADERS)
    return _with_headers(Response(b"", 303), headers, set_cookies)


def to_app(location: str) -> Response:
    """Send the browser on to an app, by its own scheme, too: only to where `core.app.may_redirect` said it may go."""
    if not (location.isascii() and location.isprintable() and " " not in location):
        raise VestibuleError(detail="a redirect to an address that can't be one")
    return _with_headers(Response(b"", 303), (("location", location), *_REDIRECT_HEADERS), ())


def checked_location(location: str) -> str:
    """The address, as one that may stand in a header and a link. Raises VestibuleError.

    Threat: header splitting and script addresses, should one get past those who make the addresses. That it
    leads to a place of ours is not checked here.
    """
    is_plain = location.isascii() and location.isprintable() and " " not in location
    if not is_plain or not location.startswith(("/", "https://", "http://")):
        raise VestibuleError(detail="a redirect to an address that can't be one")
    return location


def failure(
    desk: Desk, ask: Ask, error: VestibuleError, scene: Scene | None = None, set_cookies: Iterable[str] = ()
) -> Response:
    """The answer to an error raised on purpose, as a page or as JSON, and one line in the log."""
    code, status = _code_and_status(error)
    write_refusal(desk, ask, error)
    if code not in TEXTS:
        code = error.public_code
    # Threat: text of somebody else's choosing on a page of ours.
    reason = "" if code in TEXTS else error.message
    answered = _answered(error, code)
    if ask.wants_json:
        page = problem(desk, ask, status, code, reason=reason, answered=answered)
    else:
        shown = scene or ask.scene(again=_again(ask))
        page = desk.pages.error(status, code, reason=reason, answered=answered, scene=shown)
    if isinstance(error, TooManyTries):
        page = page.with_headers(("retry-after", str(error.retry_after_s)))
    elif status == 503:
        page = page.with_headers(("retry-after", str(RETRY_AFTER_S)))
    return answer(page, set_cookies)


def write_refusal(desk: Desk, ask: Ask, error: VestibuleError) -> None:
    """The one line in the log."""
    code, status = _code_and_status(error)
    write = desk.log.info if isinstance(error, ClientError) else desk.log.warning
    write(
        "refused",
        id=ask.visit.request_id,
        status=status,
        code=code,
        message=error.message,
        detail=error.detail,
        host=ask.visit.host.name,
        method=ask.method,
        path=ask.path,
        address=ask.visit.address,
    )


def note(desk: Desk, ask: Ask, event: str, session: Session) -> None:
    """Log that somebody has come or gone: ids only, no name and no address of mail."""
    visit = ask.visit
    desk.log.info(
        event,
        id=visit.request_id,
        host=visit.host.name,
        client=ask.client,
        session=session.id,
        user=session.user_id,
        address=visit.address,
    )


def problem(desk: Desk, ask: Ask, status: int, code: str, *, reason: str = "", answered: str = "") -> Page:
    """The JSON form of an error; a 401 says where to sign in."""
    return desk.pages.problem(
        status,
        code,
        reason=reason,
        answered=answered,
        request_id=ask.visit.request_id,
        sign_in=ask.visit.site.base_url + SIGN_IN_PATH if status == 401 else "",
    )


def crash(desk: Desk, ask: Ask, error: Exception) -> Response:
    """The answer to an error nobody meant: its kind goes to the log, nothing of it to the page."""
    desk.log.error(
        "fault",
        id=ask.visit.request_id,
        error=repr(error),
        path=ask.path,
        trace="".join(traceback.format_exception(error)[-4:]),
    )
    if ask.wants_json:
        return answer(problem(desk, ask, 500, "internal_error"))
    return answer(desk.pages.error(500, "internal_error", scene=ask.scene(again=_again(ask))))


def _code_and_status(error: VestibuleError) -> tuple[str, int]:
    if isinstance(error, ProviderRefused):
        if error.error == "access_denied":
            return "access_denied", 403
        if error.error in _OPERATOR_ERRORS:
            return "provider_misconfigured", 502
        if error.error in _UNAVAILABLE_ERRORS:
            return "provider_unavailable", 503
    return error.code, error.status


def _answered(error: VestibuleError, code: str) -> str:
    """The error code a provider answered with, where it is one that says something, and looks like one."""
    if code in {"provider_refused", "provider_misconfigured"} and isinstance(error, ProviderRefused):
        return error.error if _OAUTH_ERROR.fullmatch(error.error) else ""
    return ""


def _again(ask: Ask) -> str:
    """Trying again means the same sign-in from its start; elsewhere the same address."""
    return with_query(f"/@{ask.client}/signin", rd=ask.rd) if ask.client else ""


def _with_headers(
    response: Response, headers: Iterable[tuple[str, str]], set_cookies: Iterable[str]
) -> Response:
    for name, value in headers:
        response.headers[name] = value
    for cookie in set_cookies:
        response.headers.append("set-cookie", cookie)
    return response
