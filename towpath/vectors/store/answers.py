"""Answers to searches that have more pages: every page of a search is cut from the one answer that its first page made.

An answer is a list of places: which object, in which version, how far. It grows at its end when a reader goes on,
by what a new look finds beyond it, so that no place is ever given twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection, Database

Places = npt.NDArray[np.void]
PLACE = np.dtype([("uid", ">i8"), ("version", ">i8"), ("distance", ">f8")])
PACKED = "int8send({0}.uid) || int8send({0}.version) || float8send({0}.distance)"
"""A place of a row in SQL; `np.frombuffer` with `PLACE` reads what `string_agg` makes of them."""
# Places that an answer has beyond what was asked for, where they are known anyway.
ROOM = 100
MINUTES = 10
# Of a collection; a reader of an older one begins anew.
MAX_ANSWERS = 20_000


@dataclass(slots=True)
class Ranking:
    """Objects in their order, as far as they were looked for.

    Attributes:
        places: Which.
        complete: There are no more.
        total: How many there are; None: not known without looking at everything.
    """

    places: Places
    complete: bool
    total: int | None


@dataclass(slots=True)
class Answer:
    """A ranking that pages are cut from; `served` is how far it has been read, `id` None: it is not stored."""

    ranking: Ranking
    id: int | None = None
    served: int = 0
    revision: int = 0
    changed: bool = field(default=False)


def unpack_places(packed: bytes | None) -> Places:
    """Places out of the database."""
    return np.frombuffer(packed or b"", dtype=PLACE)


async def find_answer(database: Database, collection_no: int, question: bytes, offset: int) -> Answer | None:
    """Return the stored answer that a later page belongs to: the one that was read up to there, else the newest."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            """
            SELECT places, complete, total, id, served, revision FROM vector_answers
            WHERE collection_no = %s AND question = %s AND expires_at > now()
            ORDER BY (served = %s) DESC, id DESC LIMIT 1
            """,
            (collection_no, question, offset),
            binary=True,
        )
        row = await cursor.fetchone()
    return None if row is None else Answer(Ranking(unpack_places(row[0]), *row[1:3]), *row[3:])


async def save_answer(connection: Connection, collection_no: int, question: bytes, answer: Answer, *, end: int) -> bool:
    """Store an answer whose places up to `end` are shown now.

    Returns:
        False: somebody else has changed it since it was read.
    """
    places = answer.ranking.places.tobytes() if answer.changed or answer.id is None else None
    served = max(answer.served, end)
    if answer.id is None:
        # Not waiting for the disk: when the database itself dies within the second, the next page begins anew.
        await connection.execute(
            """
            WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
            INSERT INTO vector_answers (collection_no, question, places, complete, total, served, expires_at)
            SELECT %s, %s, %s, %s, %s::bigint, %s, now() + make_interval(mins => %s) FROM quick
            """,
            (
                collection_no, question, places, answer.ranking.complete, answer.ranking.total, served, MINUTES,
            ),
        )  # fmt: skip
        return True
    deleted = await connection.execute(
        """
        UPDATE vector_answers SET served = greatest(served, %s), expires_at = now() + make_interval(mins => %s),
            places = coalesce(%s::bytea, places), complete = %s, revision = revision + %s
        WHERE id = %s AND revision = %s
        """,
        (
            served, MINUTES, places, answer.ranking.complete, int(answer.changed), answer.id, answer.revision,
        ),
    )  # fmt: skip
    return deleted.rowcount == 1


async def sweep_answers(database: Database) -> int:
    """Delete answers that nobody has read on in for a while, and the oldest of too many."""
    async with database.transaction() as connection:
        deleted = await connection.execute(
            """
            DELETE FROM vector_answers a USING (
                SELECT collection_no, (
                    SELECT id FROM vector_answers n WHERE n.collection_no = c.collection_no
                    ORDER BY id DESC OFFSET %s LIMIT 1
                ) AS oldest FROM vector_collections c
            ) AS edge
            WHERE a.collection_no = edge.collection_no AND (a.expires_at <= now() OR a.id <= edge.oldest)
            """,
            (MAX_ANSWERS,),
        )
        return deleted.rowcount


def concatenate(places: Places, more: Places) -> Places:
    """Concatenate arrays; numpy itself would give the numbers another order of bytes than the database has."""
    return unpack_places(places.tobytes() + more.tobytes())


def exclude(places: Places, listed: Places) -> Places:
    """Return those places whose objects are not among the known ones."""
    return places[~np.isin(places["uid"], listed["uid"])] if len(listed) else places


def split_places(places: Places) -> tuple[list[int], list[int], list[Any]]:
    """Uids, versions and distances."""
    return places["uid"].tolist(), places["version"].tolist(), places["distance"].tolist()
