"""What each organization may use: counters of requests, leases of streams, limits of its own.

Revision ID: 0014
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Counters and leases last a minute: not to be found after a crash of Postgres is no loss, and to log them would cost.
UPGRADE = """
CREATE UNLOGGED TABLE rate_counters (
    key text PRIMARY KEY,
    slot bigint NOT NULL,
    count bigint NOT NULL,
    previous bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL
);
CREATE INDEX rate_counters_old ON rate_counters (expires_at);

CREATE UNLOGGED TABLE leases (
    kind text NOT NULL,
    organization text NOT NULL,
    holder uuid NOT NULL,
    held int NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (kind, organization, holder)
);

CREATE TABLE organization_limits (
    organization text NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name text NOT NULL,
    most bigint NOT NULL CHECK (most >= 0),
    PRIMARY KEY (organization, name)
);

CREATE TABLE organization_use (
    organization text PRIMARY KEY,
    bytes bigint NOT NULL,
    measured_at timestamptz NOT NULL
);

CREATE INDEX jobs_in_flight ON jobs (organization) WHERE state IN ('PENDING', 'RUNNING', 'PAUSED');
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP INDEX jobs_in_flight")
    op.execute("DROP TABLE organization_use, organization_limits, leases, rate_counters")
