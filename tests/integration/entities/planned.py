"""What statements of the stores really do in Postgres: rows and blocks that they touch, counted by EXPLAIN ANALYZE."""

from __future__ import annotations

from typing import Any, cast

from towpath.db.engine import Connection


class Counting:
    """A connection that explains each statement before it runs it, and adds up what that took.

    Attributes:
        rows: Rows that any step of any plan has looked at, over all its loops.
        blocks: Blocks that the statements have read, from memory or disk.
        plans: The plans, for the message of a test that fails.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rows = 0
        self.blocks = 0
        self.plans: list[str] = []

    async def execute(self, query: str, params: Any = None, **options: Any) -> Any:
        """Explain, count, and run."""
        async with self._connection.transaction(force_rollback=True):
            explained = await self._connection.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query}", params
            )
            (told,) = await explained.fetchone() or ([],)
        plan = told[0]["Plan"]
        self.blocks += int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
        self._add(plan, 0)
        return await self._connection.execute(query, params, **options)

    def _add(self, node: dict[str, Any], depth: int) -> None:
        loops = node["Actual Loops"]
        seen = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * loops
        seen += node.get("Rows Removed by Join Filter", 0) * loops
        self.rows += round(seen)
        name = " ".join(str(node.get(key, "")) for key in ("Node Type", "Index Name", "Index Cond", "Filter"))
        estimate = f"estimated {node['Plan Rows']}, found {node['Actual Rows']} x {loops}"
        self.plans.append(f"{'  ' * depth}{name[:150]}: {estimate}")
        for child in node.get("Plans", []):
            self._add(child, depth + 1)

    @property
    def connection(self) -> Connection:
        """For the functions of the stores."""
        return cast(Connection, self)

    def __str__(self) -> str:
        return "\n".join([f"{self.rows} rows, {self.blocks} blocks", *self.plans])
