"""`vestibule tokens`: of the admin API for those who don't come by its socket, keys of machines, and who holds what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import click
import msgspec

from vestibule.admin_client import HeldToken, MachineKey, Token
from vestibule.cli.remote import TAKES_ID, Remote, Span, asks_gateway, day
from vestibule.cli.table import Column
from vestibule.core.scope import SCOPES

_COLUMNS = (
    Column("ID", lambda token: token.id),
    Column("NAME", lambda token: token.name, may_shrink=True),
    Column("CREATED", lambda token: day(token.created_at)),
    Column("EXPIRES", lambda token: day(token.expires_at)),
    Column("USED", lambda token: day(token.seen_at)),
    Column("SCOPES", lambda token: " ".join(token.scopes) or "all", may_shrink=True),
)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A token or key, whoever's."""

    kind: str
    """`admin`, `app` or `machine`."""
    id: str
    holder: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None


_HELD_COLUMNS = (
    Column("KIND", lambda held: held.kind),
    Column("ID", lambda held: held.id),
    Column("HOLDER", lambda held: held.holder, may_shrink=True),
    Column("NAME", lambda held: held.name, may_shrink=True),
    Column("CREATED", lambda held: day(held.created_at)),
    Column("EXPIRES", lambda held: day(held.expires_at)),
    Column("USED", lambda held: day(held.seen_at)),
)


@click.group()
def tokens() -> None:
    """Create, list and revoke tokens of the admin API, and keys of machines."""


@tokens.command()
@click.argument("name")
@click.option("--expires", "life_s", type=Span(), help='Good for so long: "30d". [default: until revoked]')
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(tuple(SCOPES)),
    help="What it may do, and nothing else; may be repeated. [default: everything]",
)
@asks_gateway
def create(remote: Remote, *, name: str, life_s: int | None, scopes: tuple[str, ...]) -> None:
    """Create a token and print it, this once."""
    made = remote.client.create_token(name, life_s, scopes=scopes)
    remote.show(made, lambda: made.token or "")
    if not remote.as_json:
        click.echo(f"This is shown once. `vestibule tokens revoke {made.id}` ends it.", err=True)


@tokens.command("key")
@click.argument("machine")
@click.option("--name", default="", help="For people: where it is kept.")
@click.option("--expires", "life_s", type=Span(), help='Good for so long: "90d". [default: until revoked]')
@click.option("--rotate", is_flag=True, help="End the older one first where there are two.")
@asks_gateway
def key(remote: Remote, *, machine: str, name: str, life_s: int | None, rotate: bool) -> None:
    """Make a key for a machine of the kind `key`, and print it, this once. A machine has two at most."""
    theirs = [one for one in remote.client.machine_keys() if one.machine == machine] if rotate else []
    for older in theirs[:-1]:
        remote.client.revoke_machine_key(older.id)
        click.echo(f"{older.id} is revoked.", err=True)
    made = remote.client.create_machine_key(machine, name, life_s)
    remote.show(made, lambda: made.key or "")
    if not remote.as_json:
        click.echo(f"This is shown once. `vestibule tokens revoke {made.id}` ends it.", err=True)


@tokens.command("held")
@asks_gateway
def held(remote: Remote) -> None:
    """List who holds what: tokens of the admin API, app tokens of people, keys of machines."""
    remote.show_list(_held(remote), _HELD_COLUMNS, 0, "Nobody holds any.")


def _held(remote: Remote) -> Iterator[Held]:
    for admin in remote.client.tokens():
        yield _held_of("admin", admin, " ".join(admin.scopes) or "everything")
    for app in remote.client.app_tokens():
        yield _held_of("app", app, app.person)
    for one in remote.client.machine_keys():
        yield _held_of("machine", one, one.machine)


def _held_of(kind: str, one: Token | HeldToken | MachineKey, holder: str) -> Held:
    return Held(
        kind=kind,
        id=one.id,
        holder=holder,
        name=one.name,
        created_at=one.created_at,
        expires_at=one.expires_at,
        seen_at=one.seen_at,
    )


@tokens.command("list")
@asks_gateway
def list_tokens(remote: Remote) -> None:
    """List the tokens there are, the expired ones too."""
    remote.show_list(remote.client.tokens(), _COLUMNS, 0, "No admin tokens.")


@tokens.command(context_settings=TAKES_ID)
@click.argument("token_id", metavar="ID")
@asks_gateway
def revoke(remote: Remote, token_id: str) -> None:
    """End a token of the admin API, or a key of a machine, at once."""
    if any(one.id == token_id for one in remote.client.machine_keys()):
        remote.client.revoke_machine_key(token_id)
    else:
        remote.client.revoke_token(token_id)
    remote.done(f"{token_id} is revoked.")
