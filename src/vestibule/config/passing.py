"""What hosts and routes say of how requests go to the backend and answers back: checked, and made into values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from vestibule.config.client import Client
from vestibule.config.place import Place, Report, Unfit, nearest
from vestibule.config.schema_host import Host, Route
from vestibule.config.schema_passage import Header, Passing
from vestibule.config.trust import trust_of
from vestibule.config.value import header_name
from vestibule.core.claim import LISTS
from vestibule.core.passage import Heading, Passage, Rewrite, fault_of
from vestibule.core.route import Backend, Server, Trust
from vestibule.core.template import Slot, Template, parse
from vestibule.errors import BadRequest
from vestibule.protocol import url
from vestibule.protocol.headers import class_of

T = TypeVar("T")

_TEXT_RE = re.compile(r"[\t\x20-\x7e]*")
#: attributes that mean something only where a server is behind, not a directory
_FOR_SERVERS = (
    *("timeout", "connect_timeout", "host_header", "backend_ca", "backend_certificate", "backend_key"),
    *("backend_name", "preflight", "origins", "protocol"),
)
#: attributes that mean something only where requests pass the gateway itself
_FOR_GATEWAY = (
    *("strip_prefix", "rewrite", "timeout", "connect_timeout", "host_header", "backend_ca"),
    *("backend_certificate", "backend_key", "backend_name", "protocol"),
)
_FOR_TLS = ("backend_ca", "backend_certificate", "backend_key", "backend_name")


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one route, or for the host itself."""

    passage: Passage | None = None
    trust: Trust = Trust()
    http2: bool = False
    """Its servers speak HTTP/2, whatever their addresses say of it."""
    lets_preflight: bool = False


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What templates may name at a host."""

    host: str
    clients: Mapping[str, str]
    """Client ID → full name."""
    takes_more: bool
    claims: frozenset[str] | None
    """Further claims that its providers keep; None: not known."""


def passed_by(
    host: Host, prefixes: tuple[bytes | None, ...], names: Names, report: Report
) -> tuple[Passed, ...]:
    """What holds for the host itself, then for each of its routes; what is wrong goes to *report*."""
    whole = _Reader(host, None, b"", names, report)
    _check_host(host, report)
    out = [whole.passed(Passed())]
    for route, prefix in zip(host.route, prefixes, strict=True):
        out.append(_Reader(host, route, prefix or b"", names, report).passed(out[0]))
    return tuple(out)


def names_of(
    name: str,
    named: Mapping[str, str],
    sign_in: tuple[str, ...],
    clients: Mapping[str, Client],
    *,
    takes_more: bool,
    tokens: Iterable[Mapping[str, str]] = (),
) -> Names:
    """What templates may name at a host with these clients; `sign_in`: full names of those that say who has come.

    `tokens`: what is kept of callers' tokens.
    """
    kept = [getattr(clients[full].config, "claims", None) or {} for full in sign_in if full in clients]
    kept += tokens
    claims = None if takes_more else frozenset(claim for mapping in kept for claim in mapping)
    return Names(host=name, clients=named, takes_more=takes_more, claims=claims)


def _check_host(host: Host, report: Report) -> None:
    if host.strip_prefix and not host.route:
        report.fault(host.at("strip_prefix"), "has no effect: this host has no route whose path could go")


class _Reader:
    """Reads one host or route, in front of what it inherits."""

    def __init__(self, host: Host, route: Route | None, prefix: bytes, names: Names, report: Report) -> None:
        self._host = host
        self._node: Passing = host if route is None else route
        self._route = route
        self._prefix = prefix
        self._names = names
        self._report = report
        backend = (route.backend if route is not None else ()) or host.backend
        self._backends: tuple[Backend, ...] = backend
        self._servers = tuple(server for one in backend for server in one.servers)

    def passed(self, inherited: Passed) -> Passed:
        """What holds here; of `inherited`, the host's, only the files are taken: all else stands in its node."""
        self._check_effect()
        passage = Passage(
            rewrite=self._rewrite(),
            headers=self._headings("header", is_answer=False),
            answer_headers=self._headings("answer_header", is_answer=True),
            host_line=self._host_line(),
            answer_s=self._written("timeout", self._host.timeout),
            connect_s=self._written("connect_timeout", self._host.connect_timeout),
            origins=frozenset(self._host.origins or () if self._node.origins is None else self._node.origins),
        )
        return Passed(
            passage=None if passage == Passage() else passage,
            trust=self._trust(inherited.trust),
            http2=self._http2(inherited),
            lets_preflight=bool(self._written("preflight", self._host.preflight)),
        )

    def _written(self, name: str, inherited: T) -> T:
        value: T | None = getattr(self._node, name)
        return inherited if value is None else value

    # -- what has no effect here -------------------------------------------------------------------

    def _check_effect(self) -> None:
        """Threat: a setting believed to hold where nothing looks at it."""
        others: tuple[Backend, ...] = ()
        if self._route is None:
            others = tuple(backend for route in self._host.route for backend in route.backend)
        backends = (*self._backends, *others)
        if any(one.internal == "echo" for one in backends):
            return  # asked what a backend would get
        if not backends:
            self._check_asked()
            return
        is_served = any(one.servers for one in backends)
        for name in _FOR_SERVERS:
            if not is_served and self._node.has(name):
                self._report.fault(self._node.at(name), "has no effect: there is no server behind this")
        if not is_served and self._node.header:
            self._report.fault(
                self._node.header[0].block.place, "nobody gets it: there is no server behind this"
            )
        if any(one.internal for one in backends) and not is_served and self._node.answer_header:
            place = self._node.answer_header[0].block.place
            self._report.fault(place, "has no effect: these answers are the gateway's own")
        is_tls = any(server.tls for one in backends for server in one.servers)
        for name in _FOR_TLS:
            if is_served and not is_tls and self._node.has(name):
                self._report.fault(
                    self._node.at(name), 'has no effect: the backend is not reached by https: "https://…"'
                )

    def _check_asked(self) -> None:
        """A host that edges ask about, whose requests they send on by themselves."""
        if self._host.has("backend"):
            return  # at fault itself
        said = "has no effect: requests to a host without a backend are its edge's to send on"
        for name in _FOR_GATEWAY:
            if self._node.has(name):
                self._report.fault(self._node.at(name), said)
        if self._node.answer_header:
            self._report.fault(self._node.answer_header[0].block.place, said)

    # -- where it goes -----------------------------------------------------------------------------

    def _rewrite(self) -> Rewrite | None:
        """A rewrite of the host's own stands before a route's whole path, unless that strips its part."""
        written = self._written("rewrite", self._host.rewrite)
        strips = self._written("strip_prefix", self._host.strip_prefix)
        if strips is None:
            strips = self._route is not None and self._route.rewrite is not None
        put = Template(())
        if written is not None:
            read = self._path(written)
            put = read or put
        cut = self._prefix if strips else b""
        return Rewrite(cut=cut, put=put) if cut or put.parts else None

    def _path(self, written: str) -> Template | None:
        """The template of a path. What is wrong is told where it is written: once, at the host or at the route."""
        is_own = self._node.rewrite is not None
        try:
            return _path_template(written).fixed(self._fixed, self._names.clients)
        except Unfit as exc:
            if is_own:
                self._report.fault(self._node.at("rewrite"), str(exc))
            return None
        finally:
            if is_own:
                self._check_slots(written, self._node.at("rewrite"))

    def _host_line(self) -> bytes:
        """Of the backend: what names one server is not inherited by a route that leads to another."""
        written = self._written("host_header", self._host.host_header)
        is_own = self._node.host_header is not None
        leads_elsewhere = self._route is not None and bool(self._route.backend)
        if written in (None, "client") or (leads_elsewhere and not is_own and written != "backend"):
            return b""
        try:
            name = _backend_name(self._servers) if written == "backend" else _authority(str(written))
        except Unfit as exc:
            # A route that leads elsewhere may be the one at which an inherited `backend` can't work.
            if is_own or leads_elsewhere:
                at = self._node.at("host_header") if is_own else self._node.at("backend")
                self._report.fault(at, str(exc))
            return b""
        return b"Host: " + name.encode("ascii") if name else b""

    def _http2(self, inherited: Passed) -> bool:
        """Of the backend: what is said of one server is not inherited by a route that leads to another."""
        node, by_scheme = self._node, any(server.http2 for server in self._servers)
        if node.protocol == "http1" and by_scheme:
            self._report.fault(
                node.at("protocol"), "the backend's address says HTTP/2: write host:port or https://"
            )
        is_inherited = inherited.http2 and not (self._route is not None and self._route.backend)
        return by_scheme or (is_inherited if node.protocol is None else node.protocol == "http2")

    def _trust(self, inherited: Trust) -> Trust:
        node = self._node
        if self._route is not None and self._route.backend:
            inherited = msgspec.structs.replace(inherited, name="")
        if node.backend_name is not None and not _is_name(node.backend_name):
            self._report.fault(node.at("backend_name"), f"`{node.backend_name}` is no host name")
        insecure = self._written("insecure", self._host.insecure)
        if insecure and (node.backend_ca is not None or node.backend_name is not None):
            at = "backend_ca" if node.backend_ca is not None else "backend_name"
            self._report.fault(
                node.at(at), "with `insecure = true` no certificate is checked: write one of them"
            )
        return trust_of(node, inherited, self._report)

    # -- header lines ------------------------------------------------------------------------------

    def _headings(self, attribute: str, *, is_answer: bool) -> tuple[Heading, ...]:
        """The host's, a route's in place of those of the same name."""
        own: dict[str, Header] = {}
        for node in getattr(self._node, attribute):
            if self._is_fit(node, own, is_answer=is_answer):
                own[class_of(node.label)] = node
        inherited = {} if self._route is None else getattr(self._host, attribute)
        found = {class_of(node.label): node for node in inherited} | own
        headings = (self._heading(node, is_own=key in own) for key, node in found.items())
        return tuple(heading for heading in headings if heading is not None)

    def _is_fit(self, node: Header, before: Mapping[str, Header], *, is_answer: bool) -> bool:
        kind, label = node.block.type, node.label
        try:
            header_name(label)
        except Unfit as exc:
            self._report.fault(node.label_at, str(exc))
            return False
        if first := before.get(class_of(label)):
            place = first.label_at.short
            self._report.fault(node.label_at, f"`{label}` stands here twice; the first is at {place}")
            return False
        if node.remove == node.has("value"):
            self._report.fault(
                node.block.place, f'{kind} "{label}" needs one of the two: value = "…" or remove = true'
            )
            return False
        if fault := fault_of(label, is_removed=node.remove, is_answer=is_answer):
            self._report.fault(node.label_at, f"`{label}` {fault}")
            return False
        return True

    def _heading(self, node: Header, *, is_own: bool) -> Heading | None:
        if node.value is None:
            return Heading(name=node.label) if node.remove else None
        text = node.value.reveal()
        try:
            template = parse(text)
            if not _TEXT_RE.fullmatch(text) or text != text.strip():
                raise Unfit("can't stand in a header: visible ASCII, with spaces between")
        except ValueError as exc:
            if is_own:
                self._report.fault(node.at("value"), str(exc))
            return None
        if is_own:
            self._check_slots(text, node.at("value"))
            self._warn_shared(node, text)
        return Heading(name=node.label, value=template.fixed(self._fixed, self._names.clients))

    def _warn_shared(self, node: Header, text: str) -> None:
        if node.block.type == "answer_header" and node.label.lower() == "cache-control":
            said = text.lower()
            if not any(word in said for word in ("private", "no-store", "no-cache")):
                self._report.warn(
                    node.at("value"),
                    "a cache in front may give such an answer to anybody, also where only some get in",
                )

    # -- values ------------------------------------------------------------------------------------

    @property
    def _fixed(self) -> dict[str, str]:
        return {"host": self._names.host, "prefix": self._prefix.decode("ascii")}

    def _check_slots(self, text: str, place: Place) -> None:
        """Providers that aren't there, and claims that nobody keeps."""
        try:
            slots = parse(text).slots
        except ValueError:
            return  # told already
        for slot in slots:
            if slot.kind != "claim":
                continue
            if slot.provider and slot.provider not in self._names.clients and not self._names.takes_more:
                close = nearest(slot.provider, self._names.clients)
                self._report.fault(
                    place, f"`{slot}`: there is no provider `{slot.provider}` on this host{close}"
                )
            elif self._names.claims is not None and not _is_kept(slot, self._names.claims):
                self._report.warn(
                    place,
                    f"`{slot}`: no provider of this host keeps such a claim: "
                    f'claims = {{ {slot.name} = "…" }} in the provider',
                )


