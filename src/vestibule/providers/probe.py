"""A client tried out without a person: its documents, its keys, its credentials, its redirect URL.

Nothing is signed in and nothing is changed at the provider: the authorization page is asked for as a browser would ask,
and the token endpoint gets a code that was never given out. How it refuses that tells whether it knows the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

from vestibule.errors import ProviderError, ProviderRefused, ProviderUnavailable, VestibuleError
from vestibule.model import Secret
from vestibule.protocol import oauth2 as wire
from vestibule.providers.base import Finding, Start
from vestibule.providers.kit import Flow, Get, Keys, PostForm, Reply

_CODE: Final = Secret("vestibule-test-no-such-code")
_VERIFIER: Final = Secret("vestibule-test-no-such-verifier-0123456789abcdef")
#: what providers say of a code that was never given out, to a client whose credentials they took
_NO_SUCH_CODE: Final = frozenset({"invalid_grant", "bad_verification_code", "invalid_code"})
_NO_SUCH_CLIENT: Final = frozenset(
    {
        "invalid_client",
        "unauthorized_client",
        "incorrect_client_credentials",
        "invalid_client_id",
        "bad_client_secret",
    }
)
_KEY_TYPES: Final[Mapping[str, str]] = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class At(Protocol):
    """Where the provider does what: `providers.oauth2.Endpoints`."""

    authorize_url: str
    token_url: str
    jwks_url: str
    algorithms: tuple[str, ...]
    has_s256: bool | None
    via: str


class Client(Protocol):
    """What is asked of a client: `providers.oauth2.OAuth2`."""

    @property
    def keeps(self) -> str:
        """The hint it can't do without."""

    def endpoints(self) -> Flow[Any]:
        """Where its provider does what."""

    def start(self, start: Start) -> Flow[str]:
        """The URL to send a browser to."""

    def authenticated(
        self, form: wire.Form, at: Any, now: float
    ) -> tuple[wire.Form, tuple[str, Secret] | None]:
        """The form and the `basic` by which it shows who it is."""


def probed(client: Client, redirect_uri: str, now: float) -> Flow[tuple[Finding, ...]]:
    """What can be found out without a person. Raises nothing of its own."""
    if client.keeps:
        return (Finding(what="provider", ok=True, detail="there is nothing to try without a person"),)
    try:
        at: At = yield from client.endpoints()
    except ProviderError as exc:
        advice = "check the issuer, as the provider writes it, and that this machine reaches it"
        return (Finding(what="discovery", ok=False, detail=_why(exc), advice=advice),)
    # Who is known by URLs of ours was asked nothing so far.
    what = "discovery" if at.jwks_url else "endpoints"
    found = [Finding(what=what, ok=True, detail=f"token endpoint {at.token_url}")]
    if at.jwks_url:
        found.append(_pkce(at))
        found.append((yield from _keys(at)))
    found.append((yield from _page(client, at, redirect_uri)))
    found.append((yield from _credentials(client, at, redirect_uri, now)))
    return tuple(found)


def _why(error: VestibuleError) -> str:
    """What happened, and where."""
    return f"{error.message} ({error.detail})" if error.detail else error.message


def _reach(error: VestibuleError) -> str:
    """What to look at where nothing answered; empty: something did."""
    return "check that this machine reaches it" if isinstance(error, ProviderUnavailable) else ""


def _pkce(at: At) -> Finding:
    if at.has_s256:
        return Finding(what="PKCE", ok=True, detail="it does S256")
    if at.has_s256 is None:
        return Finding(
            what="PKCE", ok=True, detail="its metadata says nothing of it; S256 is sent all the same"
        )
    advice = "S256 is sent all the same; require_pkce refuses such a provider"
    return Finding(what="PKCE", ok=False, detail="its metadata doesn't name S256", advice=advice)


def _keys(at: At) -> Flow[Finding]:
    """Whether there is a key that an ID token can be checked with."""
    try:
        keys: tuple[dict[str, Any], ...] = yield Keys(at.jwks_url, None, at.via)
    except ProviderError as exc:
        return Finding(what="keys", ok=False, detail=_why(exc), advice=f"look at {at.jwks_url}")
    types = {_KEY_TYPES.get(name[:2], "") for name in at.algorithms}
    usable = [key for key in keys if key.get("kty") in types and key.get("use", "sig") == "sig"]
    if usable:
        of = ", ".join(dict.fromkeys(str(key["kty"]) for key in usable))
        return Finding(what="keys", ok=True, detail=f"{len(usable)} to check ID tokens with ({of})")
    detail = f"none of {len(keys)} is for signatures by {', '.join(at.algorithms)}"
    return Finding(what="keys", ok=False, detail=detail, advice="sign ID tokens with RS256 or ES256 there")


def _page(client: Client, at: At, redirect_uri: str) -> Flow[Finding]:
    """Whether the authorization page is there for this client and redirect URL."""
    what, advice = "authorization page", f"register the redirect URL {redirect_uri}, and check the client ID"
    start = Start(
        redirect_uri=redirect_uri, state="vestibule-test", nonce="vestibule-test", verifier=_VERIFIER
    )
    try:
        url = yield from client.start(start)
        reply: Reply = yield Get(url=url, headers=(("accept", "text/html"),), via=at.via, follow=False)
    except VestibuleError as exc:
        return Finding(what=what, ok=False, detail=_why(exc), advice=_reach(exc) or advice)
    # Its next page would want the cookies of a browser: that there is one is all there is to see.
    to = reply.headers.get("location", "")
    error = parse_qs(urlsplit(to).query).get("error", [""])[0]
    if to.startswith(f"{redirect_uri}?") and error not in ("login_required", "interaction_required"):
        return Finding(what=what, ok=False, detail=f"it sends people back with {error[:60]!r}")
    if reply.status >= 400 or "error" in urlsplit(to).path:
        return Finding(what=what, ok=False, detail=f"it answers {reply.status}", advice=advice)
    return Finding(what=what, ok=True, detail="it takes this client and redirect URL, as far as it shows")


def _credentials(client: Client, at: At, redirect_uri: str, now: float) -> Flow[Finding]:
    """Whether the token endpoint takes the client's credentials."""
    what = "client credentials"
    advice = "check client ID, client secret and auth_style against the registration"
    try:
        form = wire.code_form(_CODE, redirect_uri=redirect_uri, verifier=_VERIFIER)
        form, basic = client.authenticated(form, at, now)
        reply: Reply = yield PostForm(url=at.token_url, form=form, basic=basic, via=at.via)
        content_type = reply.headers.get("content-type", "")
        wire.parse_token_answer(reply.status, content_type, reply.body, now=now, asked=())
    except ProviderRefused as exc:
        if exc.error in _NO_SUCH_CODE:
            return Finding(what=what, ok=True, detail="accepted: the test code alone was refused")
        if exc.error == "redirect_uri_mismatch":
            advice = f"register the redirect URL {redirect_uri}"
        elif exc.error not in _NO_SUCH_CLIENT:
            advice = "look it up in the provider's documentation"
        return Finding(what=what, ok=False, detail=f"refused: {exc.error[:60]}", advice=advice)
    except VestibuleError as exc:
        return Finding(what=what, ok=False, detail=_why(exc), advice=_reach(exc) or advice)
    return Finding(
        what=what, ok=False, detail="the token endpoint takes any code", advice="don't trust this provider"
    )
