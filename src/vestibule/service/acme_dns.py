"""DNS-01: records put into the DNS by RFC 2136 or by a program, and waited for until all name servers have them."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol, TypeAlias

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from vestibule.core.acme import Hook, Rfc2136
from vestibule.core.acme_fault import Blame, Fault
from vestibule.errors import IssueError
from vestibule.service.acme_ca import failure

Place: TypeAlias = tuple[str, int]
"""Address and port of a name server."""

ASK_S: Final = 5.0
"""How long one question to one name server may take."""
HOOK_S: Final = 60.0
"""How long the program may take, each time."""
SPREAD_S: Final = 120.0
"""How long it may take until all name servers have a record."""
_PAUSE_S: Final = 2.0
_TTL_S: Final = 60
_SAID_MAX_BYTES: Final = 500
_FAULTS: Final = (dns.exception.DNSException, OSError, ValueError)
#: all that the program sees of our environment
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}


class Dns(Protocol):
    """Puts records into the DNS, and takes them out."""

    async def present(self, name: str, text: str) -> None:
        """Have a TXT record with this text at this name; all name servers have it on return. Raises IssueError."""

    async def cleanup(self, name: str, text: str) -> None:
        """Take that very record out. Raises IssueError."""


def opened(config: Rfc2136 | Hook) -> Dns:
    """Who does it in this way. Raises ValueError for what can't work, which the configuration has checked."""
    return ByUpdate(config) if isinstance(config, Rfc2136) else ByHook(config)


