"""Sessions sealed whole, what they are found by, tries, and what admin tokens may do.

Sessions of before stood there open, and are not taken over: people sign in once more. What they held goes with them.

Revision: 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_CHILDREN = sa.text("parent_id <> ''")


def upgrade() -> None:
    """Make the table of sessions anew, and the others."""
    op.execute("DELETE FROM grants")
    op.drop_table("sessions")
    _make_sessions()
    op.create_table(
        "session_digests",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "session_id", name="pk_session_digests"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_session_digests_session_id", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_session_digests_session_id", "session_digests", ["session_id"])
    op.create_table(
        "tries",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_tries"),
    )
    op.create_index("ix_tries_expires_at", "tries", ["expires_at"])
    op.add_column("admin_tokens", sa.Column("scopes", sa.Text(), nullable=False, server_default="[]"))


def _make_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("old_handle", sa.LargeBinary()),
        sa.Column("old_until", sa.Double(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("idle_s", sa.Double(), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("handle", name="uq_sessions_handle"),
    )
    for column in ("old_handle", "user_id", "ends_at"):
        op.create_index(f"ix_sessions_{column}", "sessions", [column])
    op.create_index(
        "ix_sessions_parent_id",
        "sessions",
        ["parent_id"],
        sqlite_where=_CHILDREN,
        postgresql_where=_CHILDREN,
    )
