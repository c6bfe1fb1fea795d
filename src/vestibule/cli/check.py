"""`vestibule check`: tells whether a configuration is good."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vestibule.config.load import load
from vestibule.errors import ConfigError
from vestibule.web.rehearsal import rehearse


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE.hcl]…", type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Validate a configuration; print every fault with its place.

    Without a file, the one the environment describes. Nothing is opened, fetched or written. Exit code 1 when
    there are faults; warnings alone are no reason to fail.
    """
    try:
        loaded = load(files, os.environ)
        rehearse(loaded.checked.brandings.values())
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(1)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"good: {loaded.summary}")
    if loaded.listens:
        print(loaded.listens)
