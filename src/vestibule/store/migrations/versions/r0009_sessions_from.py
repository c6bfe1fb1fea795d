"""When a person signed out everywhere, for sessions that are kept where that can't reach.

Revision: 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "users", sa.Column("sessions_from", sa.Double(), nullable=False, server_default=sa.text("0"))
    )
