"""`vestibule serve`: runs the gateway."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from vestibule.cli import screen
from vestibule.config.compile import compile_config
from vestibule.config.facts import facts_of
from vestibule.config.load import load
from vestibule.errors import ConfigError, StoreError
from vestibule.handover import Command, Inheritance
from vestibule.observe.outlet import open_log
from vestibule.process import LATER
from vestibule.supervisor import serve as run
from vestibule.systemd import Unit
from vestibule.web.rehearsal import rehearse


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE.hcl]...")
@click.option(
    "--banner/--no-banner", default=None, help="Show what listens for whom. [default: on a terminal]"
)
def serve(files: tuple[Path, ...], *, banner: bool | None) -> None:
    """Run the gateway on these files.

    Without a file, from environment variables alone.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, LATER)
    command = Command.of(sys.executable, sys.argv[1:], os.environ)
    inheritance = Inheritance(Unit())
    try:
        inheritance = Inheritance.of(os.environ, os.getpid())
        loaded = load(files, os.environ)
        compiled = compile_config(loaded)
        log = open_log(compiled.log)
        rehearse(loaded.checked.brandings.values())
        if screen.is_wanted(compiled.log, asked=banner, is_terminal=os.isatty(2)):
            show = partial(screen.show, facts_of(compiled), loaded.warnings, loaded.files)
            sys.exit(run(compiled, log, ready=show, inheritance=inheritance, command=command))
        for warning in loaded.warnings:
            log.warning("configuration", message=warning)
        sys.exit(run(compiled, log, inheritance=inheritance, command=command))
    except ConfigError as exc:
        _end(inheritance, exc.faults)
    except StoreError as exc:
        _end(inheritance, (f"vestibule: {exc.message}{f' ({exc.detail})' if exc.detail else ''}",))


def _end(inheritance: Inheritance, faults: Sequence[str]) -> NoReturn:
    """Say why, to a program that was to be replaced, too."""
    for fault in faults:
        click.echo(fault, err=True)
    inheritance.tell_faults(faults)
    sys.exit(1)
