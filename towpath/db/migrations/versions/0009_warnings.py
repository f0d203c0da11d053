"""Warnings of jobs, since when a call of a provider fails, and which pages of documents are cut.

Revision ID: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DDL = """
ALTER TABLE jobs ADD COLUMN warnings jsonb NOT NULL DEFAULT '[]';
ALTER TABLE document_pages ADD COLUMN truncated boolean NOT NULL DEFAULT false;

CREATE TABLE outages (
    job_id uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt int NOT NULL,
    call bytea NOT NULL,
    since timestamptz NOT NULL,
    tries int NOT NULL DEFAULT 1,
    PRIMARY KEY (job_id, attempt, call)
);
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    op.execute("ALTER TABLE document_pages DROP COLUMN truncated")
    op.execute("DROP TABLE outages")
    op.execute("ALTER TABLE jobs DROP COLUMN warnings")
