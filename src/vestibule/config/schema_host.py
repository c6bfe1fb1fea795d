"""What the blocks of a host may hold: `host`, `route`, `access`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vestibule.config.schema_branding import Branding
from vestibule.config.schema_call import Call
from vestibule.config.schema_caller import ApikeyAuth, RequireJwt
from vestibule.config.schema_client import OAuth, Provider
from vestibule.config.schema_lifetimes import SessionLifetimes
from vestibule.config.schema_passage import Passing
from vestibule.config.shape import Node
from vestibule.config.value import (
    FilePath,
    Method,
    Offered,
    Origin,
    Product,
    Seconds,
    Size,
)
from vestibule.config.value_tls import Way
from vestibule.core.route import Backend
from vestibule.core.rule import Rule

_ACCESS_LATER = {"rule": "write allow, all and deny", "policy": "write allow, all and deny"}
CREDENTIAL = "write tls_certificate and tls_key, the paths of the two files, into the host"
"""What stands for IO's block with the TLS credentials of a host."""


class Access(Node, kw_only=True):
    """Who gets in. What no rule lets in is denied.

    Rules: `public` (no sign-in needed), `anyone` (any signed-in person), `email:ADDRESS`, `domain:NAME`
    (of the verified e-mail address), `group:NAME`, `org:NAME`, `team:ORG/TEAM`, `project:PATH`, `repo:OWNER/NAME`,
    `role:NAME`, `claim:NAME=VALUE` (of a claim kept by the provider's `claims`), `user:ID` (the id here),
    `token:SCOPE` (who shows a token with this scope), `network:CIDR` (where a request comes from: it only narrows).
    Each value but a network may name a provider first, and then looks at that one's word only: `group:okta/admins`;
    `user:github/octocat` is a login there.
    """

    LATER: ClassVar[Mapping[str, str]] = _ACCESS_LATER

    allow: tuple[Rule, ...] = ()
    """Rules; one that holds is enough. Networks among them let nobody in: the request must come from one of them,
    too. A route's list replaces the host's."""
    all: tuple[Rule, ...] = ()
    """Rules; every one must hold, besides one of `allow`; where no `allow` is written, these are enough. A route's
    list replaces the host's."""
    deny: tuple[Rule, ...] = ()
    """Rules; one that holds refuses, whatever the others say, and so does one that can't be answered. A
    host's list applies on all its routes."""


class Tool(Node, kw_only=True):
    """A tool of the MCP server behind a host with `mcp = true`, or all whose names begin as its label does before `*`.

    Who calls it must be let in by this, too. A name holds before a beginning, and a longer beginning before a shorter;
    what no block names is open to whom the route lets in. So that this can be known, bodies are read where tools are
    written: at most 1 MiB of JSON, messages of MCP and nothing else.
    """

    LABEL: ClassVar[str] = "its name"
    access: Access | None = None
    """Who may call it, of those whom the route lets in; no list of the host or the route counts here."""


class Route(Passing, kw_only=True):
    """A part of a host's paths.

    It is chosen by path alone: whole segments, the longest wins; `/admin/` also owns `/admin`. What is not
    set here is as in the host.
    """

    LABEL: ClassVar[str] = "its path"
    EITHER: ClassVar[tuple[str, ...]] = ("backend", "identity_headers")
    methods: tuple[Method, ...] = ()
    """The methods it takes; any other is answered 405. Without it: all."""
    backend: tuple[Backend, ...] = ()
    """As in `host`."""
    insecure: bool | None = None
    """As in `host`."""
    max_body: Size | None = None
    """As in `host`."""
    access: Access | None = None
    """Who gets in here: `allow` replaces the host's, `deny` adds to it."""
    require_jwt: RequireJwt | None = None
    """Nobody gets in here without such a JWT."""
    max_age: Seconds | None = None
    """As in `host`."""
    tool: tuple[Tool, ...] = ()
    """Rules on tools, besides the host's; those of the same name stand instead of them."""


