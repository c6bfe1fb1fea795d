"""User names and passwords: of each request (RFC 7617), and of the form on the sign-in page.

Work on hashes is slow by design: it is done in a few threads, and what comes beyond what they can do is sent away. An
unknown name costs what a known one does and is answered in the same words (attacks.md O12). What failed is counted for
all processes (`service.tries`); that somebody is known at a place, all are told.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from vestibule.core.credential import BAD_CREDENTIALS, PasswordFile
from vestibule.core.lockout import Lockout, place_of
from vestibule.core.route import Host
from vestibule.errors import CredentialRefused, TooManyTries
from vestibule.model import Caller, Identity, Secret
from vestibule.observe import clock
from vestibule.protocol.authorization import basic_of, scheme_of
from vestibule.protocol.htpasswd import People, Person, canonical
from vestibule.service.htpasswd import PasswordFiles
from vestibule.service.proof import Proofs
from vestibule.service.tries import SharedTries
from vestibule.store.base import EVERYTHING, Changes

PLACE: Final = "place"
"""Kind of change: somebody has shown the right password at this place (`core.lockout.place_of`)."""
THREADS: Final = 2
WAITING_MAX: Final = 64
"""Passwords that wait for a thread; a slow hash takes a fifth of a second."""
BUSY_S: Final = 5.0

Fits = Callable[..., Person | None]


class Passwords:
    """Judges passwords of the files, with a lockout that requests and form share."""

    def __init__(
        self,
        files: PasswordFiles,
        proofs: Proofs,
        *,
        shared: SharedTries | None = None,
        changes: Changes | None = None,
        fits: Fits | None = None,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`shared`, `changes`: what other processes count and know; None: there is none but this one.

        `fits`: `protocol.password.fits`, which is loaded when it is first needed.
        """
        self._shared = shared
        self._changes = changes
        if changes is not None:
            changes.subscribe(PLACE, self._know)
        self._files = files
        self._proofs = proofs
        self._fits = fits
        self._now = now
        self._lockout = Lockout()
        self._salt = secrets.token_bytes(16)
        self._threads = ThreadPoolExecutor(THREADS, "password")
        self._turns = asyncio.Semaphore(THREADS)
        self._waiting = 0

    def takes(self, host: Host, authorization: bytes) -> bool:
        """True for every Basic credential where the host has people with passwords."""
        return host.accepts.passwords is not None and scheme_of(authorization) == "basic"

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """Whose it is, where that is known already."""
        return self._proofs.peek(host, authorization)

    async def load(self, host: Host, authorization: bytes, address: str, _now: float) -> Caller:
        """Whose it is. Raises CredentialRefused, TooManyTries, UserDisabled, StoreError."""
        file, basic = host.accepts.passwords, basic_of(authorization)
        if file is None or basic is None:
            raise _refused("it can't be read")
        prove = partial(self._prove, file, basic.user, basic.password, address)
        return await self._proofs.load(host, authorization, prove)

    async def _prove(self, file: PasswordFile, user: str, password: Secret, address: str) -> Caller:
        identity = await self.check(file, user, password, address)
        return Caller(id=identity.subject, kind="basic", identities=(identity,), signed_in_at=math.inf)

    async def check(self, file: PasswordFile, user: str, password: Secret, address: str) -> Identity:
        """Who this is. Raises CredentialRefused `bad_credentials`, the same for unknown people; TooManyTries."""
        person = f"{file.name}\0{canonical(user)}"
        self._check_wait(self._lockout.wait_s(person, address, self._now()), user, address)
        if self._waiting >= WAITING_MAX:
            raise TooManyTries(wait_s=BUSY_S, detail=f"{WAITING_MAX} passwords wait for a thread")
        self._lockout.add(person, address, self._now())
        found = await self._tried(file, person, user, password, address)
        if found is None:
            raise _refused(f"{canonical(user)!r}")
        if self._lockout.succeeded(person, address) and self._changes is not None:
            self._changes.publish(PLACE, place_of(person, address))
        return self._files.identity(file.name, found)

    async def _tried(
        self, file: PasswordFile, person: str, user: str, password: Secret, address: str
    ) -> Person | None:
        """Who the password fits, in turn. Raises TooManyTries where other processes have had enough.

        They are asked when it is this one's turn, and told before the next one's: at most as many tries as there are
        threads go unseen by the other processes.
        """
        self._waiting += 1
        try:
            async with self._turns:
                counters = self._lockout.counters(person, address)
                if self._shared is not None:
                    wait_s = await self._shared.wait_s(counters, self._now())
                    if wait_s:
                        self._lockout.take_back(person, address)
                    self._check_wait(wait_s, user, address)
                loop = asyncio.get_running_loop()
                people = self._files.people(file.name)
                found = await loop.run_in_executor(self._threads, self._work, people, user, password)
                if found is None and self._shared is not None:
                    await self._shared.failed(counters, self._now())
                return found
        finally:
            self._waiting -= 1

    def _check_wait(self, wait_s: float, user: str, address: str) -> None:
        if wait_s:
            raise TooManyTries(wait_s=wait_s, detail=f"wrong passwords, {canonical(user)!r} from {address}")

    def _know(self, place: str) -> None:
        if place != EVERYTHING:  # what was missed is not known, which keeps nobody in
            self._lockout.know(place)

    def _work(self, people: People, user: str, password: Secret) -> Person | None:
        if self._fits is None:
            passwords: Any = importlib.import_module("vestibule.protocol.password")
            self._fits = passwords.fits
        return self._fits(people, user, password, salt=self._salt)

    def close(self) -> None:
        """Begin no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _refused(detail: str) -> CredentialRefused:
    return CredentialRefused("The user name or the password is wrong.", detail=detail, code=BAD_CREDENTIALS)
