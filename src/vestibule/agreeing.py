"""A reload in all processes, as the supervisor sees it: all have it ready, then all are told that it is in force.

Until the last has said that it can, nothing has changed anywhere. Who is silent or dead by then is started anew, with
the new configuration.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from socket import socket
from typing import Protocol

import msgspec

from vestibule.config.compile import Compiled
from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError
from vestibule.line import FILES_MAX, Abandon, Commit, Line, Message, Prepare, written
from vestibule.proxy.binding import bound_sockets


class Party(Protocol):
    """A process, as far as a reload goes."""

    name: str
    line: Line | None
    sockets: dict[ListenAddress, socket]
    also: dict[ListenAddress, tuple[socket, ...]]


class Agreement(msgspec.Struct, kw_only=True):
    """One reload that is under way."""

    compiled: Compiled
    fresh: dict[ListenAddress, Sequence[socket]]
    """For each new address a socket for each worker."""
    admin: dict[ListenAddress, Sequence[socket]] = {}
    """For each new address of the admin API the socket of the control process."""
    until_mono: float
    waiting: list[Party] = []
    """Who has not answered yet."""
    ready: list[Party] = []
    outdated: list[Party] = []
    """Who can't be asked: they are started anew."""
    faults: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """True when nobody is waited for."""
        return bool(self.faults) or not self.waiting

    def begin(self, control: Party, workers: Sequence[Party]) -> None:
        """Ask all of them."""
        descriptor = written(self.compiled)
        try:
            for number, party in enumerate((control, *workers)):
                shares = self._share_of(number)
                files = [descriptor, *(bound.fileno() for bound in shares.values())]
                if say(party, Prepare(tuple(shares)), files):
                    self.waiting.append(party)
                else:
                    self.outdated.append(party)
        finally:
            os.close(descriptor)

    def _share_of(self, number: int) -> dict[ListenAddress, socket]:
        """The new sockets of the control process (0), or of a worker."""
        if number == 0:
            return {at: each[0] for at, each in self.admin.items()}
        return {at: each[number - 1] for at, each in self.fresh.items()}

    def heard(self, party: Party, faults: tuple[str, ...]) -> None:
        """It has answered."""
        if party in self.waiting:
            self.waiting.remove(party)
            self.ready.append(party)
            self.faults += faults

    def lost(self, party: Party) -> None:
        """It has died."""
        for among in (self.waiting, self.ready):
            if party in among:
                among.remove(party)
                self.outdated.append(party)

    def expire(self, now_mono: float) -> None:
        """Who has not answered in time is given up."""
        if now_mono >= self.until_mono:
            for party in tuple(self.waiting):
                self.lost(party)

    def abandon(self) -> None:
        """It is in force nowhere."""
        for party in (*self.ready, *self.waiting):
            say(party, Abandon())
        for each in (*self.fresh.values(), *self.admin.values()):
            for bound in each:
                bound.close()

    def commit(self, control: Party, workers: Sequence[Party], addresses: Iterable[ListenAddress]) -> None:
        """It is in force everywhere; who can't be told is among `outdated`."""
        for party in self.ready:
            if not say(party, Commit()):
                self.outdated.append(party)
        kept = set(addresses)
        for number, party in enumerate((control, *workers)):
            for at in [at for at in party.sockets if at not in kept]:
                for bound in (party.sockets.pop(at), *party.also.pop(at, ())):
                    bound.close()
            party.sockets |= self._share_of(number)


def agreement_on(
    compiled: Compiled,
    *,
    public: Iterable[ListenAddress],
    admin: Iterable[ListenAddress],
    control: Party,
    workers: Sequence[Party],
    until_mono: float,
) -> Agreement:
    """One that nobody was asked about yet. Raises ConfigError where an address can't be had; then none is bound."""
    agreement = Agreement(
        compiled=compiled,
        fresh=fresh_sockets(public, [worker.sockets for worker in workers]),
        until_mono=until_mono,
    )
    try:
        agreement.admin = fresh_sockets(admin, [control.sockets])
    except ConfigError:
        agreement.abandon()
        raise
    return agreement


def fresh_sockets(
    wanted: Iterable[ListenAddress], had: Sequence[Mapping[ListenAddress, socket]]
) -> dict[ListenAddress, Sequence[socket]]:
    """For each address that is new a socket for each worker, who have these now. Raises ConfigError: none is bound.

    The sockets of an address that changes what it is (its protocol) are kept: what waits there waits on.
    """
    known = had[0]
    new = [at for at in dict.fromkeys(wanted) if at not in known]
    if len(new) >= FILES_MAX:
        raise ConfigError((f"{len(new)} new addresses at once are too many: restart the gateway",))
    fresh: dict[ListenAddress, Sequence[socket]] = {}
    try:
        for at in new:
            same = next((one for one in known if _place(one) == _place(at)), None)
            if same is not None:
                fresh[at] = tuple(sockets[same].dup() for sockets in had)
            else:
                # Those in the way share their ports already, and end with this reload.
                is_shared = any(one.clashes(at) for one in known)
                fresh[at] = bound_sockets(at, len(had), is_shared=is_shared)
    except BaseException as error:
        for each in fresh.values():
            for bound in each:
                bound.close()
        if isinstance(error, OSError):  # no descriptor is left: what runs goes on
            raise ConfigError((f"new addresses can't be had: {error.strerror or error}",)) from error
        raise
    return fresh


def say(party: Party, message: Message, files: Sequence[int] = ()) -> bool:
    """Tell it; False where it doesn't listen."""
    if party.line is None:
        return False
    try:
        party.line.say(message, files)
    except OSError:
        return False
    return True


def _place(at: ListenAddress) -> tuple[str, int, str]:
    return at.host, at.port, at.path
