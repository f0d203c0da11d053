"""Vectors: equal ones are stored once, and the pages of a search come from one answer.

Revision ID: 0012
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# The texts of parts are not kept. Parts of equal texts are told by their version and number, and equal parts of
# one text by their vectors. The index is filled by the housekeeping; until then `indexed` is false.
DDL = """
CREATE TABLE vector_entries (
    collection_no int NOT NULL,
    entry bigint NOT NULL,
    vector bytea NOT NULL,
    PRIMARY KEY (collection_no, entry)
);
ALTER TABLE vector_entries ALTER COLUMN vector SET STORAGE EXTERNAL;

ALTER TABLE vector_parts RENAME TO vector_parts_former;
ALTER INDEX vector_parts_pkey RENAME TO vector_parts_former_pkey;

CREATE TEMPORARY TABLE part_entries ON COMMIT DROP AS
SELECT DISTINCT ON (collection_no, version, part) collection_no, version, part, uid,
    ('x' || substr(md5(vector), 1, 16))::bit(64)::bigint & 9223372036854775807 AS entry
FROM vector_parts_former ORDER BY collection_no, version, part, uid;
ANALYZE part_entries;

INSERT INTO vector_entries (collection_no, entry, vector)
SELECT collection_no, entry, vector FROM part_entries
JOIN vector_parts_former USING (collection_no, version, part, uid)
ON CONFLICT DO NOTHING;

CREATE TABLE vector_parts (
    collection_no int NOT NULL,
    uid bigint NOT NULL,
    version bigint NOT NULL,
    part int NOT NULL,
    entry bigint NOT NULL,
    PRIMARY KEY (collection_no, uid, version, part),
    FOREIGN KEY (collection_no, entry) REFERENCES vector_entries
);
INSERT INTO vector_parts (collection_no, uid, version, part, entry)
SELECT p.collection_no, p.uid, p.version, p.part, e.entry FROM vector_parts_former p
JOIN part_entries e USING (collection_no, version, part);
CREATE INDEX vector_parts_entry ON vector_parts (collection_no, entry);
DROP TABLE vector_parts_former;

ALTER TABLE vector_collections
    ADD COLUMN collected bigint NOT NULL DEFAULT 0, ADD COLUMN indexed boolean NOT NULL DEFAULT true;
UPDATE vector_collections SET indexed = false WHERE objects > 0;

CREATE INDEX vector_objects_version ON vector_objects (collection_no, version) WHERE version IS NOT NULL;

CREATE TABLE vector_answers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection_no int NOT NULL,
    question bytea NOT NULL,
    places bytea NOT NULL,
    complete boolean NOT NULL,
    total bigint,
    served int NOT NULL,
    revision int NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL
);
ALTER TABLE vector_answers ALTER COLUMN places SET STORAGE EXTERNAL;
CREATE INDEX vector_answers_question ON vector_answers (collection_no, question, id);
CREATE INDEX vector_answers_collection ON vector_answers (collection_no, id);
CREATE INDEX vector_answers_expiry ON vector_answers (expires_at);
"""

DROP = """
DROP TABLE vector_answers;
DROP INDEX vector_objects_version;
ALTER TABLE vector_collections DROP COLUMN collected, DROP COLUMN indexed;
DROP INDEX vector_parts_entry;
ALTER TABLE vector_parts DROP CONSTRAINT vector_parts_collection_no_entry_fkey;
ALTER TABLE vector_parts ADD COLUMN vector bytea;
UPDATE vector_parts p SET vector = e.vector FROM vector_entries e
WHERE p.collection_no = e.collection_no AND p.entry = e.entry;
ALTER TABLE vector_parts ALTER COLUMN vector SET NOT NULL;
ALTER TABLE vector_parts ALTER COLUMN vector SET STORAGE EXTERNAL;
ALTER TABLE vector_parts DROP COLUMN entry;
DROP TABLE vector_entries;
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    op.execute(DROP)
