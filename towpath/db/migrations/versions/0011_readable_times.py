"""Times that were stored beyond the year 9999, which no reader of ours can read, become the latest that is taken.

Revision ID: 0011
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

DDL = """
UPDATE jobs SET deadline = timestamptz '2199-12-31 23:59:59+00' WHERE deadline >= timestamptz '2200-01-01 00:00:00+00';
UPDATE api_keys SET expires_at = timestamptz '8999-12-31 23:59:59+00'
WHERE expires_at >= timestamptz '9000-01-01 00:00:00+00';
"""


def upgrade() -> None:
    """Bring the times back."""
    op.execute(DDL)


def downgrade() -> None:
    """Nothing: what the times were is of no use."""
