"""`vestibule invitations`: leave for one person to become a user."""

from __future__ import annotations

import click

from vestibule.admin_client import Invitation
from vestibule.cli.remote import TAKES_ID, Remote, Span, asks_gateway, day
from vestibule.cli.table import Column


def _whom(one: Invitation) -> str:
    return one.email or f"{one.subject} at {one.issuer}"


_COLUMNS = (
    Column("ID", lambda one: one.id),
    Column("FOR", _whom, may_shrink=True),
    Column("STATE", lambda one: one.state),
    Column("UNTIL", lambda one: day(one.expires_at)),
    Column("NOTE", lambda one: one.note, may_shrink=True),
)


@click.group()
def invitations() -> None:
    """Create, list and revoke invitations.

    They matter where the configuration says `registration = "invite"`, or `allow_all_users = false`. Nothing is
    sent: tell the person to sign in.
    """


@invitations.command()
@click.argument("email", required=False, default="")
@click.option("--issuer", default="", help="In place of EMAIL: the account's issuer …")
@click.option("--subject", default="", help="… and subject.")
@click.option(
    "--expires",
    "life_s",
    type=Span(),
    help='Good for so long: "12h", "7d". [default: 7d, or what lifetimes { invitation } says]',
)
@click.option("--note", default="", help="A note, shown in the list.")
@asks_gateway
def create(
    remote: Remote,
    *,
    email: str,
    issuer: str,
    subject: str,
    life_s: int | None,
    note: str,
) -> None:
    """Invite an e-mail address, or an account.

    Whoever signs in with that address, verified, or by that account (--issuer, --subject) may become a user.
    """
    if bool(email) == bool(issuer or subject):
        raise click.UsageError("write an e-mail address, or --issuer and --subject")
    made = remote.client.invite(email=email, issuer=issuer, subject=subject, note=note, life_s=life_s)
    remote.done(f"{_whom(made)} may sign in until {day(made.expires_at)} (invitation {made.id}).", made)


@invitations.command("list")
@click.option("--email", default="", help="For this address.")
@click.option("--only", type=click.Choice(["open", "used", "expired"]), help="In this state.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="0: all.")
@asks_gateway
def list_invitations(remote: Remote, email: str, only: str | None, limit: int) -> None:
    """List invitations, the oldest first."""
    found = remote.client.invitations(email=email, state=only or "")
    remote.show_list(found, _COLUMNS, limit, "No invitations.")


@invitations.command(context_settings=TAKES_ID)
@click.argument("invitation_id", metavar="ID")
@asks_gateway
def revoke(remote: Remote, invitation_id: str) -> None:
    """Withdraw an invitation; who has used it already stays."""
    remote.client.withdraw(invitation_id)
    remote.done(f"{invitation_id} is withdrawn.")
