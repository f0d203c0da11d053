"""The planner's statistics of the tables of entities, taken when a job has changed much of them.

Autovacuum takes them too, but only a minute or more after a large write, and the next phase reads at once. What is
read for it does not grow with the tables: Postgres samples some 30,000 rows of each. Of `index_no` there are none on
purpose, see migration 0010.
"""

from __future__ import annotations

from typing import Literal

from towpath.db.engine import Database

Table = Literal["entities", "entity_postings", "entity_pairs"]

MIN_ROWS = 1_000
"""Fewer rows are read in no time by any plan."""
SHARE = 0.1
"""The part of a table that must be new: as autovacuum has it."""


async def refresh_statistics(database: Database, *tables: Table, entities: int) -> bool:
    """Analyse some tables if that many entities are much of what is stored; a table that is being analysed is left.

    Args:
        database: Where they are.
        tables: What a phase has written to.
        entities: How many entities it was that the phase went through.

    Returns:
        Whether it was worth it.
    """
    if entities < MIN_ROWS:
        return False
    async with database.statement() as connection:
        cursor = await connection.execute("SELECT reltuples FROM pg_class WHERE oid = 'entities'::regclass")
        analyzed = (await cursor.fetchone() or (0,))[0]
        if entities < SHARE * analyzed:
            return False
        await connection.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(tables)}")
    return True
