"""`vestibule orgs directory`: how an organisation's directory is understood, and its tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click

from vestibule.admin_model import DirectoryToken
from vestibule.cli.remote import TAKES_ID, Remote, Span, asks_gateway, day, minute
from vestibule.cli.table import Column, fields
from vestibule.errors import VestibuleError

_TOKENS = (
    Column("ID", lambda one: one.id),
    Column("NAME", lambda one: one.name or "-", may_shrink=True),
    Column("CREATED", lambda one: day(one.created_at)),
    Column("EXPIRES", lambda one: day(one.expires_at)),
    Column("USED", lambda one: minute(one.seen_at)),
)
RULES: Final = ("subject", "external_id", "user_name")
_TOO_MANY: Final = "too_many_tokens"


@click.group()
def directory() -> None:
    """Connect the directory of an organisation, which provisions people and groups by SCIM 2.0.

    It is told the base URL, https://HOST/scim/v2, and a token.
    """


@directory.command(context_settings=TAKES_ID)
@click.argument("slug")
@asks_gateway
def show(remote: Remote, slug: str) -> None:
    """Show how an organisation's directory is understood."""
    found = remote.client.org_directory(slug)
    remote.show(found, lambda: fields([("join by", found.join_by)]))


@directory.command("join-by", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("rule", type=click.Choice(RULES))
@asks_gateway
def join_by(remote: Remote, slug: str, rule: str) -> None:
    """Say by what somebody who signs in is somebody who was provisioned.

    subject: what the provider calls them is their externalId, or else their userName; external_id: it is their
    externalId; user_name: their login or address is their userName. It holds for those who have not signed in yet.
    """
    found = remote.client.set_org_directory(slug, rule)
    remote.done(f"The people of {slug} are joined by {found.join_by}.", found)


@directory.command(context_settings=TAKES_ID)
@click.argument("slug")
@asks_gateway
def tokens(remote: Remote, slug: str) -> None:
    """List the tokens of an organisation's directory, those that have ended too."""
    remote.show_list(remote.client.directory_tokens(slug), _TOKENS, 0, "No tokens.")


@directory.command("create-token", context_settings=TAKES_ID)
@click.argument("slug")
@click.option("--name", default="", help="For people: whose it is.")
@click.option("--expires", "life_s", type=Span(), help='Good for so long: "90d". [default: until revoked]')
@click.option("--rotate", is_flag=True, help="Where there are two, end the one that was not used last.")
@asks_gateway
def create_token(remote: Remote, *, slug: str, name: str, life_s: int | None, rotate: bool) -> None:
    """Make a token for an organisation's directory, and print it, this once. There are two at most."""
    try:
        made = remote.client.create_directory_token(slug, name, life_s)
    except VestibuleError as error:
        if not rotate or error.code != _TOO_MANY:
            raise
        for older in _unused(remote.client.directory_tokens(slug)):
            remote.client.revoke_directory_token(slug, older.id)
            click.echo(f"{older.id} is revoked.", err=True)
        made = remote.client.create_directory_token(slug, name, life_s)
    remote.show(made, lambda: made.token or "")
    if not remote.as_json:
        end = f"vestibule orgs directory revoke-token {slug} {made.id}"
        click.echo(f"This is shown once. `{end}` ends it.", err=True)


@directory.command("revoke-token", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("token_id", metavar="ID")
@asks_gateway
def revoke_token(remote: Remote, slug: str, token_id: str) -> None:
    """End a token at once: the directory that has it can't change anything any more."""
    remote.client.revoke_directory_token(slug, token_id)
    remote.done(f"{token_id} is revoked.")


def _unused(several: Iterable[DirectoryToken]) -> list[DirectoryToken]:
    """All but the one that was used last, or of those that never were, the newest.

    Threat: the directory is cut off, since the one before was made and never written down there.
    """
    known = sorted(several, key=lambda one: (one.seen_at or one.created_at, one.created_at))
    used = [one for one in known if one.seen_at is not None]
    last = (used or known)[-1:]
    return [one for one in known if one not in last]
