"""The configuration in force as operators see it, and what the files say by now; no secret is in either.

The files are read as `vestibule check` reads them, aside; what is in force stays what it is, whatever they say.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from vestibule.admin_model import Configuration, Difference, Part
from vestibule.config import hcl
from vestibule.config.compile import Compiled, compile_config
from vestibule.config.environment import SESSION_KEY
from vestibule.config.fixed import fixed_faults
from vestibule.config.load import Loaded, load
from vestibule.config.shown import blocks_of, marked_blocks, masked_text, variables_of
from vestibule.errors import ConfigError

_KEY_BYTES: Final = 32
_DIGEST_BYTES: Final = 12
_MARK_RE: Final = re.compile("\0[0-9a-f]*\0")
_CHANGED: Final = " (changed)"
_TOLD_MAX: Final = 100
Blocks = list[tuple[tuple[str, str], list[str]]]
"""Lines by (kind, name)."""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What the files say now."""

    difference: Difference
    compiled: Compiled | None = None
    """None where it can't be loaded."""
    changed: Mapping[str, tuple[str, ...]] = {}
    """Blocks by what became of them (`added`, `changed`, `removed`), as `host app.example.com`."""


class InForce:
    """One configuration that is in force."""

    def __init__(
        self,
        compiled: Compiled,
        environ: Mapping[str, str],
        *,
        rehearse: Callable[[Loaded], None],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`rehearse` raises ConfigError for what only shows when pages are made."""
        self._compiled = compiled
        self._files = compiled.files
        self._document = compiled.document
        self._loaded_at = compiled.loaded_at
        self._keys_of = (SESSION_KEY,) if compiled.session_key is not None else ()
        self._environ = dict(environ)
        self._rehearse = rehearse
        # Threat: who may read the difference, and not the secrets, tries words against a digest.
        self._key = random(_KEY_BYTES)
        self._turn = asyncio.Lock()

    def told(self) -> Configuration:
        """What is in force, block by block."""
        return Configuration(
            loaded_at=datetime.fromtimestamp(self._loaded_at, UTC),
            files=self._files,
            parts=tuple(
                Part(kind=one.kind, name=one.name, place=one.place, text=one.text)
                for one in blocks_of(self._document)
            ),
            environment=tuple(sorted({*variables_of(self._document), *self._keys_of})),
        )

    @property
    def newer(self) -> tuple[str, ...]:
        """The files that were written since they were read, or are there no more."""
        return tuple(file for file in self._files if _is_newer(file, self._loaded_at))

    async def difference(self) -> Difference:
        """What the files say now that isn't in force."""
        return (await self.read()).difference

    async def read(self) -> Read:
        """The files as they are now; one reads them at a time."""
        async with self._turn:
            return await asyncio.to_thread(self._read)

    def _read(self) -> Read:
        try:
            loaded = load(tuple(map(Path, self._files)), self._environ)
            self._rehearse(loaded)
            compiled = compile_config(loaded)
        except ConfigError as exc:
            faults = tuple(map(masked_text, exc.faults))[:_TOLD_MAX]
            return Read(
                difference=Difference(
                    is_changed=True,
                    diff="",
                    faults=faults,
                    warnings=(),
                    restart=(),
                    fingerprint=self._mark(faults).strip("\0"),
                )
            )
        before, after = self._lines(self._document), self._lines(loaded.document)
        difference = Difference(
            is_changed=before != after,
            diff=_diff(_whole(before), _whole(after)),
            faults=(),
            warnings=tuple(map(masked_text, loaded.warnings))[:_TOLD_MAX],
            restart=tuple(map(masked_text, fixed_faults(self._compiled, compiled))),
            fingerprint=self._mark(_whole(after)).strip("\0"),
        )
        return Read(difference=difference, compiled=compiled, changed=_changed(before, after))

    def _lines(self, document: hcl.Block) -> Blocks:
        found = marked_blocks(document, self._mark)
        return [((block.type, _name(block)), lines) for block, lines in found]

    def _mark(self, data: Any) -> str:
        """Tells one value from another, and nothing else of it, to this process alone."""
        text = msgspec.json.encode(data)
        return f"\0{hashlib.blake2b(text, key=self._key, digest_size=_DIGEST_BYTES).hexdigest()}\0"


def _name(block: hcl.Block) -> str:
    return str(block.labels[0].data) if block.labels else ""


def _whole(blocks: Blocks) -> list[str]:
    return [line for _, lines in blocks for line in (*lines, "")]


def _diff(before: Sequence[str], after: Sequence[str]) -> str:
    """A unified diff without marks; of two lines that look alike, the later says that it changed."""
    found = list(difflib.unified_diff(before, after, "in force", "files", lineterm=""))
    gone = {_seen(line)[1:] for line in found if line.startswith("-")}
    told = []
    for line in found:
        seen = _seen(line)
        is_alike = line.startswith("+") and seen[1:] in gone and seen != line
        told.append(seen + _CHANGED if is_alike else seen)
    return "\n".join(told)


def _seen(line: str) -> str:
    return _MARK_RE.sub("", line)


def _changed(before: Blocks, after: Blocks) -> Mapping[str, tuple[str, ...]]:
    """The names of blocks that are new, other, or gone."""
    old, new = _by_name(before), _by_name(after)
    found: dict[str, list[str]] = {"added": [], "changed": [], "removed": []}
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            became = "added" if key not in old else "removed" if key not in new else "changed"
            found[became].append(" ".join(filter(None, key)))
    return {became: tuple(names[:_TOLD_MAX]) for became, names in found.items() if names}


def _by_name(blocks: Blocks) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for key, lines in blocks:
        found.setdefault(key, []).extend(lines)
    return found


def _is_newer(file: str, at: float) -> bool:
    try:
        return Path(file).stat().st_mtime > at
    except OSError:
        return True
