"""What a program asks of a gateway to sign a person in: by the browser of this machine, or by a code (RFC 8252, 8628).

The standard library's HTTP client alone, so that a command starts fast.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import http.server
import re
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, TypeVar, cast

import msgspec

from vestibule import __version__
from vestibule.core.app import DEVICE_CODE, OWN_RESOURCE_PATH, SERVER_PATH, TOKEN_EXCHANGE
from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.protocol import base64url

T = TypeVar("T")

TIMEOUT_S: Final = 30.0
BROWSER_S: Final = 300.0
"""How long a person may take in the browser."""
ANSWER_MAX_BYTES: Final = 1 << 20
_AGENT: Final = f"vestibule/{__version__}"
_HERE_RE: Final = re.compile(
    r"http://(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]{1,5})?([/?#].*)?", re.IGNORECASE | re.DOTALL
)


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Where a gateway's endpoints are (RFC 8414)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    device_authorization_endpoint: str = ""
    grant_types_supported: tuple[str, ...] = ()
    vestibule_app: str = ""
    """Which app command lines are, where the gateway says so."""
    vestibule_resource: str = ""
    """The site that tokens of that app are for where none is named; empty: the issuer itself."""


class Entrance(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody signs in, and what for."""

    metadata: Metadata
    site: str = ""
    """Base URL of the site that was asked for; empty: none but the issuer's own."""

    def site_for(self, app: str, named: str) -> str:
        """Base URL of the site that this app's tokens are for; `named`: the one somebody wants, by name or URL."""
        if "://" in named:
            return named.rstrip("/")
        if named:
            parts = urllib.parse.urlsplit(self.metadata.issuer)
            return f"{parts.scheme}://{named}{'' if parts.port is None else f':{parts.port}'}"
        meant = self.metadata.vestibule_resource if app == self.metadata.vestibule_app else ""
        return self.site or meant or self.metadata.issuer


