"""What a process shows to who connects by TLS, but for what is ordered: certificates from files, and local ones.

One a process, for as long as it runs. Every process has all of them: those of files it reads itself, those of the local
authority stand in the state directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from vestibule.core import pem
from vestibule.core.certificate import Certificate, Source, Wanted
from vestibule.errors import ConfigError
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.service.certificate_files import LOOK_EVERY_S as FILES_EVERY_S
from vestibule.service.certificate_files import CertificateFiles, Fresh, why
from vestibule.service.local_authority import LocalAuthority
from vestibule.service.shelf import Shelf

LOOK_EVERY_S: Final = FILES_EVERY_S
LOCAL_EVERY_S: Final = 3_600.0
"""So often it is looked whether a local certificate is due."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be shown, read and made."""

    wanted: tuple[Wanted, ...]
    authority: LocalAuthority
    fresh: Mapping[tuple[str, str], Fresh]
    made: Mapping[str, Certificate | str]
    """Local ones; in place of one why there is none."""


class CertificateKeeper:
    """Keeps the shelf as the configuration in force wants it."""

    def __init__(self, shelf: Shelf, log: Log, *, now: Callable[[], float] = clock.now) -> None:
        self.shelf = shelf
        self._log = log.of("tls")
        self._now = now
        self._files = CertificateFiles(shelf, log, now=now)
        self._authority: LocalAuthority | None = None
        self._local: dict[str, str] = {}
        """Names of local certificates, each with why there is none."""
        self._local_at = 0.0
        self.wanted: tuple[Wanted, ...] = ()
        """What is in force."""

    @property
    def troubles(self) -> Mapping[str, str]:
        """What can't be had as it should, by file or name, each with why."""
        return {**self._files.troubles, **{name: said for name, said in self._local.items() if said}}

    def prepare(self, wanted: Iterable[Wanted], folder: Path) -> Ready:
        """All of what `use` shows that has to be read, or made; nothing is shown yet. For a thread.

        Raises ConfigError for files that can't be used; then those before stay.
        """
        wanted = tuple(wanted)
        try:
            fresh = self._files.fresh(wanted)
        except (OSError, pem.PemError) as error:
            raise ConfigError((f"certificate: {why(error)}",)) from None
        authority = self._authority
        if authority is None or authority.folder != folder:
            authority = LocalAuthority(folder, now=self._now)
        made = _made(authority, [one.name for one in wanted if one.source is Source.LOCAL])
        return Ready(wanted=wanted, authority=authority, fresh=fresh, made=made)

    def use(self, ready: Ready) -> None:
        """Have these on the shelf from now on; what somebody else puts there (ACME) stays."""
        self.wanted = ready.wanted
        self._files.use(ready.wanted, ready.fresh)
        for name in self._local.keys() - {one.name for one in ready.wanted}:
            held = self.shelf.find(name)
            if held is not None and held.source is Source.LOCAL:
                self.shelf.drop(name)
        self._authority = ready.authority
        self._local = {name: self._local.get(name, "") for name in ready.made}
        self._take(ready.made)

    def begin(self, wanted: Iterable[Wanted], folder: Path) -> None:
        """The same at the start: what can't be used is told of, the others are shown. Reads files, and writes."""
        wanted = tuple(wanted)
        if any(one.source is Source.ACME for one in wanted):
            self.shelf.expect()  # they are read from the store once the listeners are up (`acme_shown`)
        authority = LocalAuthority(folder, now=self._now)
        made = _made(authority, [one.name for one in wanted if one.source is Source.LOCAL])
        self.use(Ready(wanted=wanted, authority=authority, fresh={}, made=made))

    async def look(self, now: float = 0.0, fence: int = 0) -> None:
        """Put in force what is new: a job for every few seconds."""
        await self._files.look(now, fence)
        authority = self._authority
        if authority is not None and self._local and self._now() - self._local_at >= LOCAL_EVERY_S:
            made = await asyncio.to_thread(_made, authority, tuple(self._local))
            self._take({name: one for name, one in made.items() if name in self._local})

    def _take(self, found: Mapping[str, Certificate | str]) -> None:
        self._local_at = self._now()
        for name, made in found.items():
            if isinstance(made, str):
                if made != self._local.get(name):
                    self._log.error("certificate_unusable", hosts=[name], detail=made)
                self._local[name] = made
                continue
            self._local[name] = ""
            held = self.shelf.find(name)
            if held is None or held.fingerprint != made.fingerprint:
                self.shelf.put(name, made)
                self._log.info("certificate_loaded", hosts=[name], fingerprint=made.fingerprint)


def _made(authority: LocalAuthority, names: Iterable[str]) -> dict[str, Certificate | str]:
    """The local ones, made anew where they are due; in place of one why there is none. For a thread."""
    found: dict[str, Certificate | str] = {}
    for name in names:
        try:
            found[name] = authority.certificate(name)
        except (OSError, pem.PemError) as error:
            found[name] = why(error)
    return found
