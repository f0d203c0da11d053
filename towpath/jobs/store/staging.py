"""Staged pages: what a client sent, kept by reference until the workflow has been through it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import numpy as np
import numpy.typing as npt

from towpath.core.errors import ErrorCode
from towpath.db.engine import Connection, Database
from towpath.jobs.domain import Outcome, Outcomes, count_outcomes, make_waiting_outcomes, mark_superseded
from towpath.jobs.types import FailedItem

Uids = npt.NDArray[np.int64]
LINE_BREAK = b"\n"


@dataclass(slots=True)
class StagedItem:
    """One item as it came: its JSON without line breaks, or why it cannot be taken."""

    raw: bytes
    uid: int = 0
    id: str | None = None
    code: ErrorCode | None = None
    message: str = ""


@dataclass(slots=True)
class Page:
    """A staged page: item `i` has position `first_index + i` in the request; `lines` may not have been loaded."""

    page: int
    first_index: int
    lines: list[bytes]
    uids: Uids
    outcomes: Outcomes
    steps: int


async def stage_page(connection: Connection, job_id: UUID, page: int, first_index: int, items: list[StagedItem]) -> int:
    """Write one page, and a failure row for each item that cannot be taken.

    Returns:
        How many items had failed already.
    """
    outcomes = make_waiting_outcomes(len(items))
    bad = [position for position, item in enumerate(items) if item.code is not None]
    outcomes[bad] = Outcome.FAILED
    await connection.execute(
        """
        INSERT INTO job_pages (job_id, page, first_index, items, body, uids, outcomes)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (
            job_id, page, first_index, len(items),
            # Level 1: half the time of the default for a tenth more bytes.
            zlib.compress(LINE_BREAK.join(item.raw for item in items), 1),
            np.array([item.uid for item in items], dtype=np.int64).tobytes(),
            outcomes.tobytes(),
        ),
    )  # fmt: skip
    return len(bad)


