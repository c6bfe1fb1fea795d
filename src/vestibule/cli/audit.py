"""`vestibule audit`: what has happened."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

import click

from vestibule.admin_client import Happened
from vestibule.admin_model import Proof
from vestibule.cli.remote import Remote, Span, asks_gateway
from vestibule.cli.table import Column
from vestibule.cli.users import id_of
from vestibule.core.chain_text import check
from vestibule.core.event import APP_RE, NAMES
from vestibule.opening import ring_in

_HASH_RE: Final = re.compile(r"[0-9a-f]{64}")


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


@click.group(invoke_without_command=True)
@click.option("--action", help="Only these: session.ended, app.order.paid.")
@click.option("--actor", default="", help='Only what this one did: "user ID", "token NAME", socket.')
@click.option("--user", default="", help="Only what is about this user: an id or an e-mail address.")
@click.option("--session", "session_id", default="", help="Only what is about this session, by id.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--last", "last_s", type=Span(), help='Only of so long: "1h", "7d".')
@click.option("--limit", default=50, show_default=True, help="At most so many; 0: all.")
@asks_gateway
@click.pass_context
def audit(
    ctx: click.Context,
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
    """Show what has happened, the latest first: sign-ins, sign-outs, changes by admins. Times are UTC."""
    if ctx.invoked_subcommand is not None:
        return
    if action and action not in NAMES and not APP_RE.fullmatch(action):
        raise click.BadParameter(f"there is no {action!r}: {', '.join(NAMES)}, app.…", param_hint="--action")
    found = remote.client.audit(
        action=action or "",
        actor=actor,
        user_id=id_of(remote, user),
        session_id=session_id,
        outcome="refused" if refused else "",
        since=datetime.now(UTC) - timedelta(seconds=last_s) if last_s else None,
    )
    remote.show_list(found, _COLUMNS, limit, "Nothing of that kind.")


@audit.command()
@click.option("--head", default="", help="A hash that was kept elsewhere: it must still be in the trail.")
@click.option(
    "--file",
    "file",
    type=click.File("rb"),
    help="A copy that `vestibule audit export` made; - reads standard input. No gateway is asked.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The key ring, for the seals in a copy. Without it hashes alone are checked: have --head, too.",
)
@asks_gateway
def verify(remote: Remote, *, head: str, file: BinaryIO | None, key_file: Path | None) -> None:
    """Say whether the trail is what was written; 1 is the exit code where it is not.

    Keep the head that is printed somewhere else, and give it as --head the next time: then nobody can put an earlier
    state of the whole database in place unseen.
    """
    if head and not _HASH_RE.fullmatch(head):
        raise click.BadParameter("is 64 digits, as printed by this command", param_hint="--head")
    if key_file is not None and file is None:
        raise click.UsageError("--key-file goes with --file")
    proof = remote.client.verify_audit(head) if file is None else _of_copy(file, key_file, head)
    remote.show(proof, lambda: _told(proof))
    if not proof.ok:
        sys.exit(1)


@audit.command()
@click.option("--after", default=0, help="Only what is behind this row (`seq`), to go on with a copy.")
@click.option("--action", default="", help="Only these. A copy of some rows can't be verified by itself.")
@click.option("--user", default="", help="Only what is about this user: an id or an e-mail address.")
@asks_gateway
def export(remote: Remote, *, after: int, action: str, user: str) -> None:
    """Print the whole trail, the oldest first, a line of JSON a row, with the hashes that hold it together."""
    out = sys.stdout.buffer
    for line in remote.client.export_audit(after, action=action, user_id=id_of(remote, user)):
        out.write(line)
    out.flush()


def _of_copy(file: BinaryIO, key_file: Path | None, head: str) -> Proof:
    ring = None if key_file is None else ring_in(key_file)
    found = check(file, ring, wanted=(head,) if head else ())
    detail = "" if found.fault is None else found.fault.detail
    if not detail and ring is None:
        detail = "hashes alone were checked: without a key anybody can make a chain, so compare the head"
    return Proof(
        ok=found.fault is None,
        rows=found.rows,
        first_at=_moment(found.first_at),
        last_at=_moment(found.last_at),
        head=found.head,
        broken_id="" if found.fault is None else found.fault.id,
        detail=detail,
    )


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _told(proof: Proof) -> str:
    span = f", {proof.first_at:%Y-%m-%d %H:%M} to {proof.last_at:%Y-%m-%d %H:%M}" if proof.first_at else ""
    lines = [f"{'whole' if proof.ok else 'BROKEN'}: {proof.rows} rows{span}"]
    if proof.broken_id:
        lines.append(f"first broken row: {proof.broken_id}")
    if proof.detail:
        lines.append(proof.detail)
    if proof.ok:
        lines.append(f"head: {proof.head}")
    return "\n".join(lines)
