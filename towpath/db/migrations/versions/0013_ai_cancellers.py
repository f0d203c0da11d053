"""Who cancelled an AI job is a user or nobody in person: an API key is no user.

Revision ID: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE ai_jobs SET cancelled_by = NULL WHERE cancelled_by IN (SELECT id FROM api_keys)")


def downgrade() -> None:
    """What a key had cancelled is not known any more."""
