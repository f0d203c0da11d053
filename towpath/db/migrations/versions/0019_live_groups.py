"""Groups with names that last, their events, corrections by people, and how much of an index its model has not seen.

Groups that are there keep the numbers that they have. That a pair has no basis is the default: as it was scored.

Revision ID: 0019
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE entity_pairs ADD COLUMN basis text;
CREATE INDEX entity_pairs_basis ON entity_pairs (index_no, left_uid) WHERE basis IS NOT NULL;

ALTER TABLE entity_dirty ADD COLUMN gone_id text, ADD COLUMN gone_group bigint;
CREATE INDEX entity_dirty_gone ON entity_dirty (index_no, gone_group) WHERE gone_group IS NOT NULL;

ALTER TABLE entity_index_counts
    ADD COLUMN changes bigint NOT NULL DEFAULT 0,
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN trained_changes bigint NOT NULL DEFAULT 0;

ALTER TABLE entity_labels ADD COLUMN correction uuid;
CREATE INDEX entity_labels_right ON entity_labels (organization, index_name, right_uid);
CREATE INDEX entity_labels_correction ON entity_labels (correction) WHERE correction IS NOT NULL;

CREATE TABLE entity_groups (
    index_no    int NOT NULL,
    group_uid   bigint NOT NULL,
    size        int NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (index_no, group_uid)
);
CREATE INDEX entity_groups_largest ON entity_groups (index_no, size DESC, group_uid);
ALTER TABLE entity_groups ALTER COLUMN index_no SET STATISTICS 0;

CREATE TABLE entity_event_logs (
    organization text NOT NULL,
    index_name   text NOT NULL,
    last_seq     bigint NOT NULL DEFAULT 0,
    announced    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organization, index_name)
);

CREATE TABLE entity_events (
    organization text NOT NULL,
    index_name   text NOT NULL,
    seq          bigint NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    type         text NOT NULL,
    group_uid    bigint NOT NULL,
    cause        text NOT NULL,
    job_id       uuid,
    data         jsonb NOT NULL,
    PRIMARY KEY (organization, index_name, seq)
);
CREATE INDEX entity_events_group ON entity_events (organization, index_name, group_uid, seq);
CREATE INDEX entity_events_at ON entity_events (at);

CREATE TABLE entity_corrections (
    id           uuid PRIMARY KEY,
    organization text NOT NULL,
    index_name   text NOT NULL,
    kind         text NOT NULL,
    groups       bigint[] NOT NULL,
    names        jsonb NOT NULL,
    replaced     jsonb NOT NULL,
    created_by   uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    undone_at    timestamptz
);
CREATE INDEX entity_corrections_of ON entity_corrections (organization, index_name, created_at);

-- What tells of changes of groups belongs to no job.
ALTER TABLE deliveries ALTER COLUMN job_id DROP NOT NULL;
CREATE INDEX deliveries_of_no_job ON deliveries (created_at) WHERE job_id IS NULL;

-- An index that was fed by single writes alone has never been trained; it will be.
UPDATE entity_index_counts c SET changes = c.entities FROM entity_indexes i
WHERE i.index_no = c.index_no AND i.model IS NULL;

INSERT INTO entity_groups (index_no, group_uid, size, created_at)
SELECT e.index_no, e.group_uid, count(*), i.updated_at
FROM entities e JOIN entity_indexes i USING (index_no) WHERE e.group_uid IS NOT NULL
GROUP BY e.index_no, e.group_uid, i.updated_at;
"""

DOWNGRADE = """
DELETE FROM deliveries WHERE job_id IS NULL;
DROP INDEX deliveries_of_no_job;
ALTER TABLE deliveries ALTER COLUMN job_id SET NOT NULL;
DROP TABLE entity_corrections, entity_events, entity_event_logs, entity_groups;
ALTER TABLE entity_labels DROP COLUMN correction;
DROP INDEX entity_labels_right;
ALTER TABLE entity_index_counts DROP COLUMN changes, DROP COLUMN changed_at, DROP COLUMN trained_changes;
ALTER TABLE entity_dirty DROP COLUMN gone_id, DROP COLUMN gone_group;
DELETE FROM entity_pairs WHERE basis IS NOT NULL;
ALTER TABLE entity_pairs DROP COLUMN basis;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
