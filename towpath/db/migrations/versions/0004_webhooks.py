"""Webhooks: receivers, targets of jobs, deliveries.

Revision ID: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DDL = """
CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    url text NOT NULL,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_until timestamptz,
    events text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);
CREATE INDEX webhooks_of ON webhooks (organization, created_at);

CREATE TABLE job_webhooks (
    job_id uuid PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    url text NOT NULL,
    secret bytea,
    metadata json
);

CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    job_id uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt int NOT NULL,
    webhook_id uuid,
    url text NOT NULL,
    event text NOT NULL,
    event_id text NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'PENDING',
    run int NOT NULL DEFAULT 1,
    tries json NOT NULL DEFAULT '[]',
    next_attempt_at timestamptz DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX deliveries_once ON deliveries (job_id, attempt, event, coalesce(webhook_id, job_id));
CREATE INDEX deliveries_of ON deliveries (organization, created_at DESC, id DESC);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE state = 'PENDING';
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    op.execute("DROP TABLE deliveries, job_webhooks, webhooks")
