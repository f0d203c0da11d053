"""Every question that a language model's provider was paid for, and what jobs with a cap have set aside.

Revision ID: 0027
"""

from __future__ import annotations

from alembic import op

revision = "0027"
down_revision = "0028"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE llm_ledger (
    id                 uuid PRIMARY KEY,
    organization       text NOT NULL,
    job_id             uuid NOT NULL,
    kind               text NOT NULL,
    attempt            integer NOT NULL,
    model              text NOT NULL,
    digest             bytea,
    purpose            text NOT NULL,
    item               integer,
    input_tokens       bigint NOT NULL,
    cache_read_tokens  bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    output_tokens      bigint NOT NULL,
    usd                double precision NOT NULL,
    outcome            text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX llm_ledger_by_job ON llm_ledger (job_id, digest);
CREATE INDEX llm_ledger_by_organization ON llm_ledger (organization, created_at);

CREATE TABLE llm_reservations (
    id     uuid PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    usd    double precision NOT NULL,
    until  timestamptz NOT NULL
);
CREATE INDEX llm_reservations_by_job ON llm_reservations (job_id);

ALTER TABLE jobs ADD COLUMN max_cost_usd double precision;
"""
# What was paid before there was a ledger: a line for each job that has a cost, and for each record whose job is gone.
EARLIER = """
INSERT INTO llm_ledger (id, organization, job_id, kind, attempt, model, purpose, input_tokens, cache_read_tokens,
                        cache_write_tokens, output_tokens, usd, outcome, created_at)
SELECT gen_random_uuid(), j.organization, j.id, j.kind, j.attempt, '', 'earlier', j.input_tokens, 0, 0,
       j.output_tokens, j.cost_usd, 'answered', coalesce(j.completed_at, j.created_at)
FROM jobs j WHERE j.kind NOT LIKE 'vector%' AND (j.cost_usd > 0 OR j.input_tokens > 0);
INSERT INTO llm_ledger (id, organization, job_id, kind, attempt, model, purpose, input_tokens, cache_read_tokens,
                        cache_write_tokens, output_tokens, usd, outcome, created_at)
SELECT gen_random_uuid(), r.organization, r.job_id, 'batch_enrichment', 1, coalesce(r.model_composite_key, ''),
       'earlier', r.input_tokens, 0, 0, r.output_tokens, r.cost_usd, 'answered', r.created_at
FROM records r
WHERE r.job_id IS NOT NULL AND r.cost_usd > 0 AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = r.job_id);
UPDATE jobs
SET max_cost_usd = coalesce(params ->> 'max_cost_usd', params -> 'plan' ->> 'max_cost_usd')::double precision
WHERE state IN ('PENDING', 'RUNNING', 'PAUSED')
AND coalesce(params ->> 'max_cost_usd', params -> 'plan' ->> 'max_cost_usd') IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(UPGRADE)
    op.execute(EARLIER)


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN max_cost_usd")
    op.execute("DROP TABLE llm_reservations")
    op.execute("DROP TABLE llm_ledger")
