"""What language models say of pairs of entities, beside the labels of people.

Revision ID: 0024
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0026"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE entity_judgements (
    organization text NOT NULL,
    index_name   text NOT NULL,
    left_uid     bigint NOT NULL,
    right_uid    bigint NOT NULL,
    left_id      text NOT NULL,
    right_id     text NOT NULL,
    left_digest  bytea NOT NULL,
    right_digest bytea NOT NULL,
    answer       text NOT NULL,
    reason       text NOT NULL,
    model        text NOT NULL,
    job_id       uuid NOT NULL,
    cost_usd     double precision NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, index_name, left_uid, right_uid)
);
CREATE INDEX entity_judgements_right ON entity_judgements (organization, index_name, right_uid);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    # What follows from a judgement is decided anew from what is left.
    op.execute(
        """
        INSERT INTO entity_dirty (index_no, uid)
        SELECT index_no, uid FROM (
            SELECT index_no, left_uid FROM entity_pairs WHERE basis IN ('judged_same', 'judged_different')
            UNION SELECT index_no, right_uid FROM entity_pairs WHERE basis IN ('judged_same', 'judged_different')
        ) judged(index_no, uid) ON CONFLICT DO NOTHING
        """
    )
    op.execute("UPDATE entity_pairs SET basis = 'rival' WHERE basis IN ('judged_same', 'judged_different')")
    op.execute("DROP TABLE entity_judgements")
