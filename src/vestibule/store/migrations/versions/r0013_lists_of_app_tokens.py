"""All app tokens in the order in which they were made.

Revision: 0013.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_app_tokens_created_at", "app_tokens", ["created_at", "id"])
