"""`vestibule sessions`: who is signed in, with what; end one, or all of somebody's."""

from __future__ import annotations

import click
import msgspec

from vestibule.cli.remote import TAKES_ID, Remote, asks_gateway, confirm, day, minute
from vestibule.cli.table import Column, fields
from vestibule.cli.users import id_of
from vestibule.client import Session
from vestibule.core.device import family_of

_COLUMNS = (
    Column("ID", lambda session: session.id),
    Column("HOST", lambda session: session.host, may_shrink=True),
    Column("DEVICE", lambda session: _device(session.device.user_agent), may_shrink=True),
    Column("ADDRESS", lambda session: session.device.address or "-", may_shrink=True),
    Column("SEEN", lambda session: minute(session.seen_at)),
    Column("ENDS", lambda session: day(session.expires_at)),
)
_user = click.option("--user", required=True, help="Whose: an id or an e-mail address.")


@click.group()
def sessions() -> None:
    """List, show and end sessions: signed-in browsers, phones and programs.

    ID is a session's permanent id, which gets nobody in.
    """


@sessions.command("list")
@_user
@click.option("--host", default="", help="Good for this host only.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="0: all.")
@asks_gateway
def list_sessions(remote: Remote, *, user: str, host: str, limit: int) -> None:
    """List a user's sessions, the newest first."""
    found = remote.sessions.list(id_of(remote, user), host=host)
    remote.show_list(found, _COLUMNS, limit, "No sessions.")


@sessions.command(context_settings=TAKES_ID)
@click.argument("session_id", metavar="ID")
@asks_gateway
def show(remote: Remote, session_id: str) -> None:
    """Show a session with its attributes."""
    found = remote.sessions.get(session_id)
    remote.show(found, lambda: _text(found))


@sessions.command(context_settings=TAKES_ID)
@click.argument("session_id", metavar="ID")
@asks_gateway
def revoke(remote: Remote, session_id: str) -> None:
    """End a session at once, everywhere, with those that were handed on from it."""
    remote.sessions.end(session_id)
    remote.done(f"{session_id} has ended.")


@sessions.command("revoke-all")
@_user
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks_gateway
def revoke_all(remote: Remote, *, user: str, yes: bool) -> None:
    """Sign a user out everywhere."""
    user_id = id_of(remote, user)
    confirm(f"Sign {user} out everywhere?", yes=yes)
    ended = remote.sessions.end_all(user_id)
    remote.done(f"{user_id} is signed out: {ended} sessions have ended.", {"ended": ended})


def _device(user_agent: str) -> str:
    """As the person's own page has it; what no browser sends, as it came."""
    family = family_of(user_agent)
    return family.words if family.browser else user_agent or "-"


def _text(session: Session) -> str:
    return fields(
        [
            ("id", session.id),
            ("user", session.user_id),
            ("host", session.host),
            ("device", session.device.user_agent),
            ("address", session.device.address),
            ("since", minute(session.created_at)),
            ("last seen", minute(session.seen_at)),
            ("ends", f"{minute(session.expires_at)}, or {session.idle_timeout} s after it was last used"),
            ("providers", ", ".join(session.providers)),
            ("handed on from", session.parent_id),
            ("made by", session.made_by),
            ("attributes", msgspec.json.encode(session.attributes).decode() if session.attributes else ""),
        ]
    )
