"""A chain through the rows of the audit log, its two ends, and the messages that webhooks did not take.

Rows from before are linked in the order of their times; no key is at hand here, so they bear no seal. The first row
that is written behind them vouches for them.

Revision: 0010.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from vestibule.core import chain

revision = "0010"
down_revision = "0009"

_BATCH = 500


def upgrade() -> None:
    """Add columns and tables, link the rows there are."""
    op.add_column("audit", sa.Column("seq", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    for name in ("previous", "hash", "key_id", "seal"):
        op.add_column("audit", sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))
    op.create_table(
        "audit_ends",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_audit_ends"),
    )
    seq, row_hash = _link()
    ends = sa.table("audit_ends", *(sa.column(name) for name in chain.End.__struct_fields__))
    rows = [(chain.HEAD, seq, row_hash), (chain.ANCHOR, 0, chain.NO_HASH)]
    for name, number, ends_with in rows:
        op.execute(ends.insert().values(name=name, seq=number, hash=ends_with, key_id="", seal=""))
    op.create_index("ix_audit_seq", "audit", ["seq"], unique=True)
    op.create_table(
        "dead_letters",
        sa.Column("webhook", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("died_at", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("webhook", "id", name="pk_dead_letters"),
    )
    op.create_index("ix_dead_letters_died_at", "dead_letters", ["died_at"])


def _link() -> tuple[int, str]:
    """Give each row its place and hash; seq and hash of the last one."""
    connection = op.get_bind()
    fields = [name for name in chain.Entry.__struct_fields__ if name != "seal"]
    audit = sa.table("audit", *(sa.column(name) for name in fields))
    seq, before = 0, chain.NO_HASH
    last: tuple[float, str] | None = None
    while True:
        query = sa.select(audit).order_by(audit.c.at, audit.c.id).limit(_BATCH)
        if last is not None:
            query = query.where(sa.tuple_(audit.c.at, audit.c.id) > last)
        found = connection.execute(query).mappings().all()
        for row in found:
            seq += 1
            values: dict[str, Any] = {**row, "seq": seq, "key_id": "", "hash": ""}
            entry = chain.linked(chain.Entry(**values), before)
            before = entry.hash
            linked = {"seq": seq, "previous": entry.previous, "hash": entry.hash}
            connection.execute(audit.update().where(audit.c.id == entry.id).values(**linked))
            last = entry.at, entry.id
        if len(found) < _BATCH:
            return seq, before
