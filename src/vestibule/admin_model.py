"""What the admin API says of the running program: the values that console, admin pages and commands show.

The API answers these as JSON, a client reads them back; so there is one shape of each. Times (`_at`) are RFC 3339 in
JSON, spans milliseconds (`_ms`) or seconds (`_s`). Nothing here holds a secret but `Revealed`, which is asked
for with a reason. What isn't known is empty, or None.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from vestibule.model import Secret

# -- traffic ------------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One request, after its end."""

    seq: int
    """Counts up by one in the process that shows it; what is missing between two was more than it keeps."""
    at: datetime
    kind: Literal["host", "call", "edge", "serving", "admin", "unread"]
    """Whom it came to: a host, a calling interface, an edge's question, a serving's port, the admin listener; or
    nobody, since it couldn't be read."""
    name: str
    """The host's name, the call's ID, …: a name of the configuration, never the client's own."""
    method: str
    path: str
    """Without its query."""
    route: str = ""
    """Prefix of the route that decided; for a call its operation's ID."""
    status: int = 0
    """0: the client left before an answer."""
    took_ms: float = 0.0
    backend_ms: float = 0.0
    """Of it, until the backend's answer began; 0: no backend was asked."""
    bytes_out: int = 0
    address: str = ""
    session_id: str = ""
    user_id: str = ""
    person: str = ""
    """E-mail address, login or name of who asks, the first there is."""
    provider: str = ""
    """Client by which they signed in."""
    decision: str = ""
    """Why it was let through or refused: a rule (`email:…`), a code (`sign_in`, `denied`), `own`."""
    request_id: str = ""
    """`id` in the log; of a request that had nothing to tell but the access log its `span_id`."""
    trace_id: str = ""
    """32 hex digits; the same for all that one browser request has caused."""
    span_id: str = ""
    """16 hex digits: this request's own; what it caused names it as its parent."""
    parent_id: str = ""
    """The span that caused it; empty: none is known."""
    edge: str = ""
    """Who asked, and by which contract, where an edge did: `validate 127.0.0.1`."""


