"""What the blocks of callers without a browser may hold: `issuer`, `require_jwt`, `apikey_auth`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vestibule.config.shape import Node
from vestibule.model import Secret


class Issuer(Node, kw_only=True):
    """Somebody whose tokens hosts take from programs, as `Authorization: Bearer`; they list it in `issuers`."""

    LABEL: ClassVar[str] = "the issuer's ID"
    REQUIRED: ClassVar[tuple[str, ...]] = ("url",)
    EITHER: ClassVar[tuple[str, ...]] = ("audience", "algorithms", "email_domains")

    url: str = ""
    """The issuer's URL, exactly as its tokens have it in `iss`. Its keys are found by its metadata
    (`URL/.well-known/openid-configuration`)."""
    audience: tuple[str, ...] = ()
    """Whom tokens must be for: one of these must be among their `aud`. Without it JWTs can't be told from those made
    for others: then the issuer is asked about each, by `introspection_url`."""
    algorithms: tuple[str, ...] = ()
    """What its JWTs may be signed with: `["RS256"]`. Without it: `RS256` to `RS512`, `PS256` to `PS512`, `ES256` to
    `ES512`, `EdDSA`."""
    jwks_url: str = ""
    """Where its keys are, if its metadata doesn't say so."""
    claims: Mapping[str, str] = {}
    """Where its tokens have what: `claims { groups = "realm_access.roles" }`, as in `provider`. Without it:
    `preferred_username`, `name`, `email`, `email_verified`, `groups`, `orgs`, `roles`."""
    email_domains: tuple[str, ...] = ()
    """E-mail domains it is believed about; empty: all."""
    introspection_url: str = ""
    """Who is asked about tokens that can't be read here (RFC 7662)."""
    client_id: str = ""
    """The gateway's own ID at `introspection_url`."""
    client_secret: Secret = Secret("")
    """Its secret."""
    auth_style: str = "basic"
    """How the secret is shown there: `basic` (header) or `post` (form)."""


class RequireJwt(Node, kw_only=True):
    """Nobody gets in here without a JWT of this issuer: no session, no other token. There is no sign-in page.

    Without `access` whoever has such a token gets in.
    """

    EITHER: ClassVar[tuple[str, ...]] = ("audience", "algorithms")

    jwks_url: str = ""
    """Where the keys are. Without it: where the metadata of `issuer` says."""
    issuer: str = ""
    """What tokens must have as `iss`, exactly. Without it any will do that these keys have signed."""
    audience: tuple[str, ...] = ()
    """Whom tokens must be for. Without it any will do."""
    algorithms: tuple[str, ...] = ()
    """What tokens may be signed with, as in `issuer`."""
    claims: Mapping[str, str] = {}
    """Where tokens have what, as in `issuer`."""


class ApikeyAuth(Node, kw_only=True):
    """Users with keys of their own, who show them with each request as user name and password (Basic).

    Without `access` each of them gets in. There is no sign-in page for them; `htpasswd` has one.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("users",)

    users: Secret = Secret("")
    """Lines as `htpasswd` writes them, `user:hash`, in a text over several lines (`<<END` to `END`): bcrypt, argon2,
    SHA-512-crypt; apr1 and {SHA} are read, and warned of."""
