"""Vector collections.

Revision ID: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DDL = """
ALTER TABLE job_failures ADD COLUMN item text;

CREATE INDEX jobs_by_kind ON jobs (organization, kind, created_at DESC, id);

CREATE SEQUENCE vector_orders;

CREATE TABLE vector_collections (
    collection_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization text NOT NULL,
    name text NOT NULL,
    model text NOT NULL,
    objects bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization, name, model)
) WITH (fillfactor = 50);

CREATE TABLE vector_objects (
    collection_no int NOT NULL,
    uid bigint NOT NULL,
    object_id text NOT NULL,
    accepted bigint NOT NULL,
    version bigint,
    parts int NOT NULL DEFAULT 0,
    digest bytea,
    payload jsonb,
    item_info jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection_no, uid)
) WITH (fillfactor = 80);
CREATE INDEX vector_objects_payload ON vector_objects USING gin (payload jsonb_path_ops);
CREATE INDEX vector_objects_gone ON vector_objects (accepted) WHERE version IS NULL;

CREATE TABLE vector_parts (
    collection_no int NOT NULL,
    uid bigint NOT NULL,
    version bigint NOT NULL,
    part int NOT NULL,
    vector bytea NOT NULL,
    PRIMARY KEY (collection_no, uid, version, part)
);
ALTER TABLE vector_parts ALTER COLUMN vector SET STORAGE EXTERNAL;

CREATE TABLE vector_garbage (
    collection_no int NOT NULL,
    uid bigint NOT NULL,
    version bigint NOT NULL,
    parts int NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (collection_no, uid, version)
);
CREATE INDEX vector_garbage_due ON vector_garbage (due_at);
"""

DROP = """
DROP TABLE vector_garbage, vector_parts, vector_objects, vector_collections;
DROP SEQUENCE vector_orders;
DROP INDEX jobs_by_kind;
ALTER TABLE job_failures DROP COLUMN item;
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    op.execute(DROP)
