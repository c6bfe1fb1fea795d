"""What is checked of calling interfaces: where they listen, where they lead, whose credential they apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from vestibule.config import schema
from vestibule.config.client import Client
from vestibule.config.host import Scope
from vestibule.config.place import Place, Report, Unfit, nearest
from vestibule.config.value import Reference, header_name, host_name, port
from vestibule.core.call import (
    Applied,
    Credential,
    Location,
    SecretCredential,
    SessionCredential,
    TokenCredential,
)
from vestibule.core.listener import ListenAddress
from vestibule.providers.base import ProviderConfig

#: headers that HTTP or the gateway itself sets
_OWN_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One `auth` or `apply_header`, brought to one form."""

    location: str
    name: str
    reference: Reference
    scopes: tuple[str, ...]
    prefix: str | None
    place: Place


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """A calling interface as it was resolved."""

    node: schema.Call
    id: str
    listen: ListenAddress
    hosts: tuple[str, ...]
    applied: tuple[Applied, ...]


class Sources:
    """The token sources of the app's own that calls make use of, by name."""

    def __init__(self, known: Mapping[str, Client]) -> None:
        self.known = known
        """By `kind:NAME`."""
        self.used: dict[str, ProviderConfig] = {}

    def use(self, kind: str, name: str, scopes: tuple[str, ...]) -> str:
        """The source's name; one with scopes of its own is a source of its own."""
        client = self.known[f"{kind}:{name}"]
        full = " ".join((client.name, *scopes))
        config: Any = client.config
        self.used[full] = msgspec.structs.replace(config, name=full, scopes=scopes) if scopes else config
        return full


def check_calls(
    config: schema.Config, scopes: Mapping[str, Scope], sources: Sources, report: Report
) -> tuple[Interface, ...]:
    """Every calling interface that has no fault."""
    found: list[Interface] = []
    resolve = _Resolver(config, scopes, sources, report)
    ids: dict[str, schema.Call] = {}
    for call, inside in _calls(config, scopes):
        full = f"{inside.name}/{call.label}" if inside else call.label
        first = ids.setdefault(full, call)
        if first is not call:
            place = first.label_at.short
            report.fault(
                call.label_at, f"there are two calls of the ID `{call.label}`; the first is at {place}"
            )
        listen = _listen(call, report)
        _check_endpoint(call, report)
        _check_operations(call, report)
        wanted = list(_wanted(call, report))
        hosts = _hosts(call, inside, wanted, scopes, report)
        applied = [_applied(want, resolve(want, hosts)) for want in wanted]
        if not wanted and not report.faults:
            report.warn(
                call.block.place,
                f'call "{call.label}" adds no credential: it has no auth and no apply_header',
            )
        if listen is not None:
            whole = tuple(one for one in applied if one is not None)
            found.append(Interface(node=call, id=full, listen=listen, hosts=hosts, applied=whole))
    return tuple(found)


def _calls(config: schema.Config, scopes: Mapping[str, Scope]) -> Iterator[tuple[schema.Call, Scope | None]]:
    for call in config.call:
        yield call, None
    for scope in scopes.values():
        for call in scope.node.call:
            yield call, scope


def _listen(call: schema.Call, report: Report) -> ListenAddress | None:
    if call.port is not None and call.listen is not None:
        report.fault(call.at("listen"), "`port` stands here too; write one of them")
        return None
    if call.listen is not None:
        if not call.listen.is_loopback:
            report.fault(
                call.at("listen"),
                f"{call.listen} is not on loopback: whoever reaches it could call with a leaked handle; "
                f"write 127.0.0.1:{call.listen.port}",
            )
        return call.listen
    if call.port is None:
        if not (call.has("port") or call.has("listen")):
            report.fault(call.block.place, f'call "{call.label}" has no `port`: port = 4848')
        return None
    try:
        return ListenAddress(host="127.0.0.1", port=port(call.port))
    except Unfit as exc:
        report.fault(call.at("port"), str(exc))
        return None


def _check_endpoint(call: schema.Call, report: Report) -> None:
    api = call.endpoint
    if call.insecure:
        report.warn(call.at("insecure"), "the API's certificate is not checked: only for testing")
    if api is not None and api.server.http2 and call.protocol == "http1":
        report.fault(call.at("protocol"), "the endpoint's address says HTTP/2: write host:port or https://")
    if api is None or api.is_loopback or api.server.tls:
        return
    place = call.at("endpoint")
    if api.is_guessed:
        report.fault(
            place,
            f"`{api.authority}` would be called by plain http, since its port is not 443; write "
            f'"https://{api.authority}", or "http://{api.authority}" if that is meant',
        )
    else:
        report.warn(
            place, f"credentials go to {api.authority} by plain http: the network between can read them"
        )


def _check_operations(call: schema.Call, report: Report) -> None:
    if call.only_operations and not call.operation:
        report.fault(
            call.at("only_operations"), "nothing could be called: there is no `operation` in this call"
        )
    names: dict[str, schema.Operation] = {}
    for operation in call.operation:
        first = names.setdefault(operation.label, operation)
        if first is not operation:
            place = first.label_at.short
            report.fault(
                operation.label_at, f"there are two operations `{operation.label}`; the first is at {place}"
            )


# -- what is applied --------------------------------------------------------------------------


def _wanted(call: schema.Call, report: Report) -> Iterator[Wanted]:
    names: dict[tuple[str, str], Place] = {}
    for want in (*_auths(call, report), *_headers(call, report)):
        key = (want.location, want.name.lower() if want.location == "header" else want.name)
        if key in names:
            report.fault(
                want.place, f"the {want.location} `{want.name}` is set twice; first at {names[key].short}"
            )
        names.setdefault(key, want.place)
        if want.location == "header" and (key[1] in _OWN_HEADERS or key[1].startswith("proxy-")):
            report.fault(want.place, f"the header `{want.name}` is set by the gateway itself")
        yield want


