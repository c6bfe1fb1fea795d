"""`vestibule import`: another program's configuration as one of ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from vestibule.cli.table import plain
from vestibule.config.importers.io import import_io, is_as_it_was
from vestibule.config.importers.note import About, Imported
from vestibule.config.importers.oauth2_proxy import import_oauth2_proxy
from vestibule.config.importers.source import MAX_BYTES, Source
from vestibule.config.importers.vouch import import_vouch
from vestibule.errors import ConfigError

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
_HOST = click.option(
    "--host", "hosts", multiple=True, metavar="NAME", help="A host it stands in front of; may be given again."
)
_WORDS = {
    About.SET: "set",
    About.DO: "look",
    About.CHANGED: "changed",
    About.NONE: "no equivalent",
    About.UNKNOWN: "unknown",
}


@click.group("import")
def import_() -> None:
    """Print another program's configuration as one of ours.

    What has no equivalent, or is done another way, is told on standard error, and in comments at the end. A secret that
    stands in a file is not printed: its place is taken by a variable, which is named.
    """


@import_.command("oauth2-proxy")
@_FILES
@_HOST
def oauth2_proxy(files: tuple[Path, ...], hosts: tuple[str, ...]) -> None:
    """Read oauth2-proxy's TOML, flags, environment, alpha YAML.

    They are told apart by what stands in them. Several files are brought together as oauth2-proxy does it: flags go
    before the environment, that before TOML.
    """
    folders = [Path(), *(file.parent for file in files)]
    _print(lambda sources: import_oauth2_proxy(sources, hosts, lambda name: _beside(name, folders)), files)


@import_.command("vouch")
@_FILES
@_HOST
def vouch(files: tuple[Path, ...], hosts: tuple[str, ...]) -> None:
    """Read Vouch's YAML and environment.

    Name the hosts that it guards with --host: its own files don't.
    """
    _print(lambda sources: import_vouch(sources, hosts), files)


@import_.command("io")
@_FILES
def io(files: tuple[Path, ...]) -> None:
    """Read IO's HCL, which loads as it is, and print it with our names."""
    _print(import_io, files)


def _print(importer: Callable[[Sequence[Source]], Imported], files: Sequence[Path]) -> None:
    try:
        sources = _sources(files)
        found = importer(sources)
    except ConfigError as error:
        for fault in error.faults:
            print(plain(fault), file=sys.stderr)
        sys.exit(1)
    sys.stdout.write(found.hcl)
    for note in found.notes:
        print(f"{_WORDS[note.about]}: {plain(str(note))}", file=sys.stderr)
    if importer is import_io and is_as_it_was(sources, found):
        print("nothing to change: it loads as it is", file=sys.stderr)


def _sources(files: Sequence[Path]) -> tuple[Source, ...]:
    """The texts of the files; `-` is standard input. Raises ConfigError with each that can't be read."""
    found, faults = [], []
    for file in files:
        try:
            raw = sys.stdin.buffer.read(MAX_BYTES + 1) if str(file) == "-" else _bytes(file)
            found.append(Source(str(file), raw.decode("utf-8-sig")))
        except OSError as exc:
            faults.append(f"{file}: can't be read: {exc.strerror or exc}")
        except UnicodeDecodeError:
            faults.append(f"{file}: is not UTF-8 text")
    if faults:
        raise ConfigError(tuple(faults))
    return tuple(found)


def _bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _beside(name: str, folders: Sequence[Path]) -> str | None:
    """The text of a file that an option names: from here, as the other program took it, else beside the files."""
    for folder in folders:
        try:
            return _bytes(folder / name).decode()
        except (OSError, UnicodeDecodeError):
            continue
    return None
