"""A question that no person has asked is for keys of the organization: persons' lists and counts leave it out.

Revision ID: 0018
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

OWNED = """
CREATE FUNCTION job_owned(user_id uuid, kind text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN user_id IS NOT NULL OR kind IN ('ai_job', 'topic_choice', 'query_generation');
"""

# As they were made with the job list, but for what `owned` is.
TRIGGERS = """
CREATE OR REPLACE FUNCTION jobs_count_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_deltas
        (organization, created_at, kind, state, retrying, review_status, template_id, owned, jobs)
    SELECT organization, created_at, kind, state, retrying, review_status, template_id, {owned},
        TG_ARGV[0]::int FROM changed;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION jobs_count_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_deltas
        (organization, created_at, kind, state, retrying, review_status, template_id, owned, jobs)
    VALUES (OLD.organization, OLD.created_at, OLD.kind, OLD.state, OLD.retrying, OLD.review_status, OLD.template_id,
            {old}, -1),
           (NEW.organization, NEW.created_at, NEW.kind, NEW.state, NEW.retrying, NEW.review_status, NEW.template_id,
            {new}, 1);
    RETURN NULL;
END $$;
"""

# Moves what is counted already, as a job that changes does; housekeeping folds it.
MOVE = """
INSERT INTO job_deltas (organization, created_at, kind, state, retrying, review_status, template_id, owned, jobs)
SELECT organization, created_at, kind, state, retrying, review_status, template_id, change.owned, change.jobs
FROM jobs CROSS JOIN (VALUES ({was}, -1), ({becomes}, 1)) AS change (owned, jobs)
WHERE user_id IS NULL AND kind IN ('ai_job', 'topic_choice', 'query_generation')
ORDER BY created_at;
"""


def upgrade() -> None:
    # No job is counted by the functions of before while those that are there are moved.
    op.execute("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE")
    op.execute(OWNED)
    op.execute(
        TRIGGERS.format(
            owned="job_owned(user_id, kind)",
            old="job_owned(OLD.user_id, OLD.kind)",
            new="job_owned(NEW.user_id, NEW.kind)",
        )
    )
    op.execute(MOVE.format(was="false", becomes="true"))


def downgrade() -> None:
    op.execute("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE")
    op.execute(
        TRIGGERS.format(owned="user_id IS NOT NULL", old="OLD.user_id IS NOT NULL", new="NEW.user_id IS NOT NULL")
    )
    op.execute(MOVE.format(was="true", becomes="false"))
    op.execute("DROP FUNCTION job_owned")
