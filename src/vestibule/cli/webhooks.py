"""`vestibule webhooks`: messages that a webhook did not take."""

from __future__ import annotations

import click

from vestibule.cli.remote import TAKES_ID, Remote, asks_gateway, minute
from vestibule.cli.table import Column

_COLUMNS = (
    Column("WEBHOOK", lambda one: one.webhook),
    Column("ID", lambda one: one.id),
    Column("WHAT", lambda one: one.action),
    Column("MADE", lambda one: minute(one.created_at)),
    Column("GIVEN UP", lambda one: minute(one.died_at)),
    Column("TRIES", lambda one: str(one.tries)),
    Column("WHY", lambda one: one.detail, may_shrink=True),
)


@click.group()
def webhooks() -> None:
    """Look after messages that webhooks did not take for a day."""


@webhooks.command()
@click.option("--limit", default=50, show_default=True, help="At most so many; 0: all.")
@asks_gateway
def dead(remote: Remote, *, limit: int) -> None:
    """List them, the latest first."""
    remote.show_list(
        iter(remote.client.dead_letters()), _COLUMNS, limit, "All have arrived, or are still tried."
    )


@webhooks.command(context_settings=TAKES_ID)
@click.argument("webhook")
@click.argument("ids", nargs=-1, metavar="[ID]…")
@asks_gateway
def retry(remote: Remote, *, webhook: str, ids: tuple[str, ...]) -> None:
    """Try messages again, for another day: those of these ids, or all of the webhook."""
    wanted = ids or _all_of(remote, webhook)
    for letter_id in wanted:
        remote.client.retry_letter(webhook, letter_id)
    remote.done(f"{len(wanted)} to {webhook} are tried again.", {"retried": list(wanted)})


@webhooks.command(context_settings=TAKES_ID)
@click.argument("webhook")
@click.argument("ids", nargs=-1, metavar="[ID]…")
@asks_gateway
def discard(remote: Remote, *, webhook: str, ids: tuple[str, ...]) -> None:
    """Throw messages away: those of these ids, or all of the webhook."""
    wanted = ids or _all_of(remote, webhook)
    for letter_id in wanted:
        remote.client.discard_letter(webhook, letter_id)
    remote.done(f"{len(wanted)} to {webhook} are gone.", {"discarded": list(wanted)})


def _all_of(remote: Remote, webhook: str) -> tuple[str, ...]:
    return tuple(one.id for one in remote.client.dead_letters() if one.webhook == webhook)
