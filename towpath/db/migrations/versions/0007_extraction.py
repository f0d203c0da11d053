"""Extraction: blobs, pages of documents, extractions, templates, classifications, annotations, reviews.

Revision ID: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

DDL = """
CREATE TABLE blobs (
    organization text NOT NULL REFERENCES organizations (id),
    sha256 bytea NOT NULL,
    size bigint NOT NULL,
    chunks int NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, sha256)
);
CREATE TABLE blob_chunks (
    upload_id uuid NOT NULL,
    number int NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (upload_id, number)
);
ALTER TABLE blob_chunks ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE blobs ADD COLUMN upload_id uuid NOT NULL;
CREATE INDEX blobs_used ON blobs (used_at);
CREATE UNIQUE INDEX blobs_upload ON blobs (upload_id);

CREATE TABLE document_pages (
    organization text NOT NULL,
    sha256 bytea NOT NULL,
    variant text NOT NULL,
    page int NOT NULL,
    body bytea NOT NULL,
    confidence real,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, sha256, variant, page)
);
ALTER TABLE document_pages ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX document_pages_at ON document_pages (at);

CREATE TABLE document_images (
    organization text NOT NULL,
    sha256 bytea NOT NULL,
    page int NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, sha256, page)
);
ALTER TABLE document_images ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE extractions (
    job_id uuid PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    extract_id uuid NOT NULL,
    organization text NOT NULL,
    file_name text NOT NULL,
    document_url text,
    kind text,
    sha256 bytea,
    size bigint,
    pages_total int,
    pages int[],
    variant text,
    request json NOT NULL,
    metadata json,
    extracted json,
    template_id uuid
);
CREATE INDEX extractions_of_document ON extractions (organization, sha256) WHERE sha256 IS NOT NULL;

CREATE TABLE templates (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    name text NOT NULL,
    schema json,
    options json NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX templates_of ON templates (organization, created_at);

CREATE TABLE classifications (
    id uuid PRIMARY KEY,
    organization text NOT NULL REFERENCES organizations (id),
    name text NOT NULL,
    options json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE annotations (
    id uuid PRIMARY KEY,
    organization text NOT NULL,
    job_id uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    original json NOT NULL,
    annotated json NOT NULL,
    changes json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX annotations_of ON annotations (job_id, created_at);

CREATE TABLE annotation_revisions (
    annotation_id uuid NOT NULL REFERENCES annotations (id) ON DELETE CASCADE,
    revision int NOT NULL,
    annotated json NOT NULL,
    changes json NOT NULL,
    by uuid,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (annotation_id, revision)
);

CREATE TABLE reviews (
    job_id uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number int NOT NULL,
    status text NOT NULL,
    by uuid,
    comment text,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, number)
);
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    op.execute(
        "DROP TABLE reviews, annotation_revisions, annotations, classifications, templates, extractions,"
        " document_images, document_pages, blob_chunks, blobs"
    )
