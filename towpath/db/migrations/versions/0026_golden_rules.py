"""An index keeps the rules of its golden records.

Revision ID: 0026
"""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE entity_golden_rules (
            organization text NOT NULL,
            index_name text NOT NULL,
            rules jsonb NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization, index_name)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE entity_golden_rules")
