"""Sessions by the host that they are good for.

Sessions of before are found by it once they are written again.

Revision: 0012.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the column, and the index of its lists."""
    op.add_column("sessions", sa.Column("host_digest", sa.LargeBinary(), nullable=True))
    op.create_index("ix_sessions_host_digest", "sessions", ["host_digest", "created_at", "id"])
