"""What becomes of an authorization request of an app (RFC 6749 section 4.1, OAuth 2.1, RFC 8252, RFC 9207)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from vestibule.core.app import App, Apps, asks_person, may_redirect
from vestibule.model import Session
from vestibule.protocol.authorization_server import AuthorizationRequest, OAuthErrorCode, is_challenge

_PROMPTS: Final = frozenset({"", "none", "login", "consent", "select_account"})


class Refuse(msgspec.Struct, frozen=True):
    """A page says so: nobody knows that the redirect URI is the app's."""

    code: str
    """`app_unknown` or `redirect_unknown`."""


class Back(msgspec.Struct, frozen=True):
    """The app is told, at its redirect URI."""

    code: OAuthErrorCode
    why: str = ""


class SignIn(msgspec.Struct, frozen=True):
    """Nobody is signed in, or not as it is asked for: first that."""

    anew: bool = False
    """Whoever is signed in is to sign in once more."""


class Confirm(msgspec.Struct, frozen=True):
    """The person is asked first."""

    app: App
    host: str
    scopes: tuple[str, ...]


class Give(msgspec.Struct, frozen=True):
    """The app gets a code for a session at this host."""

    app: App
    host: str
    scopes: tuple[str, ...]


Step: TypeAlias = Refuse | Back | SignIn | Confirm | Give


def next_step(
    request: AuthorizationRequest,
    apps: Apps,
    *,
    hosts: Collection[str],
    session: Session | None,
    is_confirmed: bool = False,
    signed_in_since: float = 0.0,
) -> Step:
    """What comes next.

    `hosts`: those for which this authorization server gives tokens. `is_confirmed`: the person has said yes to this
    very request. `signed_in_since`: of a `prompt=login`, when it was first asked; 0: just now.

    Threat: a code that goes to somebody else than the app (2), a code that somebody else can use (3: PKCE is asked of
    every app), an app that signs itself in as whoever happens to be there (5), a mix-up (`iss` in all answers).
    """
    # 1. Which app: RFC 6749 section 4.1.2.1, no redirect for one that isn't known.
    app = apps.by_id.get(request.client_id)
    if app is None:
        return Refuse("app_unknown")
    # 2. Where answers go: RFC 9700 section 2.1.
    if not may_redirect(app, request.redirect_uri):
        return Refuse("redirect_unknown")
    # 3. What it asks for: RFC 6749 section 4.1.1, RFC 7636 section 4.3, RFC 8707 section 2.
    fault = _fault(request, app)
    if fault is not None:
        return fault
    host = audience(app, request.resource, hosts)
    if host is None:
        return Back("invalid_target", "this app has no tokens for that")
    # 4. Who is there: OpenID Connect Core section 3.1.2.1 for `prompt`.
    if session is None or not session.user_id:
        return Back("login_required") if request.prompt == "none" else SignIn()
    if request.prompt in {"login", "select_account"} and not (
        signed_in_since and session.signed_in_at >= signed_in_since
    ):
        return SignIn(anew=True)
    # 5. Whether they want it: RFC 8252 section 8.6.
    scopes = request.scopes or app.scopes
    if not is_confirmed and (request.prompt == "consent" or asks_person(app, request.redirect_uri)):
        return Back("consent_required") if request.prompt == "none" else Confirm(app, host, scopes)
    return Give(app, host, scopes)


def audience(app: App, resource: str, hosts: Collection[str]) -> str | None:
    """The host that a token is asked for: by its name or as a URL (RFC 8707); None for what it can't be for."""
    if not resource:
        return next((host for host in app.hosts if host in hosts), None)
    try:
        name = (urlsplit(resource).hostname or "") if "://" in resource else resource
    except ValueError:
        return None
    return name if name in app.hosts and name in hosts else None


def _fault(request: AuthorizationRequest, app: App) -> Back | None:
    if request.fault:
        return Back("invalid_request", request.fault)
    if request.response_type != "code":
        return Back("unsupported_response_type", "response_type is code")
    if "code" not in app.grants:
        return Back("unauthorized_client", "this app does not sign in by a browser")
    if request.challenge_method != "S256" or not is_challenge(request.challenge):
        return Back(
            "invalid_request", "PKCE is asked of every app: code_challenge, code_challenge_method=S256"
        )
    if not set(request.scopes) <= set(app.scopes):
        return Back("invalid_scope", "this app may not ask for that scope")
    if request.prompt not in _PROMPTS:
        return Back("invalid_request", "prompt is none, login, consent or select_account")
    return None
