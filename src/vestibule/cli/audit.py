"""`vestibule audit`: what has happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from vestibule.admin_client import Happened
from vestibule.cli.remote import Remote, Span, asks_gateway
from vestibule.cli.table import Column
from vestibule.cli.users import id_of
from vestibule.core.event import NAMES


def _about(one: Happened) -> str:
    code = one.detail.get("code") or one.detail.get("reason") or ""
    return " ".join(text for text in (one.target or one.user_id, f"({code})" if code else "") if text)


_COLUMNS = (
    Column("AT", lambda one: f"{one.at:%Y-%m-%d %H:%M:%S}"),
    Column("WHAT", lambda one: one.action),
    Column("WHO", lambda one: one.actor or "-", may_shrink=True),
    Column("WHOM", _about, may_shrink=True),
    Column("ADDRESS", lambda one: one.address or "-"),
    Column("DEVICE", lambda one: one.device or "-", may_shrink=True),
)


@click.command()
@click.option("--action", type=click.Choice(NAMES), help="Only these.")
@click.option("--actor", default="", help='Only what this one did: "user ID", "token NAME", socket.')
@click.option("--user", default="", help="Only what is about this user: an id or an e-mail address.")
@click.option("--session", "session_id", default="", help="Only what is about this session, by id.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--last", "last_s", type=Span(), help='Only of so long: "1h", "7d".')
@click.option("--limit", default=50, show_default=True, help="At most so many; 0: all.")
@asks_gateway
def audit(
    remote: Remote,
    *,
    action: str | None,
    actor: str,
    user: str,
    session_id: str,
    refused: bool,
    last_s: int | None,
    limit: int,
) -> None:
    """Show what has happened, the latest first: sign-ins, sign-outs, new devices. Times are UTC."""
    found = remote.client.audit(
        action=action or "",
        actor=actor,
        user_id=id_of(remote, user),
        session_id=session_id,
        outcome="refused" if refused else "",
        since=datetime.now(UTC) - timedelta(seconds=last_s) if last_s else None,
    )
    remote.show_list(found, _COLUMNS, limit, "Nothing of that kind.")
