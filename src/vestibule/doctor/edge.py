"""An edge in front, tried from its front: what it lets through of what only it, or the gateway, may say."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from vestibule.core import probe
from vestibule.core.policy import asker_of, decide
from vestibule.core.route import Host
from vestibule.core.seal import KeyRing
from vestibule.doctor.certificates import why_of
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient
from vestibule.model import Allow
from vestibule.observe import clock

_ABOUT: Final = About("edge")
ASK_S: Final = 5.0
_BODY_MAX_BYTES: Final = 65536
_BROWSER: Final = (("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
#: how an edge refuses, or sends people to sign in
_REFUSALS: Final = frozenset((301, 302, 303, 307, 308, 400, 401, 403))
_EXPORT: Final = "take what `vestibule export nginx|caddy|haproxy|envoy FILE.hcl` prints"

Lines = Sequence[tuple[str, str]]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What came back from the edge."""

    status: int = 0
    """0: nothing."""
    body: bytes = b""
    why: str = ""
    answer: probe.Answer | None = None
    """Of the gateway, or of the doctor in the app's place."""

    @property
    def is_refused(self) -> bool:
        """The request went no further."""
        return self.answer is None and self.status in _REFUSALS


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen of one host's edge."""

    host: str
    url: str
    own: Said
    """At the gateway's own path, with everything forged."""
    is_asked: bool = False
    """The edge asks the gateway, and sends requests on itself."""
    is_public: bool = False
    """Anybody may see the probe's path, so that nothing is learnt from being let through."""
    plain: Said = Said()
    """At a path of the app's, as nobody in particular."""
    targets: tuple[Said, ...] = ()
    """The same with forged addresses, in each way that edges tell of them."""
    through: Said = Said()
    """Let through, with forged people."""
    odd: Said = Said()
    """Let through, with the same in odd spellings."""


async def look(patient: Patient) -> list[Finding]:
    """Probe the edge of each host that has one."""
    hosts = [host for host in patient.hosts if host.base_url and host.demand is None]
    if not hosts:
        return []
    if patient.ring is None or not patient.running.pid:
        why = (
            "no gateway runs that could say what arrives" if patient.ring else "this user can't read the keys"
        )
        return [_ABOUT.skip("all hosts", "edge_unprobed", why, "start the gateway, and run this as its user")]
    servers = [await _stand_in(address, patient.ring) for address in patient.stand_ins]
    try:
        seen = await asyncio.gather(*(_seen(patient, host, patient.ring) for host in hosts))
    finally:
        for server in servers:
            server.close()
    return [finding for one in seen for finding in findings_of(one)]


async def _seen(patient: Patient, host: Host, ring: KeyRing) -> Seen:
    name = host.name.decode("ascii")
    asking = _Asking(host.base_url, ring, name)
    own = await asking.get(probe.OWN_PATH, probe.FORGED, is_probe=True)
    if own.status == 400:  # it doesn't take odd spellings at all
        own = await asking.get(probe.OWN_PATH, (*probe.CLIENT, *probe.IDENTITY), is_probe=True)
    seen = Seen(host=name, url=host.base_url, own=own)
    if not patient.is_asked(host) or not own.status:
        return seen
    policy = host.route(probe.THROUGH_PATH.encode()).policy
    path = probe.THROUGH_PATH
    plain, through, odd, *targets = await asyncio.gather(
        asking.get(path, _BROWSER),
        asking.get(path, (*probe.CLIENT, *probe.IDENTITY), is_probe=True),
        asking.get(path, probe.ODD, is_probe=True),
        *(asking.get(path, (*_BROWSER, *lines)) for lines in asking.forged_targets()),
    )
    return msgspec.structs.replace(
        seen,
        is_asked=True,
        is_public=isinstance(decide(policy, b"GET", asker_of(None, policy, "192.0.2.1")), Allow),
        plain=plain,
        through=through,
        odd=odd,
        targets=tuple(targets),
    )


