"""`vestibule tokens`: of the admin API for those who don't come by its socket, keys of machines, and who holds what."""

from __future__ import annotations

from collections.abc import Callable

import click

from vestibule.cli.remote import TAKES_ID, Remote, Span, asks_gateway, day
from vestibule.cli.table import Column
from vestibule.core.scope import SCOPES, ScopeMissing
from vestibule.errors import NotFound, VestibuleError

_COLUMNS = (
    Column("ID", lambda token: token.id),
    Column("NAME", lambda token: token.name, may_shrink=True),
    Column("CREATED", lambda token: day(token.created_at)),
    Column("EXPIRES", lambda token: day(token.expires_at)),
    Column("USED", lambda token: day(token.seen_at)),
    Column("SCOPES", lambda token: " ".join(token.scopes) or "all", may_shrink=True),
)


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
    remote.show_list(remote.client.held(), _HELD_COLUMNS, 0, "Nobody holds any.")


@tokens.command("list")
@asks_gateway
def list_tokens(remote: Remote) -> None:
    """List the tokens there are, the expired ones too."""
    remote.show_list(remote.client.tokens(), _COLUMNS, 0, "No admin tokens.")


@tokens.command(context_settings=TAKES_ID)
@click.argument("token_id", metavar="ID")
@asks_gateway
def revoke(remote: Remote, token_id: str) -> None:
    """End a token or key at once: of the admin API, of a machine, or an app token of a person."""
    _revoked(remote, token_id)
    remote.done(f"{token_id} is revoked.")


def _revoked(remote: Remote, token_id: str) -> None:
    """End it where it is; who may only do with one kind ends one of that kind. Raises VestibuleError."""
    ways: tuple[Callable[[str], None], ...] = (
        remote.client.revoke_token,
        remote.client.revoke_machine_key,
        lambda one: _revoked_of_person(remote, one),
    )
    refused: VestibuleError | None = None
    for end in ways:
        try:
            end(token_id)
        except VestibuleError as error:
            if error.code not in {NotFound.code, ScopeMissing.code}:
                raise
            refused = error if error.code == ScopeMissing.code else refused
        else:
            return
    raise refused or NotFound(f"There is no token or key {token_id}: `vestibule tokens held` lists all")


def _revoked_of_person(remote: Remote, token_id: str) -> None:
    for one in remote.client.app_tokens():
        if one.id == token_id:
            remote.client.revoke_user_token(one.user_id, token_id)
            return
    raise NotFound(token_id)
