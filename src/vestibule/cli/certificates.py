"""`vestibule certificates`: those that a gateway trusts, shows and has to have, and those that it orders."""

from __future__ import annotations

import click

from vestibule.admin_model import CertificateState
from vestibule.cli.remote import TAKES_ID, Remote, asks_gateway, minute
from vestibule.cli.table import Column


def _about(one: CertificateState) -> str:
    """What it is for; before that what is wrong, what to do about it, and when it is tried again."""
    again = f"next try {minute(one.next_at)} UTC" if one.next_at else ""
    return "; ".join(part for part in (one.why, one.advice, again, one.detail) if part)


_COLUMNS = (
    Column("NAMES", lambda one: ", ".join(one.names), may_shrink=True),
    Column("STATE", lambda one: one.state),
    Column("ENDS", lambda one: minute(one.expires_at)),
    Column("ISSUER", lambda one: one.issuer, may_shrink=True),
    Column("FROM", lambda one: one.source),
    Column("WHAT", _about, may_shrink=True),
)


@click.group()
def certificates() -> None:
    """Look after certificates."""


@certificates.command(name="list")
@click.option("--limit", default=50, show_default=True, help="At most so many; 0: all.")
@asks_gateway
def list_all(remote: Remote, *, limit: int) -> None:
    """List names of https without a certificate, and those that the gateway trusts and shows.

    STATE: `failing` is one that could not be had the last time, WHAT says why; an old one serves on meanwhile.
    """
    remote.show_list(iter(remote.client.certificates()), _COLUMNS, limit, "There are none.")


@certificates.command(context_settings=TAKES_ID)
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@asks_gateway
def renew(remote: Remote, *, names: tuple[str, ...]) -> None:
    """Have certificates ordered anew within seconds, whatever their names wait for."""
    for name in names:
        remote.client.renew_certificate(name)
    remote.done(f"{', '.join(names)}: ordered anew.", {"renewed": list(names)})
