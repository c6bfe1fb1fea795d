"""Password files as they are in force: read at the start, read again when they change.

A new version counts once it has not changed for a moment, so that no half-written one does. One that can't be used
leaves the version before in force, and the log says why. Who is no longer in the file, or has another password there,
is out: their sessions are looked at again before they are used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from vestibule.core.claim import LISTS
from vestibule.core.credential import HTPASSWD, PasswordFile
from vestibule.core.route import RouteTable
from vestibule.core.seal import KeyRing
from vestibule.errors import ClientError
from vestibule.model import Identity, Tokens
from vestibule.observe.log import Log
from vestibule.protocol import base64url
from vestibule.protocol.htpasswd import TEXT_LIMIT_BYTES, FileError, People, Person, canonical, parse
from vestibule.providers.kit import Flow

LOOK_EVERY_S: Final = 1.0
MARK: Final = "password_mark"
"""Claim of an identity from a password file: which password it was, for who has the key ring alone."""

Stamp = tuple[int, int, int]
Stat = Callable[[str], Stamp]
Read = Callable[[str], str]


class FilePeople(msgspec.Struct, frozen=True):
    """The people of one version of a file, as `providers.base.Recheck` has it: whether somebody is still among them."""

    name: str
    is_in: Callable[[Identity], bool]
    kind: str = HTPASSWD
    title: str = ""
    is_trusted: bool = True
    is_restricted: bool = True
    needs_tokens: bool = False

    def recheck(self, identity: Identity, tokens: Tokens, now: float) -> Flow[Identity]:
        """The same identity. Raises ClientError `not_admitted` for who is gone or has another password now."""
        del tokens, now
        yield from ()
        if not self.is_in(identity):
            raise ClientError(
                "This account is no longer let in.",
                detail="gone from the file",
                code="not_admitted",
                status=403,
            )
        return identity


class _Version(msgspec.Struct):
    """A file, as far as it was read."""

    file: PasswordFile
    people: People = People()
    stamp: Stamp | None = None
    """Of what was read last, good or not."""
    seen: Stamp | None = None
    """Of the last look."""
    is_away: bool = False
    provider: FilePeople | None = None
    """For `service.recheck`: another one for another version."""


class PasswordFiles:
    """All password files of the configuration, by name."""

    def __init__(
        self,
        files: Iterable[PasswordFile],
        ring: KeyRing,
        log: Log,
        *,
        changed: Callable[[str], None] = lambda _name: None,
        stat: Stat | None = None,
        read: Read | None = None,
    ) -> None:
        """`changed` is told the name of a file of which a new version is in force."""
        self._ring = ring
        self._log = log.of("providers")
        self._changed = changed
        self._stat = stat or _stat
        self._read = read or _text
        self._versions = {file.name: _Version(file) for file in files}
        for version in self._versions.values():
            self._begin(version)

    def __bool__(self) -> bool:
        return bool(self._versions)

    @property
    def providers(self) -> Mapping[str, FilePeople]:
        """The files in force by name, for `service.recheck`: another value for another version."""
        return {name: version.provider for name, version in self._versions.items() if version.provider}

    def people(self, name: str) -> People:
        """Everybody in the file of this name; nobody where there is none."""
        version = self._versions.get(name)
        return version.people if version is not None else People()

    def identity(self, name: str, person: Person) -> Identity:
        """Who somebody of this file is."""
        return Identity(
            client=name,
            issuer=name,
            subject=canonical(person.name),
            login=canonical(person.name),
            name=person.name,
            unknown=LISTS,
            claims={MARK: self._mark(person)},
        )

    def has(self, identity: Identity) -> bool:
        """False for who came by one of these files and is gone from it, or has another password there now."""
        version = self._versions.get(identity.client)
        if version is None:
            return True
        person = version.people.by_name.get(identity.subject)
        mark = base64url.decode(str(identity.claims.get(MARK, "")))
        return person is not None and self._ring.check_mac(HTPASSWD, _hash(person), mark or b"")

    async def look(self, _now: float = 0.0, _fence: int = 0) -> None:
        """Put new versions in force: a job for once a second."""
        for version in self._versions.values():
            if version.file.path:
                await self._look(version)

    async def _look(self, version: _Version) -> None:
        try:
            seen = await asyncio.to_thread(self._stat, version.file.path)
        except OSError as error:
            self._miss(version, error)
            return
        version.is_away = False
        if seen == version.stamp:
            version.seen = seen
            return
        if seen != version.seen:  # it may still be being written
            version.seen = seen
            return
        try:
            people = await asyncio.to_thread(self._parsed, version.file.path)
            if await asyncio.to_thread(self._stat, version.file.path) != seen:
                return  # it was changed while it was read
        except (OSError, ValueError) as error:
            version.stamp = seen
            self._refuse(version, error)
            return
        version.stamp = seen
        self._use(version, people)

    def _begin(self, version: _Version) -> None:
        """What the file says at the start. One that can't be read lets nobody in until it can."""
        path = version.file.path
        try:
            if path:
                version.stamp = version.seen = self._stat(path)
                version.people = self._parsed(path)
            else:
                version.people = parse(version.file.text.reveal())
        except (OSError, ValueError) as error:
            self._refuse(version, error)
        version.provider = FilePeople(version.file.name, self.has)
        self._tell_weak(version)

    def _use(self, version: _Version, people: People) -> None:
        version.people = people
        version.provider = FilePeople(version.file.name, self.has)
        if not people.in_order:
            self._log.warning("htpasswd_empty", path=version.file.path, detail="nobody stands in it")
        self._log.info("htpasswd_loaded", path=version.file.path, people=len(people.in_order))
        self._tell_weak(version)
        self._changed(version.file.name)

    def _tell_weak(self, version: _Version) -> None:
        if version.people.weak:
            kinds = " and ".join(version.people.weak)
            detail = f"hashes of the kind {kinds} are soon undone by whoever sees them: `htpasswd -B` makes better ones"
            self._log.warning("htpasswd_weak", path=version.file.path, detail=detail)

    def _refuse(self, version: _Version, error: OSError | ValueError) -> None:
        line = error.line if isinstance(error, FileError) else None
        self._log.error(
            "htpasswd_unusable",
            path=version.file.path,
            **({} if line is None else {"line": line}),
            detail=_why(error),
        )

    def _miss(self, version: _Version, error: OSError) -> None:
        """Told once, until it is there again."""
        if not version.is_away:
            self._refuse(version, error)
        version.is_away = True

    def _parsed(self, path: str) -> People:
        return parse(self._read(path))

    def _mark(self, person: Person) -> str:
        return base64url.encode(self._ring.mac(HTPASSWD, _hash(person)))


def _hash(person: Person) -> bytes:
    return person.hash.reveal().encode("ascii")


def files_of(table: RouteTable) -> tuple[PasswordFile, ...]:
    """The password files of all hosts, each once."""
    files = (host.accepts.passwords for host in table.hosts.values())
    return tuple({file.name: file for file in files if file is not None}.values())


def _why(error: OSError | ValueError) -> str:
    """What is wrong, without anything of the file: a decoder's message quotes it."""
    if isinstance(error, FileError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8 text, or too large"


def _stat(path: str) -> Stamp:
    found = Path(path).stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _text(path: str) -> str:
    """The file's text. Raises OSError, ValueError."""
    with Path(path).open("rb") as file:
        raw = file.read(TEXT_LIMIT_BYTES + 1)
    if len(raw) > TEXT_LIMIT_BYTES:
        raise ValueError("too large")
    return raw.decode("utf-8-sig")
