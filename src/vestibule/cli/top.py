"""`vestibule top`: the terminal console of a running gateway."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import click

from vestibule.cli.remote import Remote, reaches_gateway


@click.command()
@reaches_gateway
def top(remote: Remote) -> None:
    """Watch a gateway: traffic, hosts, sessions, providers, state.

    `?` in it lists the keys of each screen. NO_COLOR in the environment: no colours.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this is for a terminal; other commands print, with --json if you like")
    # A quarter of a second: nobody else waits for it.
    from vestibule.tui.app import Console  # noqa: PLC0415 - see above
    from vestibule.tui.gateway import Gateway  # noqa: PLC0415 - see above

    gateway = Gateway(remote.client, remote.sessions, remote.client.where)
    console = Console(gateway, lambda: datetime.now(UTC), dict(os.environ))
    if (why := console.run()) is not None:
        click.echo(f"vestibule top: {why}", err=True)
    sys.exit(console.return_code)
