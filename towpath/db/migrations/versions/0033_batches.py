"""An entity knows the batch that brought it: two lists that came one after the other are told apart by that.

Revision ID: 0033
"""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE entities ADD COLUMN batch integer")


def downgrade() -> None:
    op.execute("ALTER TABLE entities DROP COLUMN batch")
