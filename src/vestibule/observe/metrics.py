"""What is counted, and how requests are: a line of them is kept, and counted twice a second.

No label is ever a path, a person or an address: hosts, routes and providers are names of the configuration, decisions
are kinds of rules and codes of errors, all else is words of a fixed list.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeAlias

from vestibule.core.rule import LISTED
from vestibule.errors import StoreError
from vestibule.observe import clock
from vestibule.observe.meter import FINE, FOLDED, OTHER, SECONDS, Family, Figures, Growth, Meter
from vestibule.observe.traffic import SWITCHED, Kind, Record, Traffic

KEPT_MAX: Final = 50_000
"""So many requests wait to be counted at most, which is done twice a second."""
SILENT_S: Final = 10.0
"""A process that said nothing for so long is no longer shown."""
WORDS_MAX: Final = 100
"""How many codes of errors are told apart."""

REQUESTS: Final = Family(
    name="vestibule_requests_total",
    told="Requests answered, by what they came to.",
    labels=("kind", "host", "route", "method", "status", "decision"),
)
REQUEST_SECONDS: Final = Family(
    name="vestibule_request_duration_seconds",
    told="How long requests took, from their first byte to the last of the answer; without WebSockets.",
    labels=("kind", "host"),
    kind="histogram",
    bounds=SECONDS,
)
BACKEND_SECONDS: Final = Family(
    name="vestibule_backend_duration_seconds",
    told="Of it, how long it took until the backend's answer began.",
    labels=("kind", "host"),
    kind="histogram",
    bounds=SECONDS,
)
RESPONSE_BYTES: Final = Family(
    name="vestibule_response_bytes_total",
    told="Bytes of answers sent to clients.",
    labels=("kind", "host"),
)
DENIALS: Final = Family(
    name="vestibule_denials_total",
    told="Requests that the gateway itself refused with 401 or 403.",
    labels=("host", "reason"),
)
SIGN_INS: Final = Family(
    name="vestibule_sign_ins_total",
    told="Sign-ins: `ok`, `refused`, `handed_on` to another host of a domain, `made` by a service.",
    labels=("provider", "outcome"),
)
REFRESHES: Final = Family(
    name="vestibule_refreshes_total",
    told="Access tokens refreshed: `ok`, `refused` (the person has to sign in anew), `failed`.",
    labels=("provider", "outcome"),
)
PROVIDER_REQUESTS: Final = Family(
    name="vestibule_provider_requests_total",
    told="What was asked of providers: `ok`, `refused`, `failed`, `invalid`, `unavailable`, `timeout`.",
    labels=("provider", "outcome"),
)
PROVIDER_SECONDS: Final = Family(
    name="vestibule_provider_duration_seconds",
    told="How long providers took.",
    labels=("provider",),
    kind="histogram",
    bounds=SECONDS,
)
STORE_SECONDS: Final = Family(
    name="vestibule_store_duration_seconds",
    told="How long the store took, by what was asked of it.",
    labels=("store", "operation"),
    kind="histogram",
    bounds=FINE,
)
STORE_FAILURES: Final = Family(
    name="vestibule_store_failures_total",
    told="What was asked of the store in vain.",
    labels=("store", "operation"),
)
LOG_DROPPED: Final = Family(name="vestibule_log_dropped_total", told="Lines of the log that nobody took.")
OVERLOAD_REFUSED: Final = Family(
    name="vestibule_overload_refused_total",
    told="Requests and connections that were told 503 for want of room.",
)
WEBHOOK_MESSAGES: Final = Family(
    name="vestibule_webhook_messages_total",
    told="Messages to webhooks: `delivered`, `failed` (to be tried again), `dead` (given up).",
    labels=("webhook", "outcome"),
)
AUDIT_EVENTS: Final = Family(
    name="vestibule_audit_events_total",
    told="What happened, by name.",
    labels=("action", "outcome"),
)
AUDIT_LOST: Final = Family(
    name="vestibule_audit_lost_total",
    told="Events that could not be written to the audit table in time, and stand in the log alone.",
)
RELOADS: Final = Family(
    name="vestibule_configuration_reloads_total",
    told="Reloads of the configuration: `ok`, `refused` (what was in force stayed).",
    labels=("outcome",),
)
PROCESS_CPU: Final = Family(
    name="vestibule_process_cpu_seconds_total",
    told="Processor time used.",
    labels=("process",),
)
PROCESS_STARTS: Final = Family(
    name="vestibule_process_starts_total",
    told="How often a process was seen to begin; more than once: it died.",
    labels=("process",),
)
SPANS: Final = Family(
    name="vestibule_spans_total",
    told="Spans for the tracing collector: `sent`, `dropped` (too many waited), `failed` (it didn't take them).",
    labels=("outcome",),
)

SESSIONS: Final = Family(name="vestibule_sessions", told="Live sessions.", kind="gauge")
STORE_UP: Final = Family(
    name="vestibule_store_up",
    told="1 where the store answered just now.",
    labels=("store",),
    kind="gauge",
)
CONNECTIONS: Final = Family(
    name="vestibule_connections",
    told="Open connections of clients.",
    labels=("listener",),
    kind="gauge",
)
WORKERS: Final = Family(
    name="vestibule_workers",
    told="Processes that carry traffic and were heard of within 10 seconds.",
    kind="gauge",
)
WORKERS_WANTED: Final = Family(
    name="vestibule_workers_wanted",
    told="How many the configuration asks for.",
    kind="gauge",
)
WEBHOOKS_WAITING: Final = Family(
    name="vestibule_webhook_waiting", told="Messages that wait to be delivered.", kind="gauge"
)
AUDIT_WAITING: Final = Family(
    name="vestibule_audit_waiting", told="Events that wait to be written to the audit table.", kind="gauge"
)
AUDIT_INTACT: Final = Family(
    name="vestibule_audit_intact",
    told="1 where the audit table was found whole when it was verified last; none: it wasn't since the start.",
    kind="gauge",
)
RELOAD_OK: Final = Family(
    name="vestibule_configuration_reload_ok",
    told="1 where the last reload took what the files say; none: there was none since the start.",
    kind="gauge",
)
LOADED_AT: Final = Family(
    name="vestibule_configuration_loaded_timestamp_seconds",
    told="When the configuration in force was read, in UNIX seconds.",
    kind="gauge",
)
CERTIFICATE_EXPIRES: Final = Family(
    name="vestibule_certificate_expires_timestamp_seconds",
    told="When the certificate ends that browsers are shown for this host, in UNIX seconds; of 1000 hosts at most.",
    labels=("host", "source"),
    kind="gauge",
)
BUS_AGE: Final = Family(
    name="vestibule_bus_beat_age_seconds",
    told="Since when a process can't be sure to have heard of every change by others; 0: it is sure.",
    labels=("process",),
    kind="gauge",
)
PROCESS_START: Final = Family(
    name="vestibule_process_start_time_seconds",
    told="When it began, in UNIX seconds.",
    labels=("process",),
    kind="gauge",
)
PROCESS_MEMORY: Final = Family(
    name="vestibule_process_resident_memory_bytes",
    told="Resident memory.",
    labels=("process",),
    kind="gauge",
)
PROCESS_FILES: Final = Family(
    name="vestibule_process_open_fds",
    told="Open files and connections.",
    labels=("process",),
    kind="gauge",
)
BUILD: Final = Family(
    name="vestibule_build_info",
    told="Always 1.",
    labels=("version",),
    kind="gauge",
)

COUNTED: Final = (
    REQUESTS,
    REQUEST_SECONDS,
    BACKEND_SECONDS,
    RESPONSE_BYTES,
    DENIALS,
    SIGN_INS,
    REFRESHES,
    PROVIDER_REQUESTS,
    PROVIDER_SECONDS,
    STORE_SECONDS,
    STORE_FAILURES,
    LOG_DROPPED,
    OVERLOAD_REFUSED,
    WEBHOOK_MESSAGES,
    AUDIT_EVENTS,
    AUDIT_LOST,
    RELOADS,
    PROCESS_CPU,
    PROCESS_STARTS,
    SPANS,
    FOLDED,
)
"""What a `Meter` holds."""
SEEN: Final = (
    SESSIONS,
    STORE_UP,
    CONNECTIONS,
    WORKERS,
    WORKERS_WANTED,
    WEBHOOKS_WAITING,
    AUDIT_WAITING,
    AUDIT_INTACT,
    RELOAD_OK,
    LOADED_AT,
    CERTIFICATE_EXPIRES,
    BUS_AGE,
    PROCESS_START,
    PROCESS_MEMORY,
    PROCESS_FILES,
    BUILD,
)
"""What is looked at when somebody asks."""

_METHODS: Final = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE")
)
_STATUS: Final = {0: "gone", **{code: f"{code // 100}xx" for code in range(100, 600)}}
_RULES: Final = frozenset(
    ("public", "anyone", "email", "domain", "user", "claim", "network", "token", *LISTED)
)
_CODE_RE: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
Values: TypeAlias = Mapping[tuple[str, ...], float]
"""By labels."""
_Seen: TypeAlias = tuple[int, bytes, bytes, bytes, int, str, bool]
_Places: TypeAlias = tuple[list[float], list[float], list[float], list[float], list[float] | None]


class Metrics:
    """What is known of the program in numbers; in a worker, of it alone, until it is told on."""

    def __init__(
        self,
        traffic: Traffic,
        *,
        meter: Meter | None = None,
        counts: bool = True,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`counts`: the requests are counted here, and by nobody else."""
        self.meter = meter or Meter()
        self._now = now
        self._kept: deque[Record] = deque(maxlen=KEPT_MAX)
        self._words: set[str] = set()
        self._others: dict[str, Figures] = {}
        self._traffic = traffic
        self._told = 0
        """How many requests other processes have told of."""
        self.here: Callable[[], Figures] | None = None
        """How this process itself is."""
        self._shown: dict[str, Callable[[], Awaitable[Values]]] = {}
        if counts:
            traffic.subscribe(self._kept.append)

    def count(self) -> None:
        """Count the requests that came since.

        What many requests share is looked up once a batch: of what counting costs, that is most.
        """
        kept = self._kept.copy()
        self._kept.clear()
        places: dict[_Seen, _Places] = {}
        for one in kept:
            seen = (
                id(one.kind),
                one.name,
                one.route,
                one.method,
                one.status,
                one.decision,
                one.backend_s > 0,
            )
            found = places.get(seen)
            if found is None:
                found = places[seen] = self._places(one)
            requests, took, sent, backend, denials = found
            requests[0] += 1.0
            if one.status != SWITCHED:
                took[bisect_left(SECONDS, one.took_s)] += 1.0
                took[-1] += one.took_s
            sent[0] += one.bytes_out
            if one.backend_s:
                backend[bisect_left(SECONDS, one.backend_s)] += 1.0
                backend[-1] += one.backend_s
            elif denials is not None:
                denials[0] += 1.0

    def _places(self, one: Record) -> _Places:
        """Where requests like this one are counted."""
        values = self.meter.values
        kind, status = one.kind.value, one.status
        host, route = (part.decode("utf-8", "backslashreplace") for part in (one.name, one.route))
        word = "operation" if one.kind is Kind.CALL and one.decision == route else self.word(one.decision)
        method = one.method.decode("ascii") if one.method in _METHODS else OTHER
        return (
            values(REQUESTS, (kind, host, route, method, _STATUS.get(status, OTHER), word)),
            values(REQUEST_SECONDS, (kind, host)),
            values(RESPONSE_BYTES, (kind, host)),
            values(BACKEND_SECONDS, (kind, host)) if one.backend_s else [],
            values(DENIALS, (host, word)) if one.is_denial else None,
        )

    def word(self, decision: str) -> str:
        """The decision without whom it is about: the kind of its rule, or a code.

        Threat: an address of mail as a label, for everybody who may see the plots, and as many series as people.
        """
        codes = self._words
        for part in decision.split(":", 2)[:2]:
            if part in _RULES:
                return part
        if decision in codes:
            return decision
        if not _CODE_RE.fullmatch(decision) or len(codes) >= WORDS_MAX:
            return OTHER if decision else ""
        codes.add(decision)
        return decision

    # -- what is looked at when somebody asks ----------------------------------------------------

    def show(self, family: Family, look: Callable[[], Values]) -> None:
        """Ask this for the values of one of `SEEN`."""

        async def looked() -> Values:
            return look()

        self._shown[family.name] = looked

    def show_later(self, family: Family, look: Callable[[], Awaitable[Values]]) -> None:
        """As `show`, where it has to be waited for. What raises StoreError isn't shown."""
        self._shown[family.name] = look

    async def look(self) -> dict[str, Values]:
        """The values there are now, by family."""
        self.count()
        found: dict[str, Values] = {}
        for name, look in self._shown.items():
            with contextlib.suppress(StoreError):
                found[name] = await look()
        return found

    # -- processes ----------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        """How many this process itself has answered."""
        return self._traffic.last_seq - self._told

    def hear(self, figures: Figures | None, grown: Iterable[Growth], requests: int = 0) -> None:
        """Take what another process says of itself, and of how many requests it has told besides."""
        self._told += requests
        self.meter.merge(grown)
        if figures is None:
            return
        before = self._others.get(figures.name)
        if before is None or before.pid != figures.pid:
            self.meter.add(PROCESS_STARTS, (figures.name,))
        self._others[figures.name] = figures

    def processes(self) -> tuple[Figures, ...]:
        """How each process is that was heard of lately, this one first."""
        now = self._now()
        here = () if self.here is None else (self.here(),)
        others = sorted(self._others.values(), key=lambda one: (len(one.name), one.name))
        return (*here, *(one for one in others if now - one.heard_at < SILENT_S))
