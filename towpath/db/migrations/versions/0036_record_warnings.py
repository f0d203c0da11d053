"""What of a record's sources its model was not shown.

Revision ID: 0036
"""

from __future__ import annotations

from alembic import op

revision = "0036"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE records ADD COLUMN validation_warnings json NOT NULL DEFAULT '[]'::json")


def downgrade() -> None:
    op.execute("ALTER TABLE records DROP COLUMN validation_warnings")