class _Asking:
    """Sends requests to one host by its edge, as they are written."""

    def __init__(self, base_url: str, ring: KeyRing, host: str) -> None:
        parts = urlsplit(base_url)
        self._base_url = base_url
        self._authority = parts.netloc
        self._ring = ring
        self._host = host
        name = parts.hostname or ""
        # RFC 6761: these lead here, whatever a resolver knows of them.
        self._name = "127.0.0.1" if name.endswith("localhost") else name
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = _unchecked() if parts.scheme == "https" else None
        self._shown = name if self._tls is not None else None

    def forged_targets(self) -> tuple[Lines, ...]:
        """What would make a gateway judge another address than the one that is asked for."""
        first, second, third, fourth = (
            f"{probe.THROUGH_PATH}?token={self._token(probe.THROUGH_PATH)}" for _ in range(4)
        )
        scheme = self._base_url.partition(":")[0]
        forwarded = (
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Proto", scheme),
            ("X-Forwarded-Host", self._authority),
            ("X-Forwarded-Uri", first),
        )
        original = (("X-Original-Method", "GET"), ("X-Original-URL", self._base_url + second))
        return forwarded, original, (("X-Original-URI", third), ("X-Rewrite-URL", fourth))

    async def get(self, path: str, lines: Lines, *, is_probe: bool = False) -> Said:
        """What is answered; with the token where it `is_probe`."""
        token = self._token(path) if is_probe else ""
        target = f"{path}?token={token}" if is_probe else path
        usual = (("Host", self._authority), ("User-Agent", "vestibule-doctor"), ("Connection", "close"))
        fields = [f"{name}: {value}" for name, value in (*usual, *lines)]
        head = "\r\n".join((f"GET {target} HTTP/1.1", *fields, "", ""))
        try:
            async with asyncio.timeout(ASK_S):
                raw = await self._sent(head.encode("ascii"))
        except (OSError, TimeoutError, ValueError) as exc:
            return Said(why=why_of(exc))
        return self._read(raw, token)

    def _token(self, path: str) -> str:
        """A new one: each is good once."""
        nonce = secrets.token_bytes(probe.NONCE_BYTES)
        return probe.token_of(self._ring, self._host, path, clock.now() + probe.LIFE_S, nonce=nonce)

    async def _sent(self, head: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(
            self._name, self._port, ssl=self._tls, server_hostname=self._shown
        )
        try:
            writer.write(head)
            raw = bytearray()
            while len(raw) < _BODY_MAX_BYTES and (chunk := await reader.read(_BODY_MAX_BYTES)):
                raw += chunk
            return bytes(raw)
        finally:
            writer.transport.abort()

    def _read(self, raw: bytes, token: str) -> Said:
        head, _, body = raw.partition(b"\r\n\r\n")
        parts = head.split(b" ", 2)
        if len(parts) < 2 or not parts[1].isdigit():
            return Said(why="what answers is no HTTP/1.1")
        start, end = body.find(b"{"), body.rfind(b"}")  # whole, or in chunks
        answer = None
        try:
            found = msgspec.json.decode(body[start : end + 1], type=probe.Answer)
            answer = found if probe.is_proof(self._ring, token, found.proof) else None
        except (msgspec.DecodeError, ValueError):
            pass
        return Said(status=int(parts[1]), body=b"", answer=answer)


def _unchecked() -> ssl.SSLContext:
    """Whatever it shows: whether browsers believe it is told elsewhere, and the answer proves who gave it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _stand_in(address: str, ring: KeyRing) -> asyncio.Server:
    """Listen in the app's place for a moment. Raises OSError."""
    host, _, port = address.rpartition(":")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASK_S):
                raw = await reader.readuntil(b"\r\n\r\n")
            writer.write(stood_in(raw, ring))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, host.strip("[]") or "127.0.0.1", int(port))


