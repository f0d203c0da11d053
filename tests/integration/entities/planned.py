"""What statements of the stores really do in Postgres: rows and blocks that they touch, counted by EXPLAIN ANALYZE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from typing import Any, cast

import numpy as np
from psycopg import sql

from towpath.db.engine import Connection

NUMBERS = count()
PLACEHOLDER = re.compile(r"%(?:\((?P<name>\w+)\))?[sb]")


class Counting:
    """A connection that explains each statement before it runs it, and adds up what that took.

    Args:
        connection: What runs the statements.
        generic: Whether to explain the plan that Postgres makes for any parameters: a connection that repeats a
            statement gets that one.

    Attributes:
        rows: Rows that any step of any plan has looked at, over all its loops.
        blocks: Blocks that the statements have read, from memory or disk.
        plans: The plans, for the message of a test that fails.
    """

    def __init__(self, connection: Connection, *, generic: bool = False) -> None:
        self._connection = connection
        self._generic = generic
        self.rows = 0
        self.blocks = 0
        self.plans: list[str] = []

    async def execute(self, query: str, params: Any = None, **options: Any) -> Any:
        """Explain, count, and run."""
        async with self._connection.transaction(force_rollback=True):
            explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)"
            if self._generic:
                prepared = await self._prepare(query, params)
                explained = await self._connection.execute(sql.SQL(explain + " {}").format(prepared))
            else:
                explained = await self._connection.execute(f"{explain} {query}", params)
            (told,) = await explained.fetchone() or ([],)
        plan = told[0]["Plan"]
        self.blocks += int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
        self._add(plan, 0)
        return await self._connection.execute(query, params, **options)

    async def _prepare(self, query: str, params: Any) -> sql.Composable:
        """Prepare a statement; a roll-back leaves it, so each has a name of its own."""
        numbers: dict[str, int] = {}
        values: list[Any] = []

        def number(match: re.Match[str]) -> str:
            name = match["name"] or str(len(values))
            if name not in numbers:
                values.append(params[name] if isinstance(params, Mapping) else params[len(values)])
                numbers[name] = len(values)
            return f"${numbers[name]}"

        name = sql.Identifier(f"counted_{next(NUMBERS)}")
        await self._connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await self._connection.execute(
            sql.SQL("PREPARE {} AS {}").format(name, sql.SQL(PLACEHOLDER.sub(number, query)))
        )
        if not values:
            return sql.SQL("EXECUTE {}").format(name)
        literals = [sql.Literal(value.tolist() if isinstance(value, np.ndarray) else value) for value in values]
        return sql.SQL("EXECUTE {} ({})").format(name, sql.SQL(", ").join(literals))

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
