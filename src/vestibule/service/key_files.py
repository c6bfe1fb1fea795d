"""Files with the public keys of issuers that can't be asked for them: read again when they change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.protocol.document import DocumentError, json_of
from vestibule.protocol.key_set import keys_of

FILE_MAX_BYTES: Final = 512 * 1024
_Stamp = tuple[int, int, int]
_Keys = tuple[dict[str, Any], ...]


class KeyFiles:
    """The keys of each file, by its path."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[_Stamp, _Keys]] = {}

    async def keys(self, path: str) -> _Keys:
        """What the file holds now. Raises ProviderUnavailable (it can't be read) and ProviderInvalid (no key set).

        The version before is not used then. Threat: a key that was taken out because somebody else has it.
        """
        try:
            stamp = await asyncio.to_thread(_stamp, path)
            known = self._known.get(path)
            if known is None or known[0] != stamp:
                # Of a file that is written meanwhile the stamp is the older one, so that it is read once more.
                known = self._known[path] = stamp, await asyncio.to_thread(_read, path)
        except OSError as error:
            detail = f"{path}: {error.strerror}"
            raise ProviderUnavailable(
                "the file of keys can't be read", detail=detail, code="keys_missing"
            ) from None
        except DocumentError as error:
            raise ProviderInvalid(
                "the file of keys is no key set", detail=f"{path}: {error}", code=error.code
            ) from None
        return known[1]


def _stamp(path: str) -> _Stamp:
    found = Path(path).stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: str) -> _Keys:
    with Path(path).open("rb") as file:
        body = file.read(FILE_MAX_BYTES + 1)
    if len(body) > FILE_MAX_BYTES:
        raise DocumentError("it is too large", "answer_too_large")
    return keys_of(json_of(body))
