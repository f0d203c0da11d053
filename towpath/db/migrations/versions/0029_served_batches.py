"""Files and batches of OpenAI's API.

Revision ID: 0029
"""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0027"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE served_files (
    id           uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    filename     text NOT NULL,
    purpose      text NOT NULL,
    size         bigint NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX served_files_by_organization ON served_files (organization, created_at, id);
CREATE INDEX served_files_by_expiry ON served_files (expires_at);
CREATE TABLE served_batches (
    job_id            uuid PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    organization      text NOT NULL REFERENCES organizations (id),
    endpoint          text NOT NULL,
    input_file_id     uuid NOT NULL,
    completion_window text NOT NULL,
    metadata          json,
    output_seconds    integer,
    status            text NOT NULL,
    model             text,
    errors            json,
    output_file_id    uuid,
    error_file_id     uuid,
    created_at        timestamptz NOT NULL DEFAULT now(),
    expires_at        timestamptz NOT NULL,
    in_progress_at    timestamptz,
    finalizing_at     timestamptz,
    cancelling_at     timestamptz,
    ended_at          timestamptz
);
CREATE INDEX served_batches_by_organization ON served_batches (organization, created_at, job_id);
CREATE TABLE served_lines (
    job_id           uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number           integer NOT NULL,
    custom_id        text NOT NULL,
    model            text NOT NULL,
    body             bytea NOT NULL,
    status           integer,
    request_id       text,
    response         bytea,
    input_tokens     bigint NOT NULL DEFAULT 0,
    cached_tokens    bigint NOT NULL DEFAULT 0,
    output_tokens    bigint NOT NULL DEFAULT 0,
    reasoning_tokens bigint NOT NULL DEFAULT 0,
    cost_usd         double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, number)
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(
        "DELETE FROM blobs b USING served_files f WHERE b.organization = f.organization AND b.sha256 = uuid_send(f.id)"
    )
    op.execute("DROP TABLE served_lines, served_batches, served_files")
