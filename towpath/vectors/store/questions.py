"""What a search asks for, and the parts of its SQL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from towpath.db.engine import Connection
from towpath.vectors.domain.filters import Every, Field, Node
from towpath.vectors.domain.ranking import DECIMALS
from towpath.vectors.store.filters import compile_filter, value_of
from towpath.vectors.types import SortOrder

EVERYTHING = Every(())


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of a page."""

    field: Field
    order: SortOrder
    similarity_first: bool


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for."""

    node: Node
    limit: int
    offset: int
    max_distance: float | None = None
    sort: Sort | None = None

    @property
    def end(self) -> int:
        """Results up to the end of the page."""
        return self.offset + self.limit

    @property
    def by_field(self) -> bool:
        """Whether the distance decides among equals only."""
        return self.sort is not None and not self.sort.similarity_first

    @property
    def most(self) -> float:
        """The greatest distance, to the decimals that distances have."""
        return math.inf if self.max_distance is None else round(self.max_distance, DECIMALS)


async def count_matches(connection: Connection, collection_no: int, node: Node) -> int:
    """Return how many live objects match."""
    if node == EVERYTHING:
        cursor = await connection.execute(
            "SELECT objects FROM vector_collections WHERE collection_no = %s", (collection_no,)
        )
    else:
        condition, values = compile_filter(node)
        cursor = await connection.execute(
            f"""
            SELECT count(*) FROM vector_objects o
            WHERE o.collection_no = %s AND o.version IS NOT NULL AND {condition}
            """,
            (collection_no, *values),
        )
    return int((await cursor.fetchone() or (0,))[0])


def order_by(sort: Sort | None, *, by_distance: bool = False) -> tuple[str, list[Any]]:
    """Return the first part of an ORDER BY over rows `o` of objects and `near` of distances, with its parameters."""
    near = "near.distance, " if by_distance else ""
    if sort is None:
        return near, []
    value, values = value_of(sort.field)
    way = "DESC" if sort.order is SortOrder.DESC else "ASC"
    by_field = f"({value}) {way} NULLS LAST, "
    return (near + by_field) if sort.similarity_first else (by_field + near), values
