"""One Redis, as the store asks it: commands, scripts, and what becomes of their faults.

Each command is sent once: whether one was done whose answer never came, nobody knows. Only what reads is sent a second
time, on another connection. A script is sent by its digest and, where Redis doesn't know it, whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from vestibule.core.redis import Redis
from vestibule.errors import StoreError
from vestibule.store.redis_net import Cluster, Heard, Net, Sentinels, Single, ask_address, unheard
from vestibule.store.redis_wire import CONNECT_S, Broken, Command, Late, Login, Refused

AT_ONCE: Final = 200
"""How many commands of one batch are on their way at a time: others' come between."""
_HOPS: Final = 6
_TRY_AGAIN_S: Final = 0.02
_ELSEWHERE: Final = frozenset(("NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "READONLY"))
"""First words of answers that say that nothing was done, and that it can be."""
_START_S: Final = 0.6
"""A little longer than a server that was found away is not asked."""
_PROBE_MS: Final = 10_000
_SENTINELS_OWN: Final = "Sentinels have users of their own: ?sentinel_user=USER&sentinel_password=PASSWORD"
#: what all stands in what was said → what to do; the first that fits counts
_ADVICE: Final = (
    (("no Sentinel", "WRONGPASS"), _SENTINELS_OWN),
    (("no Sentinel", "NOAUTH"), _SENTINELS_OWN),
    (("no Sentinel", "unknown command"), "it is no Sentinel: redis://HOST:PORT"),
    (("WRONGPASS",), "look at user and password, and at what is percent-encoded in them"),
    (("NOAUTH",), "it wants a password: redis://USER:PASSWORD@HOST"),
    (("NOPERM",), "what its user has to be allowed is in docs/stores.md"),
    (("MOVED",), "it is part of a Cluster: redis+cluster://HOST:PORT"),
    (("cluster support disabled",), "it is part of none: redis://HOST:PORT"),
    (
        ("READONLY",),
        "it is a replica; name the primary, or the Sentinels that know it: redis+sentinel://HOST:PORT/PRIMARY",
    ),
    (("DENIED",), "it takes connections from its own machine only"),
    (("DB index",), "it has fewer databases: /0 is the first"),
    (("CERTIFICATE_VERIFY_FAILED",), "?ca=FILE names the authorities whose word counts"),
    (("[SSL: WRONG_VERSION_NUMBER]",), "it speaks no TLS there: redis://"),
)


class Script:
    """A Lua script; what it reads and writes are its KEYS, all of one slot."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Ask(msgspec.Struct, frozen=True):
    """One command of several; a script's are its keys and arguments."""

    key: bytes
    """Says which server is asked."""
    command: Command
    script: Script | None = None
    keys: tuple[bytes, ...] = ()

    def sent(self) -> Command:
        """As it goes out."""
        if self.script is None:
            return self.command
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.command)


class Server:
    """Belongs to the event loop it was opened on."""

    def __init__(self, net: Net) -> None:
        self._net = net

    @classmethod
    async def open(cls, place: Redis, *, warn: Callable[[str], None], heard: Heard = unheard) -> Server:
        """The Redis at this place, after a try of what will be asked of it. Raises StoreError."""
        server = cls(_net(place, heard))
        try:
            await server._probe_patiently(f"{place.prefix}probe:{secrets.token_hex(8)}".encode())
            for said in await server._doubts():
                warn(f"{place}: {said}")
        except (Broken, Refused) as exc:
            await server.close()
            raise unopened(place, exc) from exc
        except BaseException:
            await server.close()
            raise
        return server

    async def close(self) -> None:
        """Let go of the connections; what is under way may or may not be done."""
        await self._net.close()

    async def ask(self, key: bytes, *command: Any) -> Any:
        """The answer to a command about this key, which is sent once. Raises StoreError."""
        try:
            return await self._answer(key, command)
        except (Broken, Refused) as exc:
            raise unreachable(exc) from exc

    async def read(self, key: bytes, *command: Any) -> Any:
        """The answer to a command that changes nothing; asked again where the connection breaks. Raises StoreError."""
        try:
            return await self._answer(key, command)
        except Late as exc:
            raise unreachable(exc) from exc
        except Broken:
            return await self.ask(key, *command)
        except Refused as exc:
            raise unreachable(exc) from exc

    async def run(self, script: Script, keys: Sequence[bytes], *arguments: Any) -> Any:
        """What the script returns; it runs once, or not at all. Raises StoreError."""
        try:
            return await self._ran(script, keys, arguments)
        except (Broken, Refused) as exc:
            raise unreachable(exc) from exc

    async def all(self, asks: Iterable[Ask]) -> list[Any]:
        """The answers to all, in any order on their way. Raises StoreError, once all have ended, if one failed."""
        waiting = list(asks)
        found: list[Any] = []
        while waiting:
            now, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            found += await self._some(now)
        for answer in found:
            if isinstance(answer, (Broken, Refused)):
                raise unreachable(answer) from answer
        return found

    async def about(self) -> dict[str, str]:
        """What it says of itself (INFO server); of several primaries the first. Raises StoreError."""
        try:
            [first, *_] = await self._net.primaries()
            said: bytes = await first.ask(("INFO", "server"))
        except (Broken, Refused) as exc:
            raise unreachable(exc) from exc
        lines = (line.partition(":") for line in said.decode("utf-8", "replace").splitlines())
        return {name: value for name, colon, value in lines if colon}

    async def _some(self, asks: Sequence[Ask]) -> list[Any]:
        """All are sent before the first answer is waited for; what was sent to the wrong server is sent again."""
        sent: list[asyncio.Future[Any] | Broken | Refused] = []
        for ask in asks:
            try:
                sent.append((await self._net.wire(ask.key)).ask(ask.sent()))
            except (Broken, Refused) as exc:
                sent.append(exc)
        found: list[Any] = []
        for ask, answer in zip(asks, sent, strict=True):
            try:
                found.append(answer if isinstance(answer, Exception) else await answer)
            except Broken as exc:
                found.append(exc)
            except Refused as exc:
                found.append(await self._again(ask) if exc.word in _ELSEWHERE else exc)
        return found

    async def _again(self, ask: Ask) -> Any:
        """The answer to what was sent, and not done; or what came of it."""
        try:
            if ask.script is None:
                return await self._answer(ask.key, ask.command)
            return await self._ran(ask.script, ask.keys, ask.command)
        except (Broken, Refused) as exc:
            return exc

    async def _ran(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        rest = (len(keys), *keys, *arguments)
        try:
            return await self._answer(keys[0], ("EVALSHA", script.sha, *rest))
        except Refused as exc:
            if exc.word != "NOSCRIPT":
                raise
        return await self._answer(keys[0], ("EVAL", script.text, *rest))

    async def _answer(self, key: bytes, command: Command) -> Any:
        """The answer of the server that has the key; who sends elsewhere did nothing. Raises Broken, Refused."""
        for _ in range(_HOPS):
            try:
                return await (await self._net.wire(key)).ask(command)
            except Refused as exc:
                address = ask_address(exc) if exc.word == "ASK" else None
                if exc.word == "TRYAGAIN":
                    await asyncio.sleep(_TRY_AGAIN_S)
                elif address is None and not self._net.moved(key, exc):
                    raise
            if address is not None:
                try:
                    wire = await self._net.wire_at(address)
                    return await wire.ask_all((("ASKING",), command))[1]
                except Refused as exc:
                    if exc.word not in ("MOVED", "TRYAGAIN"):
                        raise
        raise Broken("one server sends to the other")

    async def _probe_patiently(self, key: bytes) -> None:
        """The first connection may take longer than anybody waits for one later."""
        end_mono = asyncio.get_running_loop().time() + CONNECT_S + _START_S
        while True:
            try:
                await self._probe(key)
            except Late:
                if asyncio.get_running_loop().time() >= end_mono:
                    raise
                await asyncio.sleep(_START_S)
            else:
                return

    async def _probe(self, key: bytes) -> None:
        """All that a user has to be allowed, on a key of our own."""
        await self._answer(key, ("SET", key, b"probe", "PX", _PROBE_MS))
        if await self._answer(key, ("GET", key)) != b"probe":
            raise Broken("it does not give back what was stored")
        await self._ran(_PROBE, (key,), ())

    async def _doubts(self) -> list[str]:
        """What of its settings makes it forget, as far as it says."""
        found: dict[str, None] = {}
        for wire in await self._net.primaries():
            try:
                said = b"".join([await wire.ask(("INFO", section)) for section in ("memory", "persistence")])
            except Refused:  # the user may not ask
                continue
            told = dict(line.split(":", 1) for line in said.decode("utf-8", "replace").split() if ":" in line)
            if (policy := told.get("maxmemory_policy", "noeviction")) != "noeviction":
                found[
                    f"maxmemory-policy is {policy}: when its memory is full it drops sessions; set maxmemory-policy "
                    "noeviction"
                ] = None
            if told.get("aof_enabled") == "0":
                found[
                    "it writes no log of changes: sign-ins since its last snapshot are lost when it ends; set "
                    "appendonly yes"
                ] = None
        return list(found)


_PROBE: Final = Script("return redis.call('DEL', KEYS[1])")


def unreachable(exc: Exception) -> StoreError:
    """What is told while the program runs."""
    return StoreError("The store can't be reached just now.", detail=f"Redis: {exc}")


def unopened(place: Redis, exc: Exception) -> StoreError:
    """What is told when the program can't start."""
    said = f"{exc}".rstrip(".")
    advice = next((advice for words, advice in _ADVICE if all(word in said for word in words)), "")
    return StoreError(f"The store {place} can't be opened: {said}{f': {advice}' if advice else ''}.")


def login_of(place: Redis) -> Login:
    """How one logs in at its servers. Raises StoreError when a file of its TLS can't be used."""
    return Login(place.user, place.password, place.number, _tls(place))


def _net(place: Redis, heard: Heard) -> Net:
    login = login_of(place)
    if place.kind == "single":
        return Single(place.hosts[0], login, place.timeout_s, heard)
    if place.kind == "cluster":
        return Cluster(place.hosts, login, place.timeout_s, heard)
    asking = Login(place.sentinel_user, place.sentinel_password, 0, login.tls)
    return Sentinels(place.hosts, place.primary, login, asking, timeout_s=place.timeout_s, heard=heard)


def _tls(place: Redis) -> ssl.SSLContext | None:
    if not place.is_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=place.ca or None)
        if place.cert:
            context.load_cert_chain(place.cert, place.key or None, password="")  # never asks a terminal
    except OSError as exc:  # SSLError too
        files = ", ".join(filter(None, (place.ca, place.cert, place.key)))
        raise StoreError(f"The store {place} can't be opened: {files}: {exc}.") from exc
    return context
