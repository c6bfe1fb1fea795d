"""Where programs of a machine look for authorities they trust, and how one is put there and taken away.

The system's own store is for curl and all that uses OpenSSL; Chromium and Firefox have databases of their own (NSS).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

Run = Callable[[Sequence[str]], str]
"""Runs a program; what went wrong, empty when nothing did."""

_DATABASE: Final = "cert9.db"
_PROFILES: Final = (
    ".mozilla/firefox",
    ".config/mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
)


class Done(msgspec.Struct, frozen=True):
    """What became of one store."""

    store: str
    ok: bool
    said: str
    """What was done, or why not."""
    advice: str = ""
    """What to do, where it wasn't."""


class _System(msgspec.Struct, frozen=True):
    """How a family of systems keeps its own."""

    folder: str
    command: tuple[str, ...]


_SYSTEMS: Final = (
    _System("usr/local/share/ca-certificates", ("update-ca-certificates",)),
    _System("etc/pki/ca-trust/source/anchors", ("update-ca-trust",)),
    _System("etc/ca-certificates/trust-source/anchors", ("update-ca-trust",)),
)


class Stores:
    """All that are found on this machine, for this person."""

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        home: Path | None = None,
        which: Callable[[str], str | None] = shutil.which,
        run: Run | None = None,
    ) -> None:
        """`root` and `home`: where the machine's and the person's files are."""
        self._root = root
        self._home = Path.home() if home is None else home
        self._which = which
        self._run = run or _run

    def trust(self, certificate: Path, name: str) -> list[Done]:
        """Put an authority's certificate (PEM) into each, under this name; what is there already stays."""
        return [self._add_to_system(certificate, name), *self._databases(certificate, name, is_wanted=True)]

    def forget(self, certificate: Path, name: str) -> list[Done]:
        """Take what has this name out of each."""
        return [self._take_from_system(name), *self._databases(certificate, name, is_wanted=False)]

    # -- the system's -----------------------------------------------------------------------------

    def _system(self) -> _System | None:
        return next(
            (one for one in _SYSTEMS if self._which(one.command[0]) and (self._root / one.folder).is_dir()),
            None,
        )

    def _add_to_system(self, certificate: Path, name: str) -> Done:
        system = self._system()
        if system is None:
            return Done(
                "system",
                ok=False,
                said="no store is known here",
                advice=f"add {certificate} by the system's own means",
            )
        path = self._root / system.folder / f"{name}.crt"
        command = " ".join(system.command)
        try:
            path.write_bytes(certificate.read_bytes())
            path.chmod(0o644)
        except OSError as error:
            advice = f"sudo install -m 644 {certificate} {path} && sudo {command}"
            return Done("system", ok=False, said=f"{path}: {error.strerror}", advice=advice)
        if trouble := self._run(system.command):
            return Done("system", ok=False, said=f"{command}: {trouble}", advice=f"sudo {command}")
        return Done("system", ok=True, said=f"{path}, for curl and all that asks OpenSSL")

    def _take_from_system(self, name: str) -> Done:
        system = self._system()
        path = self._root / system.folder / f"{name}.crt" if system is not None else None
        if system is None or path is None or not path.exists():
            return Done("system", ok=True, said="it wasn't there")
        command = " ".join(system.command)
        try:
            path.unlink()
        except OSError as error:
            return Done(
                "system",
                ok=False,
                said=f"{path}: {error.strerror}",
                advice=f"sudo rm {path} && sudo {command}",
            )
        if trouble := self._run(system.command):
            return Done("system", ok=False, said=f"{command}: {trouble}", advice=f"sudo {command}")
        return Done("system", ok=True, said=f"{path} is gone")

    # -- browsers' --------------------------------------------------------------------------------

    def _databases(self, certificate: Path, name: str, *, is_wanted: bool) -> Iterator[Done]:
        found = tuple(self._found())
        if not self._which("certutil"):
            folders = ", ".join(str(folder) for folder, _ in found) or "their own databases"
            if is_wanted:
                yield Done(
                    "browsers",
                    ok=False,
                    said=f"certutil isn't here, which writes to {folders}",
                    advice="apt-get install libnss3-tools, then this again; or import it in the browser's settings",
                )
            return
        for folder, what in found:
            if is_wanted:
                yield self._add(folder, what, certificate, name)
            else:
                trouble = self._run(("certutil", "-D", "-d", f"sql:{folder}", "-n", name))
                yield Done(what, ok=True, said="it wasn't there" if trouble else f"{folder} has it no longer")

    def _add(self, folder: Path, what: str, certificate: Path, name: str) -> Done:
        database = f"sql:{folder}"
        if not (folder / _DATABASE).exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._run(("certutil", "-N", "-d", database, "--empty-password"))
        self._run(
            ("certutil", "-D", "-d", database, "-n", name)
        )  # one of the same name would make a second entry
        trouble = self._run(
            ("certutil", "-A", "-d", database, "-t", "C,,", "-n", name, "-i", str(certificate))
        )
        if trouble:
            return Done(
                what, ok=False, said=f"{folder}: {trouble}", advice="import it in the browser's settings"
            )
        return Done(what, ok=True, said=str(folder))

    def _found(self) -> Iterator[tuple[Path, str]]:
        """Chromium's, which is made where it isn't there, and those of Firefox's profiles."""
        yield self._home / ".pki" / "nssdb", "Chromium"
        for place in _PROFILES:
            for database in sorted((self._home / place).glob(f"*/{_DATABASE}")):
                yield database.parent, "Firefox"


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - programs of the system, by fixed names
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
