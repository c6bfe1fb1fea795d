"""Apps: OAuth 2.0 clients of the gateway itself (RFC 6749 section 2), and where their answers may go.

A client of ours at somebody else's provider is a `client`; a program that signs people in here is an `app`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from vestibule.model import Secret

GrantName: TypeAlias = Literal["code", "refresh", "device", "native", "credentials", "exchange"]

GRANT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "authorization_code": "code",
        "refresh_token": "refresh",
        "urn:ietf:params:oauth:grant-type:device_code": "device",
        "client_credentials": "credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange": "exchange",
    }
)
"""`grant_type` as it is sent, and what an app's `grants` call it.

Spec: RFC 6749 sections 4.1.3, 4.4.2 and 6; RFC 8628 section 3.4; RFC 8693 section 2.1.
"""
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name
SERVER_PATH: Final = "/.well-known/oauth-authorization-server"
"""What apps are told of the authorization server. Spec: RFC 8414 section 3."""
RESOURCE_PATH: Final = "/.well-known/oauth-protected-resource"
"""What clients of MCP are told of a host; for a part of it, with that one's path behind. Spec: RFC 9728 section 3."""
OWN_RESOURCE_PATH: Final = "/@/protected-resource"
"""The same of every host that takes tokens of ours, at a path that no backend has: where command lines sign in."""
_BELOW: Final = (f"{SERVER_PATH}/".encode(), f"{RESOURCE_PATH}/".encode())
REGISTERED: Final = "registered-"
"""What the IDs of apps begin with that registered themselves; 43 characters follow."""
_REGISTERED_RE: Final = re.compile(rf"{REGISTERED}[A-Za-z0-9_-]{{43}}")
REDIRECT_MAX_CHARS: Final = 2048
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_LOCAL: Final = _LOOPBACK | {"localhost"}
"""Clients of MCP register this name; browsers ask no server for it."""
_SCHEME_RE: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
"""A scheme of somebody's own: a domain name in reverse. Spec: RFC 8252 section 7.1."""


class Hash(msgspec.Struct, frozen=True):
    """A secret of an app as it is kept: the SHA-256 of a text of 256 random bits needs no more."""

    digest: bytes

    def __repr__(self) -> str:
        return "Hash(***)"


def hash_of(secret: Secret) -> Hash:
    """The secret as it is kept, and compared."""
    return Hash(hashlib.sha256(secret.reveal().encode()).digest())


class App(msgspec.Struct, frozen=True, kw_only=True):
    """One app."""

    id: str
    """Its `client_id`."""
    name: str = ""
    """As people are shown it."""
    hosts: tuple[str, ...] = ()
    """What its tokens are for; the first where it asks for none."""
    redirects: tuple[str, ...] = ()
    """Its redirect URIs, each compared as it is written (`may_redirect`)."""
    grants: frozenset[str] = frozenset({"code", "refresh"})
    """Of `GrantName`."""
    scopes: tuple[str, ...] = ()
    """What it may ask for."""
    secrets: tuple[Hash, ...] = ()
    """Any of them proves it is this app; none: a public client, of whom nobody can prove that."""
    access_s: float = 600.0
    refresh_s: float = 90 * 86_400.0
    """How long it is kept signed in at most."""
    idle_s: float = 30 * 86_400.0
    """And how long without coming back."""
    leeway_s: float = 10.0
    """For so long the refresh token before the last brings the same answer again: one that got lost."""
    confirms: bool | None = None
    """Whether a person is asked before it gets anything; None: wherever its redirect URI may be anybody's."""
    is_registered: bool = False
    """It registered itself: nobody here wrote down what it is, so people are asked each time."""
    place: str = ""
    """`file:line` it was written at."""

    @property
    def is_public(self) -> bool:
        """True for an app without a secret. Spec: RFC 6749 section 2.1."""
        return not self.secrets


class Apps(msgspec.Struct, frozen=True):
    """All of them, by id."""

    by_id: Mapping[str, App] = MappingProxyType({})

    @classmethod
    def of(cls, apps: Iterable[App]) -> Apps:
        """These."""
        return cls(MappingProxyType({app.id: app for app in apps}))

    def __reduce__(self) -> tuple[object, ...]:
        # A configuration goes to other processes: a mapping that nobody can change can't be pickled as it is.
        return Apps.of, (tuple(self.by_id.values()),)

    def of_host(self, host: str) -> tuple[App, ...]:
        """Those whose tokens are good there."""
        return tuple(app for app in self.by_id.values() if host in app.hosts)


