"""Calls of language models that wait for batches of their providers.

Revision ID: 0028
"""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0024"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE llm_batches (
    id           uuid PRIMARY KEY,
    name         text NOT NULL UNIQUE,
    organization text NOT NULL,
    job_id       uuid NOT NULL,
    attempt      integer NOT NULL,
    model        text NOT NULL,
    state        text NOT NULL,
    calls        integer NOT NULL,
    answered     integer NOT NULL DEFAULT 0,
    failed       integer NOT NULL DEFAULT 0,
    remote_id    text,
    file_id      text,
    remote_state text,
    problem      text,
    named_at     timestamptz NOT NULL DEFAULT now(),
    sending_at   timestamptz,
    sent_at      timestamptz,
    cancelled_at timestamptz,
    closed_at    timestamptz
);
CREATE INDEX llm_batches_by_job ON llm_batches (job_id);
CREATE INDEX llm_batches_open ON llm_batches (named_at) WHERE state <> 'closed';
CREATE TABLE llm_awaited_calls (
    job_id       uuid NOT NULL,
    digest       bytea NOT NULL,
    organization text NOT NULL,
    model        text NOT NULL,
    plain_json   boolean NOT NULL,
    prompt       json NOT NULL,
    site         json,
    body         bytea NOT NULL,
    state        text NOT NULL,
    batch_id     uuid,
    number       integer,
    reply        bytea,
    problem      text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, digest)
);
CREATE INDEX llm_awaited_calls_of_batch ON llm_awaited_calls (batch_id, number);
CREATE INDEX llm_awaited_calls_unsent ON llm_awaited_calls (job_id) WHERE state = 'awaited';
CREATE INDEX llm_awaited_calls_by_time ON llm_awaited_calls (created_at);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE llm_awaited_calls")
    op.execute("DROP TABLE llm_batches")