def stood_in(raw: bytes, ring: KeyRing) -> bytes:
    """What the doctor answers in the app's place."""
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    query = first.split(" ")[1].partition("?")[2] if first.count(" ") == 2 else ""
    token = probe.token_in(query.encode("latin-1"))
    fields = ((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    body = msgspec.json.encode(probe.Answer(proof=probe.proof_of(ring, token), arrived=probe.arrived(fields)))
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )


# -- what it means ----------------------------------------------------------------------------


def findings_of(seen: Seen) -> list[Finding]:
    """What was seen, judged."""
    own = seen.own
    if not own.status:
        return [
            _ABOUT.fail(
                seen.url,
                "edge_unreached",
                f"nobody answers there: {own.why}",
                "start the edge; look at its address in DNS, and at firewalls on the way",
            )
        ]
    if own.answer is None:
        return [
            _ABOUT.fail(
                seen.url,
                "edge_elsewhere",
                f"{probe.OWN_PATH} at the edge doesn't lead to this gateway: it answers {own.status}",
                f"hand all below /@/ on to the gateway, with Host as it came; {_EXPORT}",
            )
        ]
    found = _of_client(seen.url, own.answer)
    if seen.is_asked:
        found += _of_asking(seen)
        found += _of_people(seen)
    return found


def _of_client(url: str, answer: probe.Answer) -> list[Finding]:
    """Whether the gateway knows who the client is, and a client can't say so itself."""
    states = {one.name: one.state for one in answer.arrived}
    if not answer.is_trusted:
        return [
            _ABOUT.warn(
                url,
                "edge_untrusted",
                f"the edge comes from {answer.peer or 'a Unix socket'}, which is not in trusted_proxies: everybody "
                "seems to come from there",
                f'gateway {{ trusted_proxies = ["{answer.peer or "unix"}"] }}',
            )
        ]
    told = [name for name in ("X-Forwarded-For", "Forwarded") if states.get(name) == "whole"]
    if answer.client == probe.ADDRESS and "X-Forwarded-For" in told:
        return [
            _ABOUT.fail(
                url,
                "edge_forged_client",
                "it hands on the client's own X-Forwarded-For: anybody can give any address as theirs",
                f"let it write the header anew, or add to it; {_EXPORT}",
            )
        ]
    if "X-Forwarded-For" not in states:
        return [
            _ABOUT.warn(
                url,
                "edge_tells_nobody",
                "it doesn't tell the client's address: everybody seems to come from the edge",
                "let it set X-Forwarded-For",
            )
        ]
    return [_ABOUT.ok(url, "edge_client", "it leads to this gateway, and says itself who the client is")]


def _of_asking(seen: Seen) -> list[Finding]:
    """Whether the edge asks, and about the request that it holds."""
    if seen.is_public:
        return [
            _ABOUT.skip(seen.url, "edge_public", "the host is public: what it asks about can't be told apart")
        ]
    if not seen.plain.is_refused:
        what = f"it answers {seen.plain.status}" if seen.plain.status else seen.plain.why
        if seen.plain.status >= 500 or not seen.plain.status:
            return [
                _ABOUT.fail(
                    seen.url,
                    "edge_broken",
                    f"a request of nobody in particular: {what}",
                    f"see its log; {_EXPORT}",
                )
            ]
        return [
            _ABOUT.fail(
                seen.url,
                "edge_asks_nobody",
                f"it sends requests to the app without asking the gateway ({what})",
                f"let it ask for every path of the host; {_EXPORT}",
            )
        ]
    if any(not said.is_refused and said.status and said.status < 500 for said in seen.targets):
        return [
            _ABOUT.fail(
                seen.url,
                "edge_forged_target",
                "it hands on the client's own X-Original-… or X-Forwarded-Uri: who may see one page sees all",
                f"let it write what it asks about itself; {_EXPORT}",
            )
        ]
    return [_ABOUT.ok(seen.url, "edge_asks", "it asks the gateway, about the request that it holds")]


def _of_people(seen: Seen) -> list[Finding]:
    """Whether a client can say who it is."""
    through, odd = seen.through.answer, seen.odd.answer
    if through is None and odd is None:
        return [
            _ABOUT.skip(
                seen.url,
                "edge_app_unseen",
                "what reaches the app can't be seen while the app answers itself",
                "stop the app for a moment and run: vestibule doctor --stand-in 127.0.0.1:PORT (its address)",
            )
        ]
    forged = [*_forged(through, probe.IDENTITY), *_forged(odd, probe.ODD)]
    if forged:
        return [
            _ABOUT.fail(
                seen.url,
                "edge_forged_person",
                f"anybody can be anybody: the client's own {', '.join(forged)} reach the app",
                f"let it set these from the gateway's answer, and remove every other spelling; {_EXPORT}",
            )
        ]
    clients = _forged(through, probe.CLIENT[:3])
    if clients:
        return [
            _ABOUT.warn(
                seen.url,
                "edge_forged_app_client",
                f"the client's own {', '.join(clients)} reach the app, which may believe them",
                f"let it write them anew; {_EXPORT}",
            )
        ]
    return [_ABOUT.ok(seen.url, "edge_people", "who is signed in, the app is told by the gateway alone")]


def _forged(answer: probe.Answer | None, names: Iterable[tuple[str, str]]) -> list[str]:
    """Those of these headers that arrived with what was forged."""
    known = {name for name, _ in names}
    arrived = answer.arrived if answer is not None else ()
    return [one.name for one in arrived if one.name in known and one.state == "whole"]