class ByUpdate:
    """By RFC 2136, signed by TSIG: of a server that doesn't sign its answer, nothing is believed."""

    def __init__(self, config: Rfc2136, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._server = place_of(config.server)
        self._check = tuple(map(place_of, config.check))
        name = dns.name.from_text(config.key_name)
        algorithm = dns.name.from_text(config.key_algorithm)
        self._key = dns.tsig.Key(name, config.key_secret.reveal(), algorithm)
        self._sleep = sleep

    async def present(self, name: str, text: str) -> None:
        """Add it to what is there, and wait."""
        zone = await self._changed(name, text, is_added=True)
        servers = self._check or await self._servers_of(zone)
        await spread(name, text, servers, sleep=self._sleep)

    async def cleanup(self, name: str, text: str) -> None:
        """Delete this one of the records there."""
        await self._changed(name, text, is_added=False)

    async def _changed(self, name: str, text: str, *, is_added: bool) -> dns.name.Name:
        """The zone, once the server has done it."""
        try:
            owner = dns.name.from_text(name)
            zone = await self._zone_of(owner)
            change = dns.update.UpdateMessage(zone, keyring=self._key)
            if is_added:
                change.add(owner, _TTL_S, "TXT", f'"{text}"')
            else:
                change.delete(owner, "TXT", f'"{text}"')
            host, port = self._server
            # By TCP: who sends from another's address can't answer in the server's place.
            reply = await dns.asyncquery.tcp(change, host, timeout=ASK_S, port=port)
        except _FAULTS as exc:
            raise self._failed(name, exc) from exc
        if reply.rcode() != dns.rcode.NOERROR:
            raise self._failed(name, dns.rcode.to_text(reply.rcode()))
        return zone

    async def _zone_of(self, owner: dns.name.Name) -> dns.name.Name:
        """The zone that this name belongs to, as the server itself has it."""
        name = owner.parent()
        while len(name) > 1:
            answer = await ask(self._server, name, "SOA")
            if any(one.rdtype == dns.rdatatype.SOA and one.name == name for one in answer.answer):
                return name
            name = name.parent()
        raise ValueError("the server has no zone for it")

    async def _servers_of(self, zone: dns.name.Name) -> tuple[Place, ...]:
        """Those that the zone names: the one that was told at its port, all others at 53."""
        try:
            answer = await ask(self._server, zone, "NS")
            names = [one.target for found in answer.answer for one in found if one.rdtype == dns.rdatatype.NS]
            addresses = [address for name in names for address in await self._addresses(name)]
        except _FAULTS as exc:
            raise self._failed(str(zone), exc) from exc
        ours, port = self._server
        return tuple(dict.fromkeys((one, port if one == ours else 53) for one in addresses)) or (
            self._server,
        )

    async def _addresses(self, name: dns.name.Name) -> list[str]:
        """Of a name server: what the server says, else what the system does."""
        found: list[str] = []
        for kind in ("A", "AAAA"):
            answer = await ask(self._server, name, kind)
            found += [one.address for rrset in answer.answer for one in rrset if one.rdtype.name == kind]
        return found or await addresses_of(name)

    def _failed(self, name: str, why: object) -> IssueError:
        host, port = self._server
        detail = f"{name}: {why or type(why).__name__}"
        return failure(
            Fault(
                "dnsUpdate",
                Blame.NAME,
                f"the name server {host}:{port} doesn't take the record: its log says why",
            ),
            detail,
        )


class ByHook:
    """By a program of the operator's."""

    def __init__(self, config: Hook, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._command = config.command
        self._check = tuple(map(place_of, config.check))
        self._sleep = sleep

    async def present(self, name: str, text: str) -> None:
        """Call it, and wait."""
        await self._run("present", name, text)
        servers = self._check or await _authoritative(name)
        await spread(name, text, servers, sleep=self._sleep)

    async def cleanup(self, name: str, text: str) -> None:
        """Call it."""
        await self._run("cleanup", name, text)

    async def _run(self, verb: str, name: str, text: str) -> None:
        """Call it in time. Threat: no shell reads the arguments, and it sees nothing of our environment."""
        try:
            child = await asyncio.create_subprocess_exec(
                self._command,
                verb,
                name,
                text,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as exc:
            raise self._failed(f"it can't be started: {exc.strerror}") from exc
        try:
            async with asyncio.timeout(HOOK_S):
                _, said = await child.communicate()
        except TimeoutError:
            raise self._failed(f"{verb}: it took longer than {HOOK_S:g} s") from None
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # it leads a group of its own
                await child.communicate()  # to the end of what it says, whose pipe is closed by that
        if child.returncode:
            words = said[-_SAID_MAX_BYTES:].decode("utf-8", "replace").strip()
            raise self._failed(f"{verb}: it ended with {child.returncode}: {words}")

    def _failed(self, why: str) -> IssueError:
        advice = f"the program {self._command} doesn't set the record: call it by hand to see why"
        return failure(Fault("dnsHook", Blame.NAME, advice), why)


# -- asking ------------------------------------------------------------------------------------


def place_of(text: str) -> Place:
    """Address and port of `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or (":" in host and not host.endswith("]")):
        host, port = text, "53"
    host = host.removeprefix("[").removesuffix("]")
    return str(ipaddress.ip_address(host)), int(port)


async def ask(server: Place, name: dns.name.Name, kind: str) -> dns.message.Message:
    """What this server answers of its own: UDP, then TCP where that is too small. Raises DNSException, OSError."""
    question = dns.message.make_query(name, kind)
    question.flags &= ~dns.flags.RD
    host, port = server
    answer, _ = await dns.asyncquery.udp_with_fallback(question, host, timeout=ASK_S, port=port)
    return answer


async def spread(
    name: str,
    text: str,
    servers: Iterable[Place],
    *,
    within_s: float = SPREAD_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    mono: Callable[[], float] = time.monotonic,
) -> None:
    """Return once all of these have the record. Raises IssueError when they haven't in time."""
    missing, owner = list(servers), dns.name.from_text(name)
    ends_mono = mono() + within_s
    while True:
        has = await asyncio.gather(*(_has(server, owner, text) for server in missing))
        missing = [server for server, has_it in zip(missing, has, strict=True) if not has_it]
        if not missing:
            return
        if mono() >= ends_mono:
            where = ", ".join(f"{host}:{port}" for host, port in missing)
            advice = "some name servers of the zone don't have the record: do they follow the first one"
            raise failure(Fault("dnsSpread", Blame.NAME, advice), f"{name} at {where}")
        await sleep(_PAUSE_S)


async def _has(server: Place, owner: dns.name.Name, text: str) -> bool:
    try:
        answer = await ask(server, owner, "TXT")
    except _FAULTS:
        return False
    records = (one for found in answer.answer for one in found if one.rdtype == dns.rdatatype.TXT)
    return any(b"".join(one.strings) == text.encode("ascii") for one in records)


async def _authoritative(name: str) -> tuple[Place, ...]:
    """The name servers of the name's zone, as the system's resolver finds them. Raises IssueError."""
    try:
        zone = await dns.asyncresolver.zone_for_name(name)
        names = [one.target for one in await dns.asyncresolver.resolve(zone, "NS")]
        found = [(address, 53) for one in names for address in await addresses_of(one)]
        if not found:
            raise ValueError("they have no addresses")
    except _FAULTS as exc:
        advice = "the name servers of the zone can't be found: write them into `check` of `dns`"
        raise failure(Fault("dnsSpread", Blame.NAME, advice), f"{name}: {exc}") from exc
    return tuple(dict.fromkeys(found))


async def addresses_of(name: dns.name.Name) -> list[str]:
    """Of a name server, as the system's resolver finds them. Raises DNSException."""
    answers = await dns.asyncresolver.resolve_name(name)
    return list(answers.addresses())
