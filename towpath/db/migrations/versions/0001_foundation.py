"""Organisations, keys, jobs, staging and entities.

Revision ID: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DDL = """
CREATE TABLE organizations (
    id text PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations ON DELETE CASCADE,
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    role text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_organization ON users (organization);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id uuid REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL,
    name text NOT NULL,
    key_prefix text NOT NULL,
    key_hash bytea NOT NULL UNIQUE,
    role text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_organization ON api_keys (organization);

CREATE TABLE invitations (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations ON DELETE CASCADE,
    email text NOT NULL,
    role text NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE TABLE idempotency_keys (
    organization text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    digest bytea NOT NULL,
    status int NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, route, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    organization text NOT NULL,
    kind text NOT NULL,
    external_id text,
    state text NOT NULL,
    attempt int NOT NULL DEFAULT 1,
    phase text,
    fraction double precision NOT NULL DEFAULT 0,
    window_size int,
    params jsonb NOT NULL DEFAULT '{}',
    digest bytea,
    total bigint NOT NULL DEFAULT 0,
    processed bigint NOT NULL DEFAULT 0,
    succeeded bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    cancelling boolean NOT NULL DEFAULT false,
    restart_requested boolean NOT NULL DEFAULT false,
    error_code text,
    error_message text,
    result jsonb,
    cost_usd double precision NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    deadline timestamptz
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX jobs_external ON jobs (organization, kind, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX jobs_newest ON jobs (organization, created_at DESC, id DESC);
CREATE INDEX jobs_open ON jobs (updated_at) WHERE state IN ('PENDING', 'RUNNING', 'PAUSED');
CREATE INDEX jobs_ended ON jobs (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE job_events (
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    seq bigint NOT NULL,
    key text,
    type text NOT NULL,
    data jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, seq)
);
CREATE UNIQUE INDEX job_events_key ON job_events (job_id, key) WHERE key IS NOT NULL;

CREATE TABLE job_pages (
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    page int NOT NULL,
    first_index bigint NOT NULL,
    items int NOT NULL,
    body bytea NOT NULL,
    uids bytea NOT NULL,
    outcomes bytea NOT NULL,
    steps smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, page)
) WITH (fillfactor = 70);
ALTER TABLE job_pages ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE job_failures (
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    item_index bigint NOT NULL,
    item_id text,
    stage text NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (job_id, item_index)
);

CREATE TABLE entity_indexes (
    index_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization text NOT NULL,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'live',
    config jsonb NOT NULL,
    dynamic boolean NOT NULL DEFAULT false,
    model jsonb,
    model_version int NOT NULL DEFAULT 0,
    model_entities bigint NOT NULL DEFAULT 0,
    reindex_job uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX entity_indexes_live ON entity_indexes (organization, name) WHERE state = 'live';
CREATE UNIQUE INDEX entity_indexes_building ON entity_indexes (organization, name) WHERE state = 'building';

CREATE TABLE entity_index_counts (
    index_no int PRIMARY KEY REFERENCES entity_indexes ON DELETE CASCADE,
    entities bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE SEQUENCE entity_revisions;

CREATE TABLE entities (
    index_no int NOT NULL,
    uid bigint NOT NULL,
    id_json text NOT NULL,
    sku text,
    body text NOT NULL,
    digest bytea NOT NULL,
    values text NOT NULL,
    source text,
    keys bytea NOT NULL,
    group_uid bigint,
    revision bigint NOT NULL DEFAULT nextval('entity_revisions'),
    PRIMARY KEY (index_no, uid)
);
CREATE INDEX entities_sku ON entities (index_no, sku) WHERE sku IS NOT NULL;
CREATE INDEX entities_group ON entities (index_no, group_uid) WHERE group_uid IS NOT NULL;

CREATE TABLE entity_postings (
    index_no int NOT NULL,
    key bigint NOT NULL,
    uid bigint NOT NULL,
    PRIMARY KEY (index_no, key, uid)
);

CREATE TABLE entity_pairs (
    index_no int NOT NULL,
    left_uid bigint NOT NULL,
    right_uid bigint NOT NULL,
    similarity double precision NOT NULL,
    bits bytea NOT NULL,
    duplicate boolean NOT NULL DEFAULT false,
    closed boolean NOT NULL DEFAULT false,
    model_version int NOT NULL DEFAULT 0,
    PRIMARY KEY (index_no, left_uid, right_uid),
    CHECK (left_uid < right_uid)
);
CREATE INDEX entity_pairs_right ON entity_pairs (index_no, right_uid, left_uid);
CREATE INDEX entity_pairs_closed ON entity_pairs (index_no, left_uid) WHERE closed;
CREATE INDEX entity_pairs_similarity ON entity_pairs (index_no, similarity DESC, left_uid, right_uid);

CREATE TABLE entity_dirty (
    index_no int NOT NULL,
    uid bigint NOT NULL,
    PRIMARY KEY (index_no, uid)
);

CREATE TABLE entity_labels (
    organization text NOT NULL,
    index_name text NOT NULL,
    left_uid bigint NOT NULL,
    right_uid bigint NOT NULL,
    left_id text NOT NULL,
    right_id text NOT NULL,
    duplicate boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, index_name, left_uid, right_uid)
);
"""

DROP = """
DROP TABLE entity_labels, entity_dirty, entity_pairs, entity_postings, entities, entity_index_counts, entity_indexes,
    job_failures, job_pages, job_events, jobs, idempotency_keys, invitations, api_keys, users, organizations;
DROP SEQUENCE entity_revisions;
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    op.execute(DROP)
