"""What organisations' directories provision.

Revision: 0016.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make the tables."""
    _people()
    _groups()
    op.create_table(
        "directory_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        _org(),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_directory_tokens"),
        _of_org("directory_tokens"),
        sa.UniqueConstraint("hash", name="uq_directory_tokens_hash"),
        sa.UniqueConstraint("org_id", "slot", name="uq_directory_tokens_org_id_slot"),
    )
    op.create_table(
        "directory_rules",
        _org(),
        sa.Column("join_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", name="pk_directory_rules"),
        _of_org("directory_rules"),
    )


def _people() -> None:
    table = "directory_users"
    op.create_table(
        table,
        *_entry(),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_directory_users"),
        _of_org(table),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_directory_users_user_id", ondelete="SET NULL"
        ),
        sa.UniqueConstraint("org_id", "folded", name="uq_directory_users_org_id_folded"),
        sa.UniqueConstraint("org_id", "user_id", name="uq_directory_users_org_id_user_id"),
    )
    op.create_index("ix_directory_users_user_id", table, ["user_id"])
    op.create_index("ix_directory_users_org_id_created_at_id", table, ["org_id", "created_at", "id"])
    op.create_index("ix_directory_users_org_id_external_id", table, ["org_id", "external_id"])


def _groups() -> None:
    table = "directory_groups"
    op.create_table(
        table,
        *_entry(),
        sa.PrimaryKeyConstraint("id", name="pk_directory_groups"),
        _of_org(table),
    )
    op.create_index("ix_directory_groups_org_id_folded", table, ["org_id", "folded"])
    op.create_index("ix_directory_groups_org_id_created_at_id", table, ["org_id", "created_at", "id"])
    op.create_index("ix_directory_groups_org_id_external_id", table, ["org_id", "external_id"])
    op.create_table(
        "directory_group_members",
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "member_id", name="pk_directory_group_members"),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["directory_groups.id"],
            name="fk_directory_group_members_group_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["directory_users.id"],
            name="fk_directory_group_members_member_id",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_directory_group_members_member_id", "directory_group_members", ["member_id"])


def _entry() -> tuple[sa.Column[str] | sa.Column[int] | sa.Column[float], ...]:
    return (
        sa.Column("id", sa.Text(), nullable=False),
        _org(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
    )


def _org() -> sa.Column[str]:
    return sa.Column("org_id", sa.Text(), nullable=False)


def _of_org(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["org_id"], ["organisations.id"], name=f"fk_{table}_org_id", ondelete="CASCADE"
    )
