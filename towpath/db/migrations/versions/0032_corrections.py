"""Right values that people give for records, and what a record was made with: its sources and its prompts.

Revision ID: 0032
"""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0029"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE records ADD COLUMN attachment_ids uuid[] NOT NULL DEFAULT '{}';
ALTER TABLE records ADD COLUMN prompt_version text;
CREATE TABLE record_corrections (
    record_id    uuid NOT NULL REFERENCES records (id) ON DELETE CASCADE,
    field        text NOT NULL,
    organization text NOT NULL REFERENCES organizations (id),
    value        json,
    user_id      uuid,
    key_id       uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (record_id, field)
);
CREATE INDEX record_corrections_by_time ON record_corrections (organization, created_at);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE record_corrections")
    op.execute("ALTER TABLE records DROP COLUMN prompt_version, DROP COLUMN attachment_ids")