def all_scopes(apps: Mapping[str, frozenset[str]], registered: Iterable[str]) -> frozenset[str]:
    """All that any app of a host may ask for: those of the configuration, and those that registered themselves."""
    return frozenset(registered).union(*apps.values())


def is_metadata(path: bytes) -> bool:
    """True for the metadata of a part of a host."""
    return path.startswith(_BELOW)


def is_registered_id(client_id: str) -> bool:
    """True for what can be the ID of an app that registered itself."""
    return bool(_REGISTERED_RE.fullmatch(client_id))


def redirect_fault(uri: str, *, is_registered: bool = False) -> str:
    """What is wrong with a redirect URI; empty where it can be used. `is_registered`: an app's own word.

    Spec: RFC 6749 section 3.1.2 (absolute, no fragment), RFC 8252 section 7 (schemes of apps, https, loopback).
    """
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return "it is no URL"
    if (
        len(uri) > REDIRECT_MAX_CHARS
        or not uri.isascii()
        or not uri.isprintable()
        or " " in uri
        or "\\" in uri
    ):
        return "it has characters that no URL has, or too many"
    if "#" in uri:
        return "a redirect URI has no fragment"
    if parts.username is not None or parts.password is not None:
        return "a redirect URI names no user"
    if parts.scheme == "https":
        return "" if parts.hostname else "it names no host"
    if parts.scheme == "http":
        return (
            ""
            if parts.hostname in (_LOCAL if is_registered else _LOOPBACK)
            else "http only to 127.0.0.1 or [::1]: anybody could read the code"
        )
    if _SCHEME_RE.fullmatch(parts.scheme):
        return ""
    return "an app's own scheme is a domain name in reverse, like com.example.app:/callback"


def may_redirect(app: App, uri: str) -> bool:
    """True where an answer for this app may go there.

    Compared as text (RFC 9700 section 2.1): no wildcards, no prefixes. A loopback address has any port, since a
    program on a desktop gets the one that is free (RFC 8252 section 7.3).
    Threat: an open redirect that carries codes away.
    """
    if uri in app.redirects:
        return not redirect_fault(uri, is_registered=app.is_registered)
    if redirect_fault(uri, is_registered=app.is_registered) or not is_loopback(uri):
        return False
    bare = _without_port(uri)
    return any(is_loopback(known) and _without_port(known) == bare for known in app.redirects)


def shown_place(uri: str) -> str:
    """Where an answer goes, for people: the host of a link, else the scheme that some program has claimed."""
    parts = urlsplit(uri)
    return (parts.scheme in {"http", "https"} and parts.hostname) or f"{parts.scheme}:"


def is_loopback(uri: str) -> bool:
    """True for http on a loopback address, or to the name of this machine."""
    parts = urlsplit(uri)
    return parts.scheme == "http" and parts.hostname in _LOCAL


def goes_unasked(app: App, uri: str) -> bool:
    """True where a browser may be sent to this (good) redirect URI though nobody has pressed anything.

    Threat: an open redirect by whoever registers an app, from links that seem to lead here. Spec: RFC 9700 section
    4.11.2. To a program of the person's own machine it leads nobody astray.
    """
    return not app.is_registered or is_loopback(uri)


def is_claimed(uri: str) -> bool:
    """True for a link that the operating system opens only in the app whose web site says so.

    Any app can claim a scheme, and any program a port. Spec: RFC 8252 sections 7.2, 8.6.
    """
    return urlsplit(uri).scheme == "https"


def asks_person(app: App, uri: str) -> bool:
    """True where somebody who is signed in is asked before the app at this (good) redirect URI gets a code."""
    if app.is_registered:
        return True
    return app.confirms if app.confirms is not None else not is_claimed(uri)


def _without_port(uri: str) -> tuple[str | None, str, str]:
    parts = urlsplit(uri)
    return parts.hostname, parts.path, parts.query