def _auths(call: schema.Call, report: Report) -> Iterator[Wanted]:
    for auth in call.auth:
        if auth.location not in ("header", "query"):
            report.fault(auth.at("location"), f'`{auth.location}` is no location: "header" or "query"')
        if auth.credential is not None and auth.name:
            yield Wanted(
                location="query" if auth.location == "query" else "header",
                name=auth.name,
                reference=auth.credential,
                scopes=(),
                prefix=auth.prefix,
                place=auth.at("credential"),
            )


def _headers(call: schema.Call, report: Report) -> Iterator[Wanted]:
    for header in call.apply_header:
        given = [name for name in ("secret", "client_credentials", "service_account") if header.has(name)]
        if len(given) != 1:
            report.fault(
                header.block.place,
                f'apply_header "{header.label}" needs one of secret, client_credentials, service_account',
            )
            continue
        kind = given[0]
        reference = header.secret if kind == "secret" else Reference(kind, getattr(header, kind))
        try:
            name = header_name(header.label)
        except Unfit as exc:
            report.fault(header.label_at, str(exc))
            continue
        if header.scopes and kind == "secret":
            report.fault(header.at("scopes"), "`scopes` go with client_credentials or service_account only")
        if reference is not None and reference.name:
            yield Wanted(
                location="header",
                name=name,
                reference=reference,
                scopes=header.scopes if kind != "secret" else (),
                prefix=header.prefix,
                place=header.at(kind),
            )


def _hosts(
    call: schema.Call, inside: Scope | None, wanted: list[Wanted], scopes: Mapping[str, Scope], report: Report
) -> tuple[str, ...]:
    """The hosts whose handles the call takes: those written, else those with every client it applies."""
    if inside is not None:
        if call.has("hosts"):
            report.fault(call.at("hosts"), f"a call inside a host takes the handles of {inside.name} only")
        return (inside.name,)
    if call.has("hosts"):
        return _named_hosts(call, scopes, report)
    clients = [want.reference.name for want in wanted if want.reference.kind == "session"]
    if not clients:
        return ()
    found = tuple(name for name, scope in scopes.items() if all(one in scope.clients for one in clients))
    if not found and all(any(one in scope.clients for scope in scopes.values()) for one in clients):
        report.fault(call.block.place, f"no host has all the clients this call applies: {', '.join(clients)}")
    return found


def _named_hosts(call: schema.Call, scopes: Mapping[str, Scope], report: Report) -> tuple[str, ...]:
    found: list[str] = []
    for number, written in enumerate(call.hosts):
        try:
            name: str = host_name(written)
        except Unfit:
            name = written
        if name not in scopes:
            report.fault(call.at("hosts", number), f"there is no host `{written}`{nearest(written, scopes)}")
        elif name not in found:
            found.append(name)
    if not call.hosts and not report.faults:
        report.fault(call.at("hosts"), "the list is empty: no handle would be taken; leave it out")
    return tuple(found)


def _applied(want: Wanted, credential: Credential | None) -> Applied | None:
    if credential is None:
        return None
    prefix = want.prefix
    if prefix is None:
        is_bearer = want.name.lower() == "authorization" and not isinstance(credential, SecretCredential)
        prefix = "Bearer " if is_bearer and want.location == "header" else ""
    return Applied(location=Location(want.location), name=want.name, credential=credential, prefix=prefix)


class _Resolver:
    """Finds what a call refers to; None, with a fault, where there is no such thing."""

    def __init__(
        self, config: schema.Config, scopes: Mapping[str, Scope], sources: Sources, report: Report
    ) -> None:
        self.secrets = {secret.label: secret.value for secret in config.secret}
        self.scopes = scopes
        self.sources = sources
        self.report = report

    def __call__(self, want: Wanted, hosts: tuple[str, ...]) -> Credential | None:
        match want.reference.kind:
            case "session":
                return self.session(want, hosts)
            case "secret":
                return self.secret(want)
            case _:
                return self.token(want)

    def session(self, want: Wanted, hosts: tuple[str, ...]) -> SessionCredential | None:
        client = want.reference.name
        named: dict[str, str] = {}
        for host in hosts:
            known = self.scopes[host].clients
            if client in known:
                named[host] = known[client]
            elif client not in self.report.broken:
                self.report.fault(
                    want.place, f"the host {host} has no client `{client}`{nearest(client, known)}"
                )
        names = dict.fromkeys(name for scope in self.scopes.values() for name in scope.clients)
        if client not in names and not hosts and client not in self.report.broken:
            self.report.fault(want.place, f"no host has a client `{client}`{nearest(client, names)}")
        return SessionCredential(client=client, clients=named) if named else None

    def secret(self, want: Wanted) -> SecretCredential | None:
        name = want.reference.name
        if name in self.secrets:
            return SecretCredential(name=name, value=self.secrets[name])
        advice = nearest(name, self.secrets) or f'; add secret "{name}" {{ value = "${{env("…")}}" }}'
        self.report.fault(want.place, f"there is no secret `{name}`{advice}")
        return None

    def token(self, want: Wanted) -> TokenCredential | None:
        kind, name = want.reference.kind, want.reference.name
        if f"{kind}:{name}" in self.sources.known:
            return TokenCredential(source=self.sources.use(kind, name, want.scopes))
        if name not in self.report.broken:
            known = [full.partition(":")[2] for full in self.sources.known if full.startswith(f"{kind}:")]
            self.report.fault(want.place, f"there is no {kind} `{name}`{nearest(name, known)}")
        return None