def _is_kept(slot: Slot, claims: frozenset[str]) -> bool:
    return slot.name in claims or any(slot.name.startswith(f"{claim}.") for claim in claims)


def _path_template(written: str) -> Template:
    """The template of a path, without its last slash. Raises Unfit."""
    if not written.startswith("/"):
        raise Unfit(f'`{written}` is no path: it begins with a slash, "/{written}"')
    try:
        template = parse(written.rstrip("/"))
    except ValueError as exc:
        raise Unfit(str(exc)) from None
    for slot in template.slots:
        if slot.kind == "request" or (slot.kind == "user" and slot.name in LISTS):
            raise Unfit(f"`{slot}` can't be part of a path")
    shape = "".join(part if isinstance(part, str) else "x" for part in template.parts)
    if not shape.isascii() or re.search(r"[?#;*\s]", shape):
        raise Unfit(f"`{written}` is no path: without query, parameters, patterns and spaces; %20 is a space")
    try:
        target = url.canonical(shape.encode() or b"/")
    except BadRequest as exc:
        raise Unfit(f"`{written}` is no path: {exc.detail or exc.message}") from None
    if shape and target.full != shape.encode():
        raise Unfit(f"`{written}` is not written as paths are sent: {target.full.decode()}")
    return template


def _authority(written: str) -> str:
    """A name of the operator's own for Host, with its port. Raises Unfit."""
    try:
        found = url.authority(written.encode("ascii"))
    except (BadRequest, UnicodeError):
        raise Unfit(
            f'`{written}` is no name: "client", "backend", "app.internal" or "app.internal:8080"'
        ) from None
    return found.host.decode() if found.port is None else f"{found.host.decode()}:{found.port}"


def _backend_name(servers: tuple[Server, ...]) -> str:
    """The one name that all servers of a backend have. Raises Unfit."""
    names = {_name_of(server) for server in servers}
    if "" in names:
        raise Unfit('a Unix socket has no name: host_header = "app.internal"')
    if len(names) > 1:
        raise Unfit(
            f"the servers have several names ({', '.join(sorted(names))}): write the one that is meant"
        )
    return names.pop() if names else ""


def _name_of(server: Server) -> str:
    if server.path:
        return ""
    host = f"[{server.host}]" if ":" in server.host else server.host
    return host if server.port == (443 if server.tls else 80) else f"{host}:{server.port}"


def _is_name(written: str) -> bool:
    try:
        return url.authority(written.encode("ascii")).port is None
    except (BadRequest, UnicodeError):
        return False
