"""What providers of models may be asked, shared by all workers, and what jobs wait for.

Revision ID: 0030
"""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0036"
branch_labels = None
depends_on = None

# It is rewritten some times a second and means nothing after a crash of Postgres: not logged, with room on its page.
UPGRADE = """
CREATE UNLOGGED TABLE llm_pools (
    digest bytea PRIMARY KEY,
    provider text NOT NULL,
    state jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

ALTER TABLE jobs ADD COLUMN waiting jsonb;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN waiting")
    op.execute("DROP TABLE llm_pools")
