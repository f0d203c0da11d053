"""Enrichment: schemas, records, paid answers, attachments.

Revision ID: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DDL = """
-- Not jsonb, which would put the fields of what users and models wrote into another order.
ALTER TABLE jobs ALTER COLUMN result TYPE json;
ALTER TABLE job_events ALTER COLUMN data TYPE json;

CREATE TABLE schemas (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    name text NOT NULL,
    version int NOT NULL DEFAULT 1,
    tags text[] NOT NULL DEFAULT '{}',
    is_pinned boolean NOT NULL DEFAULT false,
    property_count int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX schemas_by_name ON schemas (organization, name) WHERE deleted_at IS NULL;

CREATE TABLE schema_versions (
    schema_id uuid NOT NULL REFERENCES schemas (id) ON DELETE CASCADE,
    version int NOT NULL,
    content json NOT NULL,
    entity_samples json,
    note text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema_id, version)
);

CREATE TABLE records (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    type text NOT NULL,
    success boolean NOT NULL,
    partial_success boolean NOT NULL DEFAULT false,
    job_id uuid,
    entity_index int NOT NULL DEFAULT 0,
    entity_id uuid NOT NULL,
    entity_name text NOT NULL,
    model_composite_key text,
    schema_id uuid,
    schema_version int,
    schema_content json NOT NULL,
    strategy text,
    languages text[] NOT NULL DEFAULT '{}',
    origin text,
    structured_output json,
    entity_input_data json,
    expertises json NOT NULL DEFAULT '[]',
    validation_errors json NOT NULL DEFAULT '[]',
    fusion json,
    fusion_sources uuid[],
    error_code text,
    error_message text,
    cost_usd double precision NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    processing_time_ms int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX records_by_time ON records (organization, created_at DESC, id);
CREATE INDEX records_by_job ON records (job_id, entity_index);
CREATE INDEX records_by_entity ON records (organization, entity_id);

CREATE TABLE llm_answers (
    organization text NOT NULL,
    digest bytea NOT NULL,
    job_id uuid NOT NULL,
    attempt int NOT NULL,
    answer json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, digest)
);
CREATE INDEX llm_answers_by_time ON llm_answers (created_at);

CREATE TABLE attachments (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    filename text NOT NULL,
    media_type text NOT NULL,
    mode text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    content text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX attachments_by_organization ON attachments (organization, created_at);
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    op.execute("DROP TABLE attachments, llm_answers, records, schema_versions, schemas")
    op.execute("ALTER TABLE jobs ALTER COLUMN result TYPE jsonb")
    op.execute("ALTER TABLE job_events ALTER COLUMN data TYPE jsonb")
