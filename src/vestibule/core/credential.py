"""Which credentials a host takes from callers without a browser: whose tokens, whose passwords."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from vestibule.model import Bounds, Secret
from vestibule.protocol.authorization import basic_challenge, bearer_challenge
from vestibule.protocol.jose import ALGORITHMS
from vestibule.protocol.oauth2 import ClientAuth

INVALID_TOKEN: Final = "invalid_token"  # noqa: S105 - a code
BAD_CREDENTIALS: Final = "bad_credentials"
SESSION_INVALID: Final = "session_invalid"
TOO_OLD: Final = "sign_in_too_old"
HTPASSWD: Final = "htpasswd"
"""How rules name the people of a password file: `user:htpasswd/ann`."""
APIKEY: Final = "apikey_auth"
"""The same of users with keys."""
USUAL_CLAIMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "login": "preferred_username",
        "name": "name",
        "email": "email",
        "email_verified": "email_verified",
        "groups": "groups",
        "orgs": "orgs",
        "roles": "roles",
    }
)
"""Where tokens mostly have what is known of people."""


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose tokens are taken. Its `name` is what identities from it have as their client."""

    name: str
    url: str = ""
    """As `iss` has it, exactly; empty: whoever signs with the keys at `jwks_url`."""
    audience: tuple[str, ...] = ()
    """One of these must be among those a token is for; empty: not looked at."""
    algorithms: tuple[str, ...] = tuple(sorted(ALGORITHMS))
    jwks_url: str = ""
    """Empty: found by the issuer's metadata."""
    claims: Mapping[str, str] = USUAL_CLAIMS
    email_domains: tuple[str, ...] = ()
    """Domains it is believed about; empty: all."""
    introspection_url: str = ""
    """Who is asked about tokens that can't be read here; empty: nobody."""
    client_id: str = ""
    client_secret: Secret = Secret("")
    client_auth: ClientAuth = "client_secret_basic"
    verifies: bool = True
    """Its JWTs are verified here; False: they are shown to it, as all its tokens are."""


class PasswordFile(msgspec.Struct, frozen=True, kw_only=True):
    """People with passwords. Its `name` is what their identities have as their client, and as their issuer.

    Two hosts with the same file have the same people.
    """

    name: str
    path: str = ""
    """Absolute; empty where `text` holds the lines."""
    text: Secret = Secret("")
    has_form: bool = True
    """The sign-in page has a form for them."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What a host takes."""

    issuers: tuple[Issuer, ...] = ()
    passwords: PasswordFile | None = None

    def verifiers(self, url: str) -> tuple[Issuer, ...]:
        """By which a signed token of this (unverified) issuer may be good here: those of its name, and of none.

        There are several where a route asks for another audience than the host.
        """
        return tuple(issuer for issuer in self.issuers if issuer.verifies and issuer.url in {url, ""})

    @property
    def introspecting(self) -> Issuer | None:
        """Who is asked about opaque tokens; there is at most one, for a token is shown to nobody else."""
        return next((issuer for issuer in self.issuers if issuer.introspection_url), None)


NOTHING: Final = Accepted()


def is_good_for(bounds: Bounds, host: str, path: bytes, method: bytes, *, is_upgrade: bool = False) -> bool:
    """True where the bounds let a credential be used for this; `path` canonical, prefixes by whole segments.

    `is_upgrade`: it opens a WebSocket. Threat: a token that may only read, and an app that takes orders by WebSocket:
    that is asked for by GET, and what goes through it has no method.
    """
    if bounds.host and bounds.host != host:
        return False
    if bounds.methods and (is_upgrade or method not in bounds.methods):
        return False
    return not bounds.prefixes or any(
        path == prefix or path.startswith(prefix + b"/") for prefix in bounds.prefixes
    )


def challenges(
    accepted: Accepted,
    realm: str,
    *,
    app_tokens: bool,
    is_browser: bool,
    session_bearer: bool = False,
    takes_access: bool = False,
    knows_basic_alone: bool = False,
    code: str = "",
    why: str = "",
    scope: str = "",
    resource_metadata: str = "",
) -> tuple[str, ...]:
    """WWW-Authenticate values of a 401: what could be shown here; `code` and `why`, of what was shown and refused.

    `app_tokens`, `session_bearer`, `takes_access`: those are taken, too. A browser is asked for a password only where
    there is no page for it: it asks people in a window of its own, in the middle of an app.

    `knows_basic_alone`: who asks can show a token as a password and in no other way (`sends_passwords`).

    `scope`, `resource_metadata`: of a host that tells programs where tokens come from, and which.

    Spec: RFC 6750 section 3, RFC 7617 section 2, RFC 9728 section 5.1.
    """
    if code == BAD_CREDENTIALS:
        return (basic_challenge(realm),)
    found = []
    if accepted.issuers or app_tokens or session_bearer or takes_access or code == INVALID_TOKEN:
        error = INVALID_TOKEN if code in (INVALID_TOKEN, SESSION_INVALID) else ""
        described = why if error else ""
        found.append(
            bearer_challenge(
                realm,
                error=error,
                description=described,
                scope=scope,
                resource_metadata=resource_metadata,
            )
        )
    has_page = accepted.passwords is None or accepted.passwords.has_form
    if ((accepted.passwords or app_tokens) and not (is_browser and has_page)) or (
        takes_access and knows_basic_alone
    ):
        found.append(basic_challenge(realm))
    return tuple(found)


def sends_passwords(user_agent: bytes) -> bool:
    """True for Git and what goes with it, which shows a token as a password, and only where Basic is asked for.

    Spec: gitcredentials(7); Git has Bearer since 2.46, of helpers that know of it.
    """
    return user_agent[:8].lower().startswith((b"git/", b"jgit/", b"git-lfs/"))
