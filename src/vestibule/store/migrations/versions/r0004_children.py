"""Sessions that were handed on end with the one they came from, which is found by an index.

Revision: 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_CHILDREN = sa.text("parent_id <> ''")


def upgrade() -> None:
    """Make the index; only of those that have a parent."""
    op.create_index(
        "ix_sessions_parent_id",
        "sessions",
        ["parent_id"],
        sqlite_where=_CHILDREN,
        postgresql_where=_CHILDREN,
    )
