"""No statistics of `index_no`, so that a plan cannot depend on when they were taken.

With statistics that hold every other index, the planner takes a fresh one to have no rows at all: every index of a
table then seems to find its one row equally fast, and joins begin where they should end. Without statistics it takes
each index for a two-hundredth of its table, and the keys that are the most selective are looked up.

Revision ID: 0010
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = ("entities", "entity_postings", "entity_pairs", "entity_dirty")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN index_no SET STATISTICS 0")
        # To the type that it has: nothing is rewritten, but what was known of the column is forgotten.
        op.execute(f"ALTER TABLE {table} ALTER COLUMN index_no TYPE int")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN index_no SET STATISTICS -1")
