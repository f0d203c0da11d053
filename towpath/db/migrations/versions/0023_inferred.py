"""What training has inferred of an index's structure stands beside its configuration.

Revision ID: 0023
"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE entity_indexes ADD COLUMN inferred jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE entity_indexes DROP COLUMN inferred")
