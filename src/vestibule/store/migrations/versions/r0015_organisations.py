"""Organisations: their domains, members and groups, and whose identity provider one is.

Revision: 0015.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_IS_VERIFIED = sa.text("verified_at IS NOT NULL")


def upgrade() -> None:
    """Make the tables, and the column of providers."""
    op.create_table(
        "organisations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisations"),
        sa.UniqueConstraint("slug", name="uq_organisations_slug"),
    )
    op.create_index("ix_organisations_created_at_id", "organisations", ["created_at", "id"])
    _domains()
    _members()
    _groups()
    op.add_column(
        "identity_providers", sa.Column("org_id", sa.Text(), nullable=False, server_default=sa.text("''"))
    )


def _domains() -> None:
    op.create_table(
        "organisation_domains",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("verified_at", sa.Double(), nullable=True),
        sa.Column("verified_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "domain", name="pk_organisation_domains"),
        sa.ForeignKeyConstraint(
            ["org_id"],
            ["organisations.id"],
            name="fk_organisation_domains_org_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "uq_organisation_domains_domain",
        "organisation_domains",
        ["domain"],
        unique=True,
        sqlite_where=_IS_VERIFIED,
        postgresql_where=_IS_VERIFIED,
    )


def _members() -> None:
    op.create_table(
        "organisation_members",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "user_id", name="pk_organisation_members"),
        sa.ForeignKeyConstraint(
            ["org_id"],
            ["organisations.id"],
            name="fk_organisation_members_org_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_organisation_members_user_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_organisation_members_user_id", "organisation_members", ["user_id"])
    op.create_index(
        "ix_organisation_members_created_at", "organisation_members", ["org_id", "created_at", "user_id"]
    )


def _groups() -> None:
    op.create_table(
        "organisation_groups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisation_groups"),
        sa.UniqueConstraint("org_id", "name", name="uq_organisation_groups_org_id_name"),
        sa.UniqueConstraint("org_id", "id", name="uq_organisation_groups_org_id_id"),
        sa.ForeignKeyConstraint(
            ["org_id"],
            ["organisations.id"],
            name="fk_organisation_groups_org_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "organisation_group_members",
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_organisation_group_members"),
        sa.ForeignKeyConstraint(
            ["org_id", "group_id"],
            ["organisation_groups.org_id", "organisation_groups.id"],
            name="fk_organisation_group_members_org_id_group_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "user_id"],
            ["organisation_members.org_id", "organisation_members.user_id"],
            name="fk_organisation_group_members_org_id_user_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_organisation_group_members_user_id", "organisation_group_members", ["org_id", "user_id"]
    )