class Host(Passing, kw_only=True):
    """A host name of yours and the app behind it. Also named `ingress`."""

    LABEL: ClassVar[str] = "the host's name"
    ALIASES: ClassVar[Mapping[str, str]] = {"oauth_client": "oauth", "calling": "call"}
    LATER: ClassVar[Mapping[str, str]] = {
        "atproto": "",
        "atproto_client": "",
        "credential": CREDENTIAL,
        "session": "lifetimes stand in a block `lifetimes`",
        "aliases": "write a host block for each name",
    }
    EITHER: ClassVar[tuple[str, ...]] = ("backend", "identity_headers", "issuers", "compat")

    name: str = ""
    """For people; without it the host's name."""
    backend: tuple[Backend, ...] = ()
    """Where requests go: `host:port` (http), `https://host:port`, `unix:PATH`, `h2c://host:port` or `grpc://host:port`
    (HTTP/2, as backends of gRPC speak), `grpcs://host:port` (the same over TLS), `static:DIR`,
    `internal:echo`, `internal:account` (no app at all: people sign in, and see their account), `internal:admin` (the
    admin pages: whoever gets in may do everything), `serving:ID`, or a list of servers, used in turn, a dead one left
    out. May be left out where edges ask (`forward_auth` in `gateway`): then nothing passes through here, and the edge
    sends requests on."""
    insecure: bool = False
    """True: the certificate of an https backend is not checked."""
    max_body: Size | None = None
    """Largest request body, as in `"10MiB"`; a larger one is answered 413. Without it: no limit."""
    public_url: Origin = Origin("")
    """Scheme and host as people see them (`https://app.example.com`), where an edge proxy in front
    speaks TLS, or has another port than this gateway. Where the gateway itself speaks TLS it may be left out."""
    tls: Way | None = None
    """How the certificate is had, where `https` of `gateway` listens: `acme` orders one, `local` makes one of the
    gateway's own authority, for development; `off`: this host speaks no TLS. Without it: `local` for `localhost`,
    addresses, and names below `test`, `internal`, `local` and other tops that nobody can own; `acme` for all others."""
    tls_certificate: FilePath = FilePath("")
    """File of a certificate of your own (PEM), with all those between it and its authority, in order. It is read again
    when it changes; one that can't be used leaves the last good one in force."""
    tls_key: FilePath = FilePath("")
    """File of its private key (PEM), not encrypted; without it the key stands in the certificate's file."""
    client_ca: FilePath = FilePath("")
    """File of authorities (PEM): who connects must show a certificate of one of these. It is asked for besides sign-in,
    not instead of it, unless a rule of `access` says so."""
    client_cert_header: bool = True
    """False: backends aren't told of that certificate; else each request has it as `Client-Cert` (RFC 9440)."""
    sign_in: tuple[Offered, ...] | None = None
    """IDs of the providers people sign in with here, in the order of the buttons; `"*"` stands for every enabled
    provider of the database, after those named. Without it: those that stand inside this host."""
    app_tokens: bool = False
    """True: people make tokens on their account page for programs that can't sign in (scripts, Git, WebDAV), which are
    taken here as `Authorization: Bearer` and as the password of Basic, and act as whoever made them."""
    mcp: bool = False
    """True: behind it is an MCP server, or an API that programs find the way to by themselves: each 401 says where
    tokens come from (`/.well-known/oauth-protected-resource`). It needs an `app`, or `register_apps`."""
    register_apps: bool = False
    """True: programs that nobody wrote down here may register themselves as apps for this host, at `/@/register`.
    People are asked each time before such an app is let in."""
    register_scopes: tuple[str, ...] = ()
    """What apps that registered themselves may ask for, as in `["tools"]`."""
    scim: bool | None = None
    """True: directories of organisations provision people and groups here, at `/scim/v2`; an app behind it gets none of
    these requests. Without it: at auth hosts, and other hosts of `internal:account`."""
    organisations: bool | None = None
    """True: who has the role `admin` in an organisation manages it here, at `/api/v1/orgs/SLUG/…`; an app behind it
    gets none of these requests. Without it: at auth hosts, and other hosts of `internal:account`."""
    htpasswd: FilePath = FilePath("")
    """File of people with passwords, as `htpasswd -B` writes it (bcrypt, argon2, SHA-512-crypt; apr1 and {SHA} are
    read, and warned of). They sign in by a form on the sign-in page, and programs show user name and password with
    each request (Basic). It is read again when it changes: who is gone from it, or has another password, is out."""
    apikey_auth: ApikeyAuth | None = None
    """Users with keys, for programs; IO's."""
    issuers: tuple[str, ...] = ()
    """IDs of the `issuer` blocks whose tokens programs may show here, as `Authorization: Bearer`."""
    require_jwt: RequireJwt | None = None
    """Nobody gets in without such a JWT; IO's."""
    compat: tuple[Product, ...] = ()
    """Products whose own paths and headers are here, too, for an edge that was configured for one of them:
    `oauth2-proxy`, `vouch`, `nuon`, or a list of them."""
    session_bearer: bool = False
    """True: a session's handle, or a session token made by the API, is taken as `Authorization: Bearer`, too, and
    stands for the cookie: for phones and services."""
    max_age: Seconds | None = None
    """How long ago whoever gets in may have signed in: `"1h"`. Who did so longer ago signs in again, at a provider that
    can say so with the proof that they did. Without it: as long as the session lives. A token counts by its own
    `auth_time`."""
    lifetimes: SessionLifetimes | None = None
    """How long sessions of this host live."""
    access: Access | None = None
    """Who gets in. May be left out only where nothing but IO's `oauth`, `apikey_auth` or `require_jwt` blocks stand:
    then everyone does, and the app sees who is signed in; with one of the latter two, whoever has such a credential."""
    route: tuple[Route, ...] = ()
    """Parts of the paths with settings of their own."""
    tool: tuple[Tool, ...] = ()
    """Rules on single tools of the MCP server behind it, on all its routes."""
    provider: tuple[Provider, ...] = ()
    """Providers of this host alone."""
    oauth: tuple[OAuth, ...] = ()
    """OAuth 2.0 clients of this host; also named `oauth_client`."""
    call: tuple[Call, ...] = ()
    """Calling interfaces that take this host's handles only; also named `calling`."""
    branding: Branding | None = None
    """How this host's pages look."""
