"""The key ring in a file: JSON that only its owner may read, made at the first start.

::

    {"keys": [{"id": "3f9a1c07", "secret": "base64 of 32 bytes", "active_at": 1800000000.0}, …]}

The key that began last seals (`core.seal.in_order`); all of them open. The file is replaced whole, so that whoever
reads it finds all of it. Losing it signs everybody out and loses the grants; whoever reads it can open them, so it is
refused when others on the machine could.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from vestibule.core.seal import SECRET_BYTES, Key, KeyRing, in_order
from vestibule.errors import StoreError
from vestibule.observe import clock

_ID_BYTES: Final = 4
_MAX_BYTES: Final = 64 * 1024


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds."""

    keys: tuple[Key, ...]


def read_or_create(path: Path, *, random: Callable[[int], bytes] = secrets.token_bytes) -> KeyRing:
    """The ring in this file, which is made with one fresh key when there is none.

    Raises StoreError when it can't be read or written, is not a key ring, or is open to group or others.
    """
    try:
        return read(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise _unusable(path, exc.strerror) from exc
    try:
        _create(path, new_key(random))
        return read(path)
    except OSError as exc:
        raise _unusable(path, exc.strerror) from exc


def read_shared(path: Path) -> KeyRing:
    """The ring in this file, which is never made: processes on several machines need the same one.

    Raises StoreError, with how to come by one, when there is none; else as `read_or_create` does.
    """
    try:
        return read(path)
    except FileNotFoundError as exc:
        raise StoreError(
            "There is no key to seal and sign with. Beside PostgreSQL none is made, since all processes on it need "
            f"the same one: set VESTIBULE_SESSION_KEY to what `openssl rand -base64 32` prints, or copy a key file "
            f"to {path}."
        ) from exc
    except OSError as exc:
        raise _unusable(path, exc.strerror) from exc


def read(path: Path) -> KeyRing:
    """The ring in this file, as it is now. Raises OSError, and StoreError where the file is not fit to be one."""
    return KeyRing(in_order(read_keys(path), clock.now()))


def keys_in(path: Path) -> tuple[Key, ...]:
    """The keys in this file, as they stand there. Raises StoreError."""
    try:
        return read_keys(path)
    except OSError as exc:
        raise _unusable(path, exc.strerror) from exc


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in this file, as they stand there. Raises OSError, and StoreError where it is not fit to hold them.

    Threat: a key that another user of the machine can read, or has put there and knows.
    """
    with open(path, "rb", opener=_opened_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(path, "it is not a file")
        if status.st_uid not in {os.geteuid(), 0}:
            raise _unusable(path, "it belongs to another user")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _unusable(path, f"others may read it; run: chmod 600 {path}")
        raw = file.read(_MAX_BYTES)
    try:
        return KeyRing(msgspec.json.decode(raw, type=_File).keys).keys
    except ValueError as exc:  # msgspec's errors are ValueErrors too
        raise _unusable(path, "it holds no key ring") from exc


Stamp: TypeAlias = tuple[int, int, int]


def stamp_of(path: Path) -> Stamp:
    """What changes when the file does. Raises OSError."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def change(path: Path, changed: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> tuple[Key, ...]:
    """Put the keys that `changed` makes of those in the file in their place; they are on disk when this returns.

    Of two who change it at once, the second finds what the first has written. Its owner stays. Raises StoreError, and
    what `changed` raises.
    """
    try:
        with _locked(path):
            keys = KeyRing(changed(read_keys(path))).keys
            draft = _drafted(path, keys)
            try:
                status = path.stat()
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.chown(draft, status.st_uid, status.st_gid)
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            _sync_directory(path.parent)
            return keys
    except OSError as exc:
        raise _unusable(path, exc.strerror) from exc


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The file as its name leads to it, locked against other commands."""
    while True:
        with open(path, "rb", opener=_opened_at_once) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                yield
                return


def new_key(random: Callable[[int], bytes] = secrets.token_bytes, *, active_at: float = 0.0) -> Key:
    """A fresh key with a fresh id."""
    return Key(random(_ID_BYTES).hex(), random(SECRET_BYTES), active_at)


def _opened_at_once(path: str, flags: int) -> int:
    """A descriptor that does not wait for a pipe's other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _create(path: Path, key: Key) -> None:
    """Put the file there whole, or find that somebody was faster; on disk with its name when this returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _drafted(path, (key,))
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    _sync_directory(path.parent)


def _drafted(path: Path, keys: tuple[Key, ...]) -> Path:
    """A file beside it with these keys, on disk; nothing is left where that fails."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(_File(keys)) + b"\n")
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        draft.unlink()
        raise
    return draft


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, why: str | None) -> StoreError:
    return StoreError(f"The key file {path} can't be used: {why}.")
