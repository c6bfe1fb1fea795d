"""App tokens, and what clients said of accounts, by which their bearers are known.

Revision: 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables. Of who was here before, the next sign-in says who they are."""
    op.create_table(
        "vouched",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("told_at", sa.Double(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", "client", name="pk_vouched"),
        sa.ForeignKeyConstraint(
            ["issuer", "subject"],
            ["identities.issuer", "identities.subject"],
            name="fk_vouched_issuer",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "app_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("prefixes", sa.Text(), nullable=False),
        sa.Column("methods", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_app_tokens"),
        sa.UniqueConstraint("hash", name="uq_app_tokens_hash"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_app_tokens_user_id", ondelete="CASCADE"),
    )
    for column in ("user_id", "expires_at"):
        op.create_index(f"ix_app_tokens_{column}", "app_tokens", [column])
