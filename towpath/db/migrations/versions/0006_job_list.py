"""The job list: reviews and templates of jobs, and kept counts of them by time.

Revision ID: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE jobs
    ADD COLUMN review_status text,
    ADD COLUMN template_id uuid,
    ADD COLUMN retrying boolean NOT NULL DEFAULT false,
    ADD COLUMN state_changed_at timestamptz NOT NULL DEFAULT now();
-- Made anew below with all that the list filters by; until then the update has an index less to write.
DROP INDEX jobs_newest;
UPDATE jobs SET state_changed_at = coalesce(completed_at, updated_at);
CREATE INDEX jobs_newest ON jobs (organization, created_at DESC, id DESC)
    INCLUDE (kind, state, retrying, review_status, template_id, user_id);
CREATE INDEX jobs_of_user ON jobs (organization, user_id, created_at)
    INCLUDE (kind, state, retrying, review_status, template_id) WHERE user_id IS NOT NULL;
"""

TABLES = """
-- What happened to jobs and is not yet in the counts.
CREATE TABLE job_deltas (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization text NOT NULL,
    created_at timestamptz NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    retrying boolean NOT NULL,
    review_status text,
    template_id uuid,
    owned boolean NOT NULL,
    jobs int NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX job_deltas_of ON job_deltas (organization, created_at);

-- Stretches of created_at, each up to the next of its level: 0 blocks, 1 spans of many blocks.
CREATE TABLE job_blocks (
    organization text NOT NULL,
    level smallint NOT NULL,
    from_at timestamptz NOT NULL,
    jobs bigint NOT NULL,
    split_at bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organization, level, from_at)
);

-- Jobs that are alike in all that the list filters by; without a template it is jobs of any.
CREATE TABLE job_facets (
    facet bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization text NOT NULL,
    template_id uuid,
    kind text NOT NULL,
    state text NOT NULL,
    retrying boolean NOT NULL,
    review_status text,
    owned boolean NOT NULL,
    jobs bigint NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX job_facets_once ON job_facets
    (organization, template_id, kind, state, retrying, review_status, owned) NULLS NOT DISTINCT;

CREATE TABLE job_counts (
    facet bigint NOT NULL,
    level smallint NOT NULL,
    from_at timestamptz NOT NULL,
    jobs bigint NOT NULL,
    PRIMARY KEY (facet, level, from_at) INCLUDE (jobs)
);
CREATE INDEX job_counts_empty ON job_counts (facet) WHERE jobs = 0;
"""

# Only appended to: transactions that write different jobs have no row in common and never wait for each other.
TRIGGERS = """
CREATE FUNCTION jobs_stamp_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.state_changed_at := now();
    RETURN NEW;
END $$;
-- By columns, so that updates of anything else, which are most, do not come here at all.
CREATE TRIGGER jobs_state_changed BEFORE UPDATE OF state, retrying, review_status ON jobs FOR EACH ROW
    WHEN ((OLD.state, OLD.retrying, OLD.review_status) IS DISTINCT FROM (NEW.state, NEW.retrying, NEW.review_status))
    EXECUTE FUNCTION jobs_stamp_state();

CREATE FUNCTION jobs_count_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_deltas
        (organization, created_at, kind, state, retrying, review_status, template_id, owned, jobs)
    SELECT organization, created_at, kind, state, retrying, review_status, template_id, user_id IS NOT NULL,
        TG_ARGV[0]::int FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_count_all(1);
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_count_all('-1');

CREATE FUNCTION jobs_count_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_deltas
        (organization, created_at, kind, state, retrying, review_status, template_id, owned, jobs)
    VALUES (OLD.organization, OLD.created_at, OLD.kind, OLD.state, OLD.retrying, OLD.review_status, OLD.template_id,
            OLD.user_id IS NOT NULL, -1),
           (NEW.organization, NEW.created_at, NEW.kind, NEW.state, NEW.retrying, NEW.review_status, NEW.template_id,
            NEW.user_id IS NOT NULL, 1);
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_moved
    AFTER UPDATE OF organization, created_at, kind, state, retrying, review_status, template_id, user_id ON jobs
    FOR EACH ROW
    WHEN ((OLD.organization, OLD.created_at, OLD.kind, OLD.state, OLD.retrying, OLD.review_status, OLD.template_id,
           OLD.user_id) IS DISTINCT FROM
          (NEW.organization, NEW.created_at, NEW.kind, NEW.state, NEW.retrying, NEW.review_status, NEW.template_id,
           NEW.user_id))
    EXECUTE FUNCTION jobs_count_move();
"""

# A job from before counts like one that was inserted now; housekeeping folds them all, and until then reads add them.
EXISTING = """
INSERT INTO job_deltas (organization, created_at, kind, state, retrying, review_status, template_id, owned, jobs)
SELECT organization, created_at, kind, state, retrying, review_status, template_id, user_id IS NOT NULL, 1
FROM jobs ORDER BY created_at;
"""


def upgrade() -> None:
    for statements in (COLUMNS, TABLES, TRIGGERS, EXISTING):
        op.execute(statements)


def downgrade() -> None:
    op.execute(
        """
        DROP TRIGGER jobs_state_changed ON jobs;
        DROP TRIGGER jobs_inserted ON jobs;
        DROP TRIGGER jobs_deleted ON jobs;
        DROP TRIGGER jobs_moved ON jobs;
        DROP FUNCTION jobs_stamp_state, jobs_count_all, jobs_count_move;
        DROP TABLE job_counts, job_facets, job_blocks, job_deltas;
        DROP INDEX jobs_of_user, jobs_newest;
        ALTER TABLE jobs DROP COLUMN review_status, DROP COLUMN template_id, DROP COLUMN retrying,
            DROP COLUMN state_changed_at;
        CREATE INDEX jobs_newest ON jobs (organization, created_at DESC, id DESC);
        """
    )