async def load_page(
    connection: Connection, job_id: UUID, page: int, *, lock: bool = True, with_lines: bool = True
) -> Page:
    """Load one page.

    Args:
        connection: In the transaction that works with it.
        job_id: Whose page.
        page: Its number.
        lock: Whether it is held until the transaction ends.
        with_lines: Whether the items themselves are needed; without them `lines` is empty, and nothing decompressed.

    Raises:
        LookupError: The job has no such page.
    """
    cursor = await connection.execute(
        "SELECT page, first_index, CASE WHEN %s THEN body END, uids, outcomes, steps FROM job_pages"
        " WHERE job_id = %s AND page = %s" + (" FOR UPDATE" if lock else ""),
        (with_lines, job_id, page),
        binary=True,
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError(f"job {job_id} has no page {page}")
    number, first_index, body, uids, outcomes, steps = row
    return Page(
        page=number,
        first_index=first_index,
        lines=[] if body is None else zlib.decompress(body).split(LINE_BREAK),
        uids=np.frombuffer(uids, dtype=np.int64),
        outcomes=np.frombuffer(outcomes, dtype=np.uint8).copy(),
        steps=steps,
    )


async def save_outcomes(connection: Connection, job_id: UUID, page: int, outcomes: Outcomes, steps: int) -> None:
    """Write back what became of a page's items."""
    await connection.execute(
        "UPDATE job_pages SET outcomes = %s, steps = %s WHERE job_id = %s AND page = %s",
        (outcomes.tobytes(), steps, job_id, page),
    )


async def settle_item(connection: Connection, job_id: UUID, page: int, position: int, outcome: Outcome) -> bool:
    """Write what became of one waiting item.

    Returns:
        Whether it was waiting: a repeat changes nothing.
    """
    updated = await connection.execute(
        """
        UPDATE job_pages SET outcomes = set_byte(outcomes, %(place)s, %(outcome)s)
        WHERE job_id = %(job)s AND page = %(page)s AND get_byte(outcomes, %(place)s) = %(waiting)s
        """,
        {"job": job_id, "page": page, "place": position, "outcome": int(outcome), "waiting": int(Outcome.WAITING)},
    )
    return updated.rowcount == 1


async def add_failures(connection: Connection, job_id: UUID, failures: Sequence[FailedItem]) -> None:
    """Write a row for each failed item; a repeat replaces."""
    if not failures:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO job_failures (job_id, item_index, item_id, stage, code, message, item)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (job_id, item_index) DO UPDATE
            SET stage = excluded.stage, code = excluded.code, message = excluded.message, item = excluded.item
            """,
            [(job_id, f.index, f.id, f.stage, f.code, f.message, f.item) for f in failures],
        )


async def read_failures(database: Database, job_id: UUID, *, limit: int, offset: int) -> tuple[list[FailedItem], int]:
    """Load a page of failed items by position, and how many there are."""
    async with database.transaction() as connection:
        counted = await connection.execute("SELECT count(*) FROM job_failures WHERE job_id = %s", (job_id,))
        total = (await counted.fetchone() or (0,))[0]
        cursor = await connection.execute(
            """
            SELECT item_index, item_id, stage, code, message FROM job_failures
            WHERE job_id = %s ORDER BY item_index LIMIT %s OFFSET %s
            """,
            (job_id, limit, offset),
        )
        rows = await cursor.fetchall()
    return [FailedItem(index=r[0], id=r[1], stage=r[2], code=ErrorCode(r[3]), message=r[4]) for r in rows], total


class Retake(StrEnum):
    """Which items an attempt takes up again."""

    NONE = "none"
    FAILED = "failed"
    ALL = "all"


async def has_unfinished_items(connection: Connection, job_id: UUID) -> bool:
    """Return whether an item of a job has failed or is still waiting."""
    cursor = await connection.execute("SELECT outcomes FROM job_pages WHERE job_id = %s", (job_id,), binary=True)
    outcomes = np.frombuffer(b"".join([row[0] async for row in cursor]), dtype=np.uint8)
    return bool(np.isin(outcomes, [Outcome.WAITING, Outcome.INDEXED, Outcome.FAILED, Outcome.SKIPPED]).any())


async def plan_pages(connection: Connection, job_id: UUID, *, retake: Retake) -> list[int]:
    """Decide which pages have work left, in a transaction that holds the job.

    The first call marks every item whose id comes again later in the request. Items that could not be
    staged stay failed.

    Args:
        connection: In the transaction.
        job_id: The job.
        retake: Which items go back to waiting first.

    Returns:
        The numbers of the pages that hold an unfinished item, rising. The job's counts are set anew.
    """
    cursor = await connection.execute(
        "SELECT page, uids, outcomes FROM job_pages WHERE job_id = %s ORDER BY page", (job_id,), binary=True
    )
    rows = await cursor.fetchall()
    pages = [row[0] for row in rows]
    sizes = [len(row[2]) for row in rows]
    uids = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.int64)
    outcomes = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.uint8).copy()
    open_items = outcomes == Outcome.WAITING
    outcomes[open_items & mark_superseded(uids)] = Outcome.SUPERSEDED
    if retake is not Retake.NONE:
        again = np.isin(outcomes, [Outcome.FAILED, Outcome.SKIPPED]) | (
            (outcomes != Outcome.SUPERSEDED) & (retake is Retake.ALL)
        )
        outcomes[again & (uids != 0)] = Outcome.WAITING
        await connection.execute("DELETE FROM job_failures WHERE job_id = %s AND stage <> 'staging'", (job_id,))
    open_items = (outcomes == Outcome.WAITING) | (outcomes == Outcome.INDEXED)
    todo: list[int] = []
    start = 0
    async with connection.cursor() as cursor:
        for page, size in zip(pages, sizes, strict=True):
            part = slice(start, start + size)
            start += size
            if open_items[part].any():
                todo.append(page)
                steps = 0 if (outcomes[part] == Outcome.WAITING).any() else 1
                await cursor.execute(
                    "UPDATE job_pages SET outcomes = %s, steps = %s WHERE job_id = %s AND page = %s",
                    (outcomes[part].tobytes(), steps, job_id, page),
                )
            else:
                await cursor.execute(
                    "UPDATE job_pages SET outcomes = %s, steps = 2 WHERE job_id = %s AND page = %s AND outcomes <> %s",
                    (outcomes[part].tobytes(), job_id, page, outcomes[part].tobytes()),
                )
    counts = count_outcomes(outcomes)
    await connection.execute(
        """
        UPDATE jobs SET total = %s, processed = %s, succeeded = %s, failed = %s, skipped = %s, fraction = %s
        WHERE id = %s
        """,
        (
            counts.total, counts.processed, counts.succeeded, counts.failed, counts.skipped,
            counts.processed / max(counts.total, 1) * 0.99, job_id,
        ),
    )  # fmt: skip
    return todo
