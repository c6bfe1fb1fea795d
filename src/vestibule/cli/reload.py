"""`vestibule reload`: a running gateway takes what its files say by now; what that changes is shown first."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from vestibule.admin_client import AdminClient
from vestibule.admin_model import Difference, Reloaded
from vestibule.cli.remote import Remote, asks_gateway, confirm
from vestibule.config.admin import admin_socket
from vestibule.config.load import examined

_ALIKE = "The files say what is in force. What they name is read again: certificates, templates, passwords, folders."


@click.command(name="reload")
@click.argument("files", nargs=-1, metavar="[FILE.hcl]…", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show the difference, and change nothing.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks_gateway
def reload(remote: Remote, files: tuple[Path, ...], *, dry_run: bool, yes: bool) -> None:
    """Have a running gateway put in force what its files say now.

    The difference is shown first, without secrets. All of it is taken, by every process, or nothing: files with faults
    are refused with their lines, and what is in force stays. No connection is closed by it.

    The gateway reads the files it was started with; FILE.hcl, here, says where its state directory is.
    """
    if files:
        remote.client = AdminClient(f"unix:{_socket_of(files)}")
    found = remote.client.difference()
    if found.faults or found.restart:
        for fault in (*found.faults, *found.restart):
            click.echo(fault, err=True)
        sys.exit(1)
    if dry_run:
        remote.show(found, lambda: _text(found))
        return
    if not remote.as_json:
        click.echo(_text(found))
    if found.is_changed:
        confirm("Put that in force?", yes=yes)
    done = remote.client.reload(found.fingerprint)
    remote.show(done, lambda: _done(done))


def _socket_of(files: Sequence[Path]) -> str:
    """The admin socket of the gateway of these files, as far as they can be read."""
    loaded, _ = examined(files, os.environ)
    return admin_socket(loaded.config).path


def _text(found: Difference) -> str:
    told = [f"warning: {warning}" for warning in found.warnings]
    return "\n".join([*told, found.diff if found.is_changed else _ALIKE])


def _done(done: Reloaded) -> str:
    named = (("added", done.added), ("changed", done.changed), ("removed", done.removed))
    told = "; ".join(f"{what}: {', '.join(names)}" for what, names in named if names)
    return f"In force ({told})." if told else "In force."
