"""`vestibule serve`: runs the gateway."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.errors import ConfigError, StoreError
from vestibule.observe.outlet import open_log
from vestibule.supervisor import serve as run
from vestibule.web.rehearsal import rehearse


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE.hcl]...")
def serve(files: tuple[Path, ...]) -> None:
    """Run the gateway on these files.

    Without a file, from environment variables alone.
    """
    try:
        loaded = load(files, os.environ)
        compiled = compile_config(loaded)
        log = open_log(compiled.log)
        for warning in loaded.warnings:
            log.warning("configuration", message=warning)
        rehearse(loaded.checked.brandings.values())
        sys.exit(run(compiled, log))
    except ConfigError as exc:
        for fault in exc.faults:
            click.echo(fault, err=True)
        sys.exit(1)
    except StoreError as exc:
        click.echo(f"vestibule: {exc.message}{f' ({exc.detail})' if exc.detail else ''}", err=True)
        sys.exit(1)
