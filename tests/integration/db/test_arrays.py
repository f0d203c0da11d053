"""Arrays of numpy as parameters: what arrives in Postgres is what was sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest

from towpath.db.engine import Database


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (np.array([1, -(1 << 63), (1 << 63) - 1], dtype=np.int64), "bigint[]"),
        (np.array([], dtype=np.int64), "bigint[]"),
        (np.arange(10, dtype=np.int64)[::-3], "bigint[]"),
        (np.array([0.1, -0.0, 1e308, np.inf]), "double precision[]"),
        (np.array([], dtype=np.float64), "double precision[]"),
        (np.array([True, False]), "boolean[]"),
    ],
    ids=str,
)
async def test_an_array_arrives_as_it_is(database: Database, sent: Any, kind: str) -> None:
    async with database.transaction() as connection:
        cursor = await connection.execute("SELECT %s, pg_typeof(%s)::text", (sent, sent))
        came, named = await cursor.fetchone() or ([], "")

    assert came == sent.tolist()
    assert named == kind


async def test_arrays_of_different_types_stand_side_by_side(database: Database) -> None:
    numbers, shares, flags = np.array([3, 4]), np.array([0.5, 0.25]), np.array([True, False])
    async with database.transaction() as connection:
        for _ in range(4):
            # Prepared by now: the types belong to the statement.
            cursor = await connection.execute(
                "SELECT * FROM unnest(%s::bigint[], %s::float8[], %s::bool[])", (numbers, shares, flags)
            )

    assert await cursor.fetchall() == [(3, 0.5, True), (4, 0.25, False)]


@pytest.mark.parametrize("sent", [np.zeros((2, 2), dtype=np.int64), np.zeros(2, dtype=np.int32)], ids=["2d", "int32"])
async def test_an_array_without_a_counterpart_is_refused(database: Database, sent: Any) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="no array of Postgres"):
        async with database.transaction() as connection:
            await connection.execute("SELECT %s", (sent,))
