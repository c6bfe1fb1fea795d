"""`vestibule log`: how much a running gateway logs."""

from __future__ import annotations

import click

from vestibule.admin_model import Levels
from vestibule.cli.remote import Remote, asks_gateway
from vestibule.cli.table import Column, table

_COLUMNS = (
    Column("COMPONENT", lambda row: row[0]),
    Column("LEVEL", lambda row: row[1]),
)


@click.group()
def log() -> None:
    """See and change how much is logged."""


@log.command()
@click.argument("changes", nargs=-1, metavar="[COMPONENT=LEVEL]...")
@asks_gateway
def levels(remote: Remote, changes: tuple[str, ...]) -> None:
    """Show from which level on events are written; or change that, in every process, until a restart.

    `store=debug` has one component log more, `store=` no longer; `level=warning` is for all that have no level of
    their own. `access=info` switches the access log on, `access=off` off. Levels: debug, info, warning, error, off.
    """
    wanted = {}
    for change in changes:
        name, equals, level = change.partition("=")
        if not equals or not name:
            raise click.UsageError(f"`{change}` is no change: store=debug")
        wanted[name] = level
    found = remote.client.set_levels(wanted) if wanted else remote.client.levels()
    remote.show(found, lambda: table(_rows(found), _COLUMNS))


def _rows(found: Levels) -> list[tuple[str, str]]:
    own = ((name, level or found.level) for name, level in found.components.items())
    return [("level", found.level), *own]
