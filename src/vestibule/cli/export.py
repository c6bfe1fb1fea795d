"""`vestibule export`: the configuration of an edge proxy that asks this gateway."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vestibule.config.compile import compile_config
from vestibule.config.exporters import EDGES
from vestibule.config.exporters import export as exported
from vestibule.config.load import load
from vestibule.errors import ConfigError


@click.command()
@click.argument("edge", type=click.Choice(list(EDGES)))
@click.argument("files", nargs=-1, required=True, metavar="FILE.hcl…", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Write the files there instead."
)
def export(edge: str, files: tuple[Path, ...], output: Path | None) -> None:
    """Print an edge proxy's configuration, which asks this gateway before it lets a request pass.

    Safe as printed; what is yours to fill in (certificates, your app's address) is marked so. HAProxy wants two
    files: both are printed, each behind a line with its name, or written by --output.
    """
    try:
        compiled = compile_config(load(files, os.environ))
        texts = exported(edge, compiled)
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(1)
    if not any(address in compiled.trusted_proxies for address in ("127.0.0.1", "::1")):
        print(
            "warning: everybody's address would be that of the edge: if it is on this machine, write "
            'trusted_proxies = ["127.0.0.1"] into the gateway block',
            file=sys.stderr,
        )
    for name, text in texts.items():
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            (output / name).write_text(text, "utf-8")
            print(output / name)
        else:
            mark = "--" if name.endswith(".lua") else "#"
            print(
                f"{mark} {name}" if len(texts) > 1 else "", text, sep="\n" if len(texts) > 1 else "", end=""
            )
