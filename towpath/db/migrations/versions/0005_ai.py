"""AI jobs: connections, semantic models, conversations, iterations; progress notices; a standing secret.

Revision ID: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

DDL = """
CREATE TABLE connections (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    name text NOT NULL,
    kind text NOT NULL,
    config bytea NOT NULL,
    path text,
    host text,
    database text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX connections_of ON connections (organization, created_at);

CREATE TABLE semantic_models (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    connection_id uuid NOT NULL REFERENCES connections (id),
    name text,
    kind text NOT NULL,
    base_model_id uuid REFERENCES semantic_models (id),
    content jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX semantic_models_of ON semantic_models (organization, created_at DESC, id DESC);
CREATE INDEX semantic_models_over ON semantic_models (base_model_id) WHERE base_model_id IS NOT NULL;

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    user_id uuid,
    model_id uuid NOT NULL,
    branch_id uuid,
    name text,
    last_prompt text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX conversations_of ON conversations (organization, updated_at DESC, id DESC);

ALTER TABLE jobs ADD COLUMN conversation_id uuid, ADD COLUMN user_id uuid;
CREATE UNIQUE INDEX jobs_one_active ON jobs (conversation_id)
    WHERE conversation_id IS NOT NULL AND state IN ('PENDING', 'RUNNING', 'PAUSED');
CREATE INDEX jobs_of_conversation ON jobs (conversation_id, created_at) WHERE conversation_id IS NOT NULL;

CREATE TABLE ai_jobs (
    job_id uuid PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    topic text,
    iteration int NOT NULL DEFAULT 0,
    message text,
    progress_at timestamptz,
    summary text,
    cancelled_by uuid
);

CREATE TABLE ai_actions (
    job_id uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number int NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (job_id, number)
);

ALTER TABLE deliveries ADD COLUMN step int NOT NULL DEFAULT 0, ADD COLUMN once boolean NOT NULL DEFAULT false;
DROP INDEX deliveries_once;
CREATE UNIQUE INDEX deliveries_once ON deliveries (job_id, attempt, event, step, coalesce(webhook_id, job_id));

ALTER TABLE organizations ADD COLUMN webhook_secret bytea;
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    op.execute(
        """
        ALTER TABLE organizations DROP COLUMN webhook_secret;
        DROP INDEX deliveries_once;
        ALTER TABLE deliveries DROP COLUMN step, DROP COLUMN once;
        CREATE UNIQUE INDEX deliveries_once ON deliveries (job_id, attempt, event, coalesce(webhook_id, job_id));
        DROP TABLE ai_actions, ai_jobs;
        ALTER TABLE jobs DROP COLUMN conversation_id, DROP COLUMN user_id;
        DROP TABLE conversations, semantic_models, connections;
        """
    )
