"""People by every provider: their accounts in full, invitations, providers in the database, admin tokens, parking.

Old rows get what can be known of them: an account was last seen when it came, a user's address is searched in lower
case.

Revision: 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_EMPTY = sa.text("''")


def upgrade() -> None:
    """Widen users and identities, make the new tables."""
    _users()
    _identities()
    _invitations()
    _identity_providers()
    _admin_tokens()
    _parked()
    if op.get_bind().dialect.name == "postgresql":
        # On SQLite every integer has 64 bits.
        op.alter_column("leases", "fence", type_=sa.BigInteger(), existing_nullable=False)
        op.execute("ALTER SEQUENCE leases_fence_seq AS bigint")


def _users() -> None:
    with op.batch_alter_table("users") as table:
        table.add_column(sa.Column("login", sa.Text(), nullable=False, server_default=_EMPTY))
        table.add_column(sa.Column("profile", sa.Text(), nullable=False, server_default=sa.text("'{}'")))
        table.add_column(sa.Column("email_lower", sa.Text(), nullable=False, server_default=_EMPTY))
    users = sa.table("users", sa.column("id"), sa.column("email"), sa.column("email_lower"))
    connection = op.get_bind()
    rows = connection.execute(sa.select(users.c.id, users.c.email).where(users.c.email != "")).all()
    for user_id, email in rows:
        connection.execute(sa.update(users).where(users.c.id == user_id).values(email_lower=email.lower()))
    op.create_index("ix_users_email_lower", "users", ["email_lower"])
    op.create_index("ix_users_created_at_id", "users", ["created_at", "id"])


def _identities() -> None:
    with op.batch_alter_table("identities") as table:
        for name in ("kind", "login", "name", "email", "email_lower"):
            table.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=_EMPTY))
        table.add_column(sa.Column("seen_at", sa.Double(), nullable=False, server_default=sa.text("0")))
    identities = sa.table("identities", sa.column("created_at"), sa.column("seen_at"))
    op.execute(sa.update(identities).values(seen_at=identities.c.created_at))
    op.create_index("ix_identities_email_lower", "identities", ["email_lower"])
    op.create_index(
        "ix_identities_created_at_issuer_subject", "identities", ["created_at", "issuer", "subject"]
    )


def _invitations() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double()),
        sa.Column("used_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
    )
    op.create_index("ix_invitations_email", "invitations", ["email"])
    op.create_index("ix_invitations_issuer_subject", "invitations", ["issuer", "subject"])
    op.create_index("ix_invitations_created_at_id", "invitations", ["created_at", "id"])


def _identity_providers() -> None:
    op.create_table(
        "identity_providers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("provider_type", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity_providers"),
    )


def _admin_tokens() -> None:
    op.create_table(
        "admin_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("seen_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_admin_tokens"),
        sa.UniqueConstraint("hash", name="uq_admin_tokens_hash"),
    )


def _parked() -> None:
    op.create_table(
        "parked",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_parked"),
    )
    op.create_index("ix_parked_expires_at", "parked", ["expires_at"])