class TrafficPage(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, the newest first."""

    items: tuple[Row, ...]
    last_seq: int
    """Of the newest there is, shown or not: ask `after` it for what comes next."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A request with what it has caused."""

    row: Row
    children: tuple[Node, ...] = ()


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one trace."""

    trace_id: str
    roots: tuple[Node, ...]


# -- the program --------------------------------------------------------------------------------------


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the last minutes, one a step, the oldest first; all lists are as long."""

    every_s: float
    began_at: datetime
    """When the first step began."""
    requests: tuple[int, ...]
    errors: tuple[int, ...]
    """Answers of 500 and above."""
    denials: tuple[int, ...]
    """Answers of 401 and 403 that the gateway itself gave."""
    sign_ins: tuple[int, ...]
    p50_ms: tuple[float, ...]
    p95_ms: tuple[float, ...]
    p99_ms: tuple[float, ...]


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the gateway."""

    name: str
    """`gateway` (the only one), `control`, `worker 1`, …"""
    pid: int
    started_at: datetime
    heard_at: datetime
    """When it last said that it goes on."""
    requests: int
    memory_bytes: int


class StoreState(msgspec.Struct, frozen=True, kw_only=True):
    """One store, as this process sees it now."""

    name: Literal["records", "sessions"]
    kind: Literal["sqlite", "postgres", "redis"]
    where: str
    """Path, or host and port: nothing of user or password."""
    ok: bool
    took_ms: float | None = None
    """What asking for next to nothing took just now; None: it didn't answer."""
    detail: str = ""


class ListenerState(msgspec.Struct, frozen=True, kw_only=True):
    """One address that is listened on."""

    address: str
    purpose: Literal["hosts", "edges", "call", "serving", "admin"]
    name: str = ""
    """ID of the call or serving."""


class Concern(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an operator should see to."""

    what: str
    detail: str
    advice: str = ""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The program at a glance."""

    version: str
    started_at: datetime
    now: datetime
    requests_per_s: float
    """Of the last ten seconds."""
    sessions: int | None
    """Live ones; None: the store can't be asked."""
    users: int | None
    series: Series
    workers: tuple[WorkerState, ...]
    stores: tuple[StoreState, ...]
    listeners: tuple[ListenerState, ...]
    concerns: tuple[Concern, ...]
    log_dropped: int
    """Lines of the log that nobody took."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one host, call or edge since the start, and of late."""

    requests: int = 0
    errors: int = 0
    denials: int = 0
    requests_per_s: float = 0.0
    """Of the last ten seconds."""
    last_at: datetime | None = None
    """None: none came."""
    p95_ms: float = 0.0
    """Of the last minute."""


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    """One route of a host."""

    prefix: str
    methods: tuple[str, ...]
    backend: str
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    place: str
    """`FILE:LINE`."""


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """One host."""

    name: str
    label: str
    place: str
    sign_in: tuple[str, ...]
    """Full names of the clients that people sign in by here."""
    urls: tuple[str, ...]
    backend: str
    routes: tuple[RouteState, ...]
    counts: Counts = Counts()


class OperationState(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a calling interface."""

    id: str
    method: str
    path: str


class CallState(msgspec.Struct, frozen=True, kw_only=True):
    """One calling interface."""

    id: str
    name: str
    place: str
    listen: str
    endpoint: str
    hosts: tuple[str, ...]
    credentials: tuple[str, ...]
    """`session:google in Authorization`, …: never one itself."""
    operations: tuple[OperationState, ...] = ()
    only_operations: bool = False
    counts: Counts = Counts()


class EdgeState(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who asks whether requests may go on."""

    address: str
    contract: Literal["validate", "forward", "ext_authz", "grpc", "compat"]
    counts: Counts = Counts()


class ProviderState(msgspec.Struct, frozen=True, kw_only=True):
    """One client at an identity provider, as it is in force."""

    id: str
    """Full name."""
    type: str
    source: str
    """`FILE:LINE`, or `database`."""
    hosts: tuple[str, ...]
    """Where people sign in by it."""
    enabled: bool
    issuer: str = ""
    discovery: Literal["none", "ok", "failed", "unasked"] = "none"
    """`none`: it has no metadata to discover."""
    discovery_at: datetime | None = None
    keys: int = 0
    """How many keys of its are known."""
    keys_at: datetime | None = None
    last_error: str = ""
    last_error_at: datetime | None = None
    last_ok_at: datetime | None = None
    redirect_urls: tuple[str, ...] = ()
    """To be registered there."""


class CertificateState(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate, or a name that has to have one."""

    names: tuple[str, ...]
    issuer: str
    """Empty: there is none yet."""
    expires_at: datetime | None
    """None: there is none yet."""
    source: str
    detail: str = ""
    state: Literal["good", "waiting", "ordering", "failing"] = "good"
    """How getting it goes, whenever it ends: an old one that serves on while it can't be renewed is `failing`.

    `waiting`: nothing was begun yet.
    """
    why: str = ""
    """What was wrong the last time; empty: nothing was."""
    advice: str = ""
    """What to do about that."""
    next_at: datetime | None = None
    """When it is tried again; None: within seconds, or there is nothing to try."""


# -- a session's credentials --------------------------------------------------------------------------


class CredentialState(msgspec.Struct, frozen=True, kw_only=True):
    """One grant of a session or person, without its tokens."""

    session_id: str
    client: str
    owner: Literal["session", "person"]
    token_type: str
    scopes: tuple[str, ...]
    obtained_at: datetime
    expires_at: datetime | None
    """Of the access token; None: not known."""
    can_refresh: bool
    shown: str
    """The access token, masked: a few signs of its beginning at most."""
    curls: tuple[str, ...] = ()
    """One for each calling interface that takes it: for a shell, with `$PROXY_SESSION` in place of the handle."""


class Revealed(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of one grant, told to somebody who said why."""

    client: str
    access_token: Secret
    refresh_token: Secret | None
    id_token: Secret | None


# -- configuration ------------------------------------------------------------------------------------


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One block of the configuration in force."""

    kind: str
    name: str
    place: str
    """`FILE:LINE`."""
    text: str
    """As it stands in the file, with every secret as `"***"`."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force, and what the files say now."""

    loaded_at: datetime
    files: tuple[str, ...]
    parts: tuple[Part, ...]
    environment: tuple[str, ...]
    """Names of the variables that it takes something from; never what they hold."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What would change by a reload."""

    is_changed: bool
    diff: str
    """Unified, secrets masked; a secret that changed is said to have."""
    faults: tuple[str, ...]
    """`file:line:col: message`; not empty: it can't be loaded, and what is in force stays."""
    warnings: tuple[str, ...]
    restart: tuple[str, ...]
    """What takes more than a reload, as `faults`; empty: all of it can be put in force while running."""
    fingerprint: str
    """Of what the files say: sent back as `If-Match`, what was looked at is what is put in force."""


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload has put in force."""

    added: tuple[str, ...]
    """Blocks, as `host app.example.com`."""
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    warnings: tuple[str, ...]


class Upgraded(msgspec.Struct, frozen=True, kw_only=True):
    """Another program has taken the place of the one that was asked."""

    is_upgraded: bool = True


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """How much is logged."""

    level: str
    """From which level on events are written, of components without a level of their own."""
    components: dict[str, str]
    """Of every component its own level (`off`: nothing), or empty."""


# -- the trail ----------------------------------------------------------------------------------------


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What looking through the chain of audit rows has found."""

    ok: bool
    rows: int
    first_at: datetime | None
    last_at: datetime | None
    head: str
    """Hash of the last row, in hex: keep it elsewhere, and nobody can cut the end off unseen."""
    broken_id: str = ""
    """The first row that isn't what it was."""
    detail: str = ""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a webhook did not take for a day."""

    webhook: str
    id: str
    action: str
    created_at: datetime
    died_at: datetime
    tries: int
    detail: str


class Org(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation."""

    slug: str
    name: str
    version: int
    created_at: datetime
    updated_at: datetime


class OrgDomain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain that an organisation says is its own."""

    domain: str
    verified_at: datetime | None
    verified_by: str
    record: str
    text: str


class OrgMember(msgspec.Struct, frozen=True, kw_only=True):
    """A person of an organisation."""

    user_id: str
    roles: tuple[str, ...]
    source: str
    created_at: datetime


class OrgGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group that an organisation keeps here."""

    id: str
    name: str
    created_at: datetime


class OrgDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """How an organisation's directory is understood."""

    join_by: str


class DirectoryToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token of an organisation's directory; `token` is there when it was just made."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None
    token: str | None = None
