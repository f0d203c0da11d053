"""A batch's results: what was sent, in input order, with what the index knows of it now."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import numpy as np

from towpath.db.engine import Connection
from towpath.entities.store.pairs import PartnerRow, read_partners
from towpath.jobs.domain import Outcome
from towpath.jobs.store.staging import load_page

PARTNERS_AN_ENTITY = 100


@dataclass(frozen=True, slots=True)
class BatchResult:
    """A finished entity: its JSON as it was sent, and the stored candidates, best first."""

    uid: int
    raw: bytes
    partners: list[PartnerRow]


async def read_results(
    connection: Connection, job_id: UUID, index_no: int | None, *, limit: int, offset: int
) -> list[BatchResult]:
    """Return a page of finished entities.

    Args:
        connection: In the caller's transaction.
        job_id: The batch.
        index_no: The live generation; None when the index has been dropped: nobody has candidates then.
        limit: The most results.
        offset: How many finished entities to pass over.
    """
    cursor = await connection.execute(
        "SELECT page, outcomes FROM job_pages WHERE job_id = %s ORDER BY page", (job_id,), binary=True
    )
    results: list[BatchResult] = []
    for number, outcomes in await cursor.fetchall():
        finished = np.flatnonzero(np.isin(np.frombuffer(outcomes, dtype=np.uint8), _FINISHED))
        selected = finished[offset : offset + limit - len(results)]
        offset = max(offset - len(finished), 0)
        if len(selected):
            page = await load_page(connection, job_id, number, lock=False)
            uids = page.uids[selected].tolist()
            partners = (
                {} if index_no is None else await read_partners(connection, index_no, uids, limit=PARTNERS_AN_ENTITY)
            )
            results += [
                BatchResult(uid, page.lines[place], partners.get(uid, []))
                for place, uid in zip(selected.tolist(), uids, strict=True)
            ]
        if len(results) >= limit:
            break
    return results


_FINISHED = [Outcome.DONE, Outcome.UNCHANGED]
