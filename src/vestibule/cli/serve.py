"""`vestibule serve`: runs the gateway."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click

from vestibule.cli import screen
from vestibule.config.compile import compile_config
from vestibule.config.facts import facts_of
from vestibule.config.load import load
from vestibule.errors import ConfigError, StoreError
from vestibule.observe.outlet import open_log
from vestibule.supervisor import serve as run
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
    try:
        loaded = load(files, os.environ)
        compiled = compile_config(loaded)
        log = open_log(compiled.log)
        rehearse(loaded.checked.brandings.values())
        if screen.is_wanted(compiled.log, asked=banner, is_terminal=os.isatty(2)):
            show = partial(screen.show, facts_of(compiled), loaded.warnings, loaded.files)
            sys.exit(run(compiled, log, ready=show))
        for warning in loaded.warnings:
            log.warning("configuration", message=warning)
        sys.exit(run(compiled, log))
    except ConfigError as exc:
        for fault in exc.faults:
            click.echo(fault, err=True)
        sys.exit(1)
    except StoreError as exc:
        click.echo(f"vestibule: {exc.message}{f' ({exc.detail})' if exc.detail else ''}", err=True)
        sys.exit(1)
