"""The tables of organisations, for SQLAlchemy (`store.tables` has the others)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from vestibule.store.tables import METADATA, USERS

ORGANISATIONS: Final = Table(
    "organisations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),
    Index(None, "created_at", "id"),
)

_IS_VERIFIED: Final = text("verified_at IS NOT NULL")

DOMAINS: Final = Table(
    "organisation_domains",
    METADATA,
    Column("org_id", Text, ForeignKey(ORGANISATIONS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("verified_at", Double),
    Column("verified_by", Text, nullable=False),
    # Many may say that a domain is theirs; one of them has proven it.
    Index(
        "uq_organisation_domains_domain",
        "domain",
        unique=True,
        sqlite_where=_IS_VERIFIED,
        postgresql_where=_IS_VERIFIED,
    ),
)

MEMBERS: Final = Table(
    "organisation_members",
    METADATA,
    Column("org_id", Text, ForeignKey(ORGANISATIONS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, ForeignKey(USERS.c.id, ondelete="CASCADE"), primary_key=True, index=True),
    Column("roles", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_organisation_members_created_at", "org_id", "created_at", "user_id"),
)

GROUPS: Final = Table(
    "organisation_groups",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey(ORGANISATIONS.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("org_id", "name"),
    # What members of groups refer to: so that a group has members of its own organisation only.
    UniqueConstraint("org_id", "id"),
)

GROUP_MEMBERS: Final = Table(
    "organisation_group_members",
    METADATA,
    Column("group_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    ForeignKeyConstraint(["org_id", "group_id"], [GROUPS.c.org_id, GROUPS.c.id], ondelete="CASCADE"),
    ForeignKeyConstraint(["org_id", "user_id"], [MEMBERS.c.org_id, MEMBERS.c.user_id], ondelete="CASCADE"),
    Index("ix_organisation_group_members_user_id", "org_id", "user_id"),
)
