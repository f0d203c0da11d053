"""Steps that are tried again, and times that no reader can read."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE jobs ADD COLUMN retries jsonb NOT NULL DEFAULT '{}';

        -- Taken from clients before they were bounded.
        UPDATE jobs SET deadline = NULL WHERE deadline >= '9999-01-01';
        UPDATE api_keys SET expires_at = '9998-12-31' WHERE expires_at >= '9999-01-01';
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN retries")
