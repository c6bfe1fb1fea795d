"""Certificates from the operator's own files: on the shelf from the start on, and anew when the files change.

A new version counts once both files have not changed for a moment, so that no half-written one does, nor a new
certificate with the key of the old. One that can't be used leaves the version before in force; the log says why, and an
operator sees it until it is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from vestibule.core import pem
from vestibule.core.certificate import Certificate, Source, Wanted
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.service.shelf import Shelf

LOOK_EVERY_S: Final = 2.0

Stamp = tuple[int, ...]
Stat = Callable[[str], Stamp]
Read = Callable[[str], bytes]
_Key = tuple[str, str]
"""Paths of certificate and key."""


class _Pair(msgspec.Struct):
    """Two files, as far as they were read."""

    certificate_path: str
    key_path: str
    names: tuple[str, ...] = ()
    """Hosts that they are for."""
    certificate: Certificate | None = None
    """In force."""
    stamp: Stamp = ()
    """Of what was read last, good or not."""
    seen: Stamp = ()
    """Of the last look."""
    fault: str = ""
    """Why what was read last is not in force."""
    away: str = ""
    """Why nothing could be seen at the last look."""

    @property
    def trouble(self) -> str:
        """What an operator has to see to; empty: nothing."""
        return self.away or self.fault


class Fresh(msgspec.Struct, frozen=True, kw_only=True):
    """Two files, as they are now."""

    stamp: Stamp
    certificate: Certificate


_NOTHING: Final[Mapping[_Key, Fresh]] = MappingProxyType({})


class CertificateFiles:
    """All such files of the configuration."""

    def __init__(
        self,
        shelf: Shelf,
        log: Log,
        *,
        now: Callable[[], float] = clock.now,
        stat: Stat | None = None,
        read: Read | None = None,
    ) -> None:
        self._shelf = shelf
        self._log = log.of("tls")
        self._now = now
        self._stat = stat or _stat
        self._read = read or _bytes
        self._pairs: dict[_Key, _Pair] = {}

    @property
    def troubles(self) -> Mapping[str, str]:
        """Files that can't be used as they are now, each with why; the version before is in force, if there was one."""
        return {pair.certificate_path: pair.trouble for pair in self._pairs.values() if pair.trouble}

    def fresh(self, wanted: Iterable[Wanted]) -> dict[_Key, Fresh]:
        """Those that are others than what was read last, by their paths; for a thread.

        Raises OSError, PemError, where one can't be used, whatever is in force.
        """
        found = {}
        for key in {_key(one) for one in wanted if one.source is Source.FILE}:
            pair, known = _Pair(*key), self._pairs.get(key)
            stamp = self._stamp(pair)
            if known is None or known.stamp != stamp or known.fault:
                found[key] = Fresh(stamp=stamp, certificate=self._parsed(pair))
        return found

    def use(self, wanted: Iterable[Wanted], fresh: Mapping[_Key, Fresh] = _NOTHING) -> None:
        """Have those of files on the shelf from now on; what is there already and not `fresh` is not read again.

        Hosts that have theirs by another way now keep the old one until there is one.
        """
        wanted = tuple(wanted)
        listed = tuple(one for one in wanted if one.source is Source.FILE)
        before = {name for pair in self._pairs.values() for name in pair.names}
        kept: dict[_Key, _Pair] = {}
        for one in listed:
            key = _key(one)
            pair = kept.get(key) or self._pairs.get(key) or _Pair(*key)
            if key not in kept:
                pair.names = ()
                kept[key] = pair
            pair.names = (*pair.names, one.name)
        for name in before - {one.name for one in wanted}:
            held = self._shelf.find(name)
            if held is not None and held.source is Source.FILE:
                self._shelf.drop(name)
        self._pairs = kept
        for key, pair in kept.items():
            self._begin(pair, fresh.get(key))

    async def look(self, _now: float = 0.0, _fence: int = 0) -> None:
        """Put new versions in force: a job for now and then."""
        for pair in tuple(self._pairs.values()):
            await self._look(pair)

    def _begin(self, pair: _Pair, fresh: Fresh | None) -> None:
        if pair.certificate is not None:
            self._put(pair, pair.certificate)
        try:
            if fresh is not None:
                pair.stamp = pair.seen = fresh.stamp
                self._take(pair, fresh.certificate)
            elif pair.certificate is None:
                pair.stamp = pair.seen = self._stamp(pair)
                self._take(pair, self._parsed(pair))
        except (OSError, pem.PemError) as error:
            self._refuse(pair, error)

    async def _look(self, pair: _Pair) -> None:
        try:
            seen = await asyncio.to_thread(self._stamp, pair)
        except OSError as error:
            self._miss(pair, error)
            return
        pair.away = ""
        if seen == pair.stamp or seen != pair.seen:
            pair.seen = seen  # it may still be being written
            return
        try:
            certificate = await asyncio.to_thread(self._parsed, pair)
            if await asyncio.to_thread(self._stamp, pair) != seen:
                return  # it was changed while it was read
        except (OSError, pem.PemError) as error:
            pair.stamp = seen
            self._refuse(pair, error)
            return
        pair.stamp = seen
        try:
            self._take(pair, certificate)
        except pem.PemError as error:
            self._refuse(pair, error)

    def _take(self, pair: _Pair, certificate: Certificate) -> None:
        """Raises: PemError for one that is no better than what is in force."""
        now, before = self._now(), pair.certificate
        lost = [name for name in pair.names if not certificate.covers(name)]
        if lost:
            raise pem.PemError(f"the certificate is not for {', '.join(lost)[:200]}")
        if before is not None and before.lives(now) and not certificate.lives(now):
            raise pem.PemError("the certificate has ended, or is not good yet; the one before is good")
        pair.certificate, pair.fault = certificate, ""
        self._put(pair, certificate)
        self._log.info(
            "certificate_loaded",
            path=pair.certificate_path,
            hosts=list(pair.names),
            fingerprint=certificate.fingerprint,
            days_left=round((certificate.not_after_at - now) / 86_400),
        )

    def _put(self, pair: _Pair, certificate: Certificate) -> None:
        for name in pair.names:
            held = self._shelf.find(name)
            if held is None or held != certificate:
                self._shelf.put(name, certificate)

    def _refuse(self, pair: _Pair, error: OSError | pem.PemError) -> None:
        pair.fault = why(error)
        self._tell(pair)

    def _miss(self, pair: _Pair, error: OSError) -> None:
        """Told once, until it is there again."""
        before, pair.away = pair.away, why(error)
        if not before:
            self._tell(pair)

    def _tell(self, pair: _Pair) -> None:
        self._log.error(
            "certificate_unusable",
            path=pair.certificate_path,
            hosts=list(pair.names),
            detail=pair.trouble,
            in_force=pair.certificate is not None,
        )

    def _stamp(self, pair: _Pair) -> Stamp:
        paths = dict.fromkeys((pair.certificate_path, pair.key_path))
        return tuple(number for path in paths for number in self._stat(path))

    def _parsed(self, pair: _Pair) -> Certificate:
        chain = self._read(pair.certificate_path)
        key = chain if pair.key_path == pair.certificate_path else self._read(pair.key_path)
        return pem.read_pair(chain, key, Source.FILE)


def _key(one: Wanted) -> _Key:
    return one.certificate_path, one.key_path


def why(error: OSError | pem.PemError) -> str:
    """What is wrong, without anything of the files."""
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}"
    return str(error)


def _stat(path: str) -> Stamp:
    found = Path(path).stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _bytes(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(pem.TEXT_LIMIT_BYTES + 1)
