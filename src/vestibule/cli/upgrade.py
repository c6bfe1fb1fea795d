"""`vestibule upgrade`: a running gateway is replaced by the program that is installed now, and nobody notices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from vestibule.admin_client import AdminClient
from vestibule.cli.remote import Remote, asks_gateway
from vestibule.config.admin import admin_socket
from vestibule.config.load import examined


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE.hcl]…", type=click.Path(path_type=Path))
@asks_gateway
def upgrade(remote: Remote, files: tuple[Path, ...]) -> None:
    """Replace a running gateway by the program that is installed now.

    It is started as the running one was: the same command by the same name of Python, environment and directory. It
    takes over the listening sockets, and no connection is refused. Once it serves, the old one lets its answers end.
    Where it doesn't come to serve, the old one goes on, and it is said why.

    FILE.hcl says where the gateway's state directory is.
    """
    if files:
        remote.client = AdminClient(f"unix:{_socket_of(files)}")
    done = remote.client.upgrade()
    remote.show(done, lambda: "The new program serves; the old one lets its answers end.")


def _socket_of(files: Sequence[Path]) -> str:
    """The admin socket of the gateway of these files, as far as they can be read."""
    loaded, _ = examined(files, os.environ)
    return admin_socket(loaded.config).path