class _Protected(msgspec.Struct, frozen=True):
    """What a site says of the tokens that it takes (RFC 9728)."""

    resource: str
    authorization_servers: tuple[str, ...]


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What the token endpoint answered."""

    access_token: str
    expires_in: float = 600.0
    refresh_token: str = ""
    scope: str = ""

    def __repr__(self) -> str:
        return "Tokens(***)"


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is to do, elsewhere."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str = ""
    expires_in: float = 600.0
    interval: float = 5.0

    def __repr__(self) -> str:
        return f"Prompt({self.user_code!r})"


class TokenClient:
    """One gateway, and the app (or machine) that this program is there. Every method raises ClientError."""

    def __init__(
        self,
        metadata: Metadata,
        app: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metadata = metadata
        self.app = app
        self._sleep = sleep
        self._mono = mono

    def prompt(self, *, scope: str = "", resource: str = "") -> Prompt:
        """Codes for a person with a browser elsewhere."""
        if not self.metadata.device_authorization_endpoint:
            raise ClientError("this gateway lets no program in by a code", code="device_unsupported")
        form = {"scope": scope, "resource": resource}
        return _posted(self.metadata.device_authorization_endpoint, self._form(**form), Prompt)

    def wait(self, prompt: Prompt) -> Tokens:
        """The tokens, once the person has said yes. Spec: RFC 8628 section 3.5."""
        until_mono, interval_s = self._mono() + prompt.expires_in, prompt.interval
        while self._mono() < until_mono:
            self._sleep(interval_s)
            try:
                form = self._form(grant_type=DEVICE_CODE, device_code=prompt.device_code)
                return _posted(self.metadata.token_endpoint, form, Tokens)
            except ClientError as error:
                if error.code == "slow_down":
                    interval_s += 5.0
                elif error.code not in {"authorization_pending", "unreachable"}:
                    raise
        raise ClientError("nobody typed the code in time", code="expired_token")

    def by_browser(
        self,
        show: Callable[[str], object],
        *,
        scope: str = "",
        resource: str = "",
        within_s: float = BROWSER_S,
    ) -> Tokens:
        """The tokens, by a browser of this machine, which `show` opens at an address (RFC 8252 section 7.3).

        Threat: another program of this machine that answers in the gateway's place: `state` and `iss` are compared, and
        the code is of no use without the verifier, which stays here.
        """
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        with _Receiver() as receiver:
            challenge = base64url.encode(hashlib.sha256(verifier.encode()).digest())
            asked = self._form(
                response_type="code",
                redirect_uri=receiver.url,
                state=state,
                code_challenge=challenge,
                code_challenge_method="S256",
                scope=scope,
                resource=resource,
            )
            show(f"{self.metadata.authorization_endpoint}?{urllib.parse.urlencode(asked)}")
            back = receiver.wait(within_s, state)
            form = self._form(
                grant_type="authorization_code",
                code=_code_in(back, self.metadata.issuer),
                redirect_uri=receiver.url,
                code_verifier=verifier,
            )
        return _posted(self.metadata.token_endpoint, form, Tokens)

    def refresh(self, token: Secret) -> Tokens:
        """The next tokens; the one shown is good no more."""
        form = self._form(grant_type="refresh_token", refresh_token=token.reveal())
        return _posted(self.metadata.token_endpoint, form, Tokens)

    def by_proof(self, kind: str, proof: Secret, *, scope: str = "", resource: str = "") -> Tokens:
        """The token of a machine, for what its platform says of it. Spec: RFC 8693 section 2.1."""
        form = self._form(
            grant_type=TOKEN_EXCHANGE,
            subject_token_type=kind,
            subject_token=proof.reveal(),
            scope=scope,
            resource=resource,
        )
        return _posted(self.metadata.token_endpoint, form, Tokens)

    def by_key(self, key: Secret, *, scope: str = "", resource: str = "") -> Tokens:
        """The token of a machine, for its key. Spec: RFC 6749 section 4.4.2."""
        form = self._form(
            grant_type="client_credentials", client_secret=key.reveal(), scope=scope, resource=resource
        )
        return _posted(self.metadata.token_endpoint, form, Tokens)

    def revoke(self, token: Secret) -> None:
        """End the sign-in that this token is of."""
        _posted(self.metadata.revocation_endpoint, self._form(token=token.reveal()), dict[str, Any])

    def _form(self, **more: str) -> dict[str, str]:
        return {name: value for name, value in {"client_id": self.app, **more}.items() if value}


def entrance_of(url: str) -> Entrance:
    """Where people sign in for the site at this address: there, or at the auth host of its domain. Raises ClientError.

    Threat: a backend behind the site that tells of somebody else's server: it is asked at a path of the gateway's own.
    """
    base = _base_of(url)
    try:
        found = _asked(_request(base + OWN_RESOURCE_PATH), _Protected)
    except ClientError as error:
        if error.code == "unreachable" or error.status >= 500:
            raise
        return Entrance(metadata=metadata_of(base))  # an auth host: it takes no tokens itself
    if found.resource.rstrip("/") != base or len(found.authorization_servers) != 1:
        raise ClientError(f"{base} says that it is {found.resource}: sign in there", code="issuer_mismatch")
    return Entrance(metadata=metadata_of(found.authorization_servers[0]), site=base)


def metadata_of(url: str) -> Metadata:
    """What the gateway at this address says of itself. Raises ClientError.

    Threat: metadata of somebody else's (RFC 8414 section 3.3): it must name the address that was asked.
    """
    base = _base_of(url)
    found = _asked(_request(base + SERVER_PATH), Metadata)
    if found.issuer.rstrip("/") != base:
        raise ClientError(f"{base} says that it is {found.issuer}: sign in there", code="issuer_mismatch")
    return found


def session_at(site: str, token: Secret) -> dict[str, Any]:
    """Who is signed in there by this token, as `/@/session` says it. Raises ClientError."""
    request = _request(f"{site}/@/session")
    request.add_header("Authorization", f"Bearer {token.reveal()}")
    return _asked(request, dict[str, Any])


def is_private(url: str) -> bool:
    """True where nobody between can read along: https, or http to this machine.

    Threat: names that only begin like this machine's (`http://localhost.evil.example`).
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or _HERE_RE.fullmatch(url) is not None)


