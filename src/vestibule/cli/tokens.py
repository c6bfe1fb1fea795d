"""`vestibule tokens`: bearer tokens of the admin API, for those who don't come by its socket."""

from __future__ import annotations

import click

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


@click.group()
def tokens() -> None:
    """Create, list and revoke tokens of the admin API."""


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


@tokens.command("list")
@asks_gateway
def list_tokens(remote: Remote) -> None:
    """List the tokens there are, the expired ones too."""
    remote.show_list(remote.client.tokens(), _COLUMNS, 0, "No admin tokens.")


@tokens.command(context_settings=TAKES_ID)
@click.argument("token_id", metavar="ID")
@asks_gateway
def revoke(remote: Remote, token_id: str) -> None:
    """End a token at once."""
    remote.client.revoke_token(token_id)
    remote.done(f"{token_id} is revoked.")