def _code_in(back: Mapping[str, str], issuer: str) -> str:
    """The code that came back. Spec: RFC 6749 section 4.1.2.1, RFC 9207 section 2.4."""
    if back.get("iss") != issuer:
        raise ClientError("somebody else answered", code="issuer_mismatch")
    if "error" in back:
        raise ClientError(f"the gateway said {back['error'][:100]}", code=back["error"][:40])
    return back.get("code", "")


class _Receiver:
    """A page on a free port of this machine that gets the browser back, once."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        found = self._found

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                came = dict(urllib.parse.parse_qsl(query)) if path == "/callback" else {}
                if came.get("state"):
                    found.update(came)
                said = "You are signed in. This page can be closed." if came.get("code") else "Nothing came."
                body = f"<!doctype html><title>Vestibule</title><p>{html.escape(said)}".encode()
                self.send_response(200 if came else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Nothing: codes stand in the addresses."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/callback"

    def wait(self, within_s: float, state: str) -> dict[str, str]:
        """What the browser brought. Raises ClientError."""
        until_mono = time.monotonic() + within_s
        while (left_s := until_mono - time.monotonic()) > 0:
            self._server.timeout = left_s
            self._server.handle_request()
            if secrets.compare_digest(self._found.get("state", "").encode(), state.encode()):
                return dict(self._found)
            self._found.clear()
        raise ClientError("nobody came back from the browser in time", code="browser_late")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.server_close()


class _Still(urllib.request.HTTPRedirectHandler):
    """Follows nothing. Threat: a redirect that takes a token elsewhere, as urllib would."""

    def redirect_request(self, *_arguments: object) -> None:
        """Nowhere: the answer is what it is."""


_OPENER: Final = urllib.request.build_opener(_Still)


def _base_of(url: str) -> str:
    base = url.rstrip("/")
    if not is_private(base):
        raise ClientError("a gateway is at https://… (or http://127.0.0.1)", code="bad_url")
    return base


def _request(url: str) -> urllib.request.Request:
    return urllib.request.Request(url)  # noqa: S310 - `_asked` looks at the scheme


def _posted(url: str, form: Mapping[str, str], wanted: type[T]) -> T:
    body = urllib.parse.urlencode(form).encode()
    return _asked(urllib.request.Request(url, data=body), wanted)  # noqa: S310 - of the gateway's metadata


def _asked(request: urllib.request.Request, wanted: type[T]) -> T:
    request.add_header("Accept", "application/json")
    request.add_header("User-Agent", _AGENT)
    if not is_private(request.full_url):
        raise ClientError("the gateway names an address that is not https", code="bad_url")
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return msgspec.json.decode(answer.read(ANSWER_MAX_BYTES) or b"{}", type=wanted)
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except (OSError, msgspec.MsgspecError) as error:
        host = urllib.parse.urlsplit(request.full_url).netloc
        raise ClientError(f"{host} can't be asked: {error}", code="unreachable") from None


def _refusal(error: urllib.error.HTTPError) -> ClientError:
    told: dict[str, Any] = {}
    with contextlib.suppress(OSError, msgspec.MsgspecError), error:
        told = cast("dict[str, Any]", msgspec.json.decode(error.read(ANSWER_MAX_BYTES), type=dict))
    code = str(told.get("error") or told.get("code") or f"status_{error.code}")
    why = str(told.get("error_description") or told.get("detail") or "")
    return ClientError(f"the gateway said {code}{f': {why}' if why else ''}", code=code, status=error.code)
