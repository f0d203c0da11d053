"""What calls in flight may cost, of jobs with a cap: set aside before a call, freed with its line in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from towpath.db.engine import Connection, Database
from towpath.jobs.types import JobRef
from towpath.llm.types import Site


@dataclass(frozen=True, slots=True)
class Room:
    """How a job stands to its cap.

    Attributes:
        left: Neither spent nor set aside by others, in US dollars.
        reserved: Set aside by others: some of it may come back.
    """

    left: float
    reserved: float


def reservation_of(ref: JobRef, digest: bytes, site: Site) -> UUID:
    """Return the id of what is set aside for a question: the same in every try, and for whoever books its answer."""
    return uuid5(ref.job_id, f"{digest.hex()}:{site.purpose}:{site.item}")


async def read_room(connection: Connection, job_id: UUID, *, but: UUID | None = None) -> Room | None:
    """Read how a job stands to its cap; None: it has none, or is gone.

    The caller holds the lock of the job's row where it reserves by what it reads.

    Args:
        connection: A connection.
        job_id: The job.
        but: A reservation that is the caller's own.
    """
    cursor = await connection.execute(
        """
        SELECT j.max_cost_usd - j.cost_usd, coalesce((
            SELECT sum(usd) FROM llm_reservations
            WHERE job_id = j.id AND until > clock_timestamp() AND id IS DISTINCT FROM %(but)s
        ), 0) FROM jobs j WHERE j.id = %(job)s AND j.max_cost_usd IS NOT NULL
        """,
        {"job": job_id, "but": but},
    )
    row = await cursor.fetchone()
    return None if row is None else Room(row[0] - row[1], row[1])


async def write_reservation(
    connection: Connection, reservation: UUID, job_id: UUID, usd: float, seconds: float
) -> None:
    """Set an amount aside, or as much in all as a reservation is to have from now on."""
    await connection.execute(
        """
        INSERT INTO llm_reservations (id, job_id, usd, until)
        VALUES (%(id)s, %(job)s, %(usd)s, clock_timestamp() + make_interval(secs => %(seconds)s))
        ON CONFLICT (id) DO UPDATE SET usd = excluded.usd, until = excluded.until
        """,
        {"id": reservation, "job": job_id, "usd": usd, "seconds": seconds},
    )


async def renew_reservations(database: Database, reservations: Sequence[UUID], seconds: float) -> None:
    """Say that the calls are still in flight."""
    async with database.statement() as connection:
        await connection.execute(
            "UPDATE llm_reservations SET until = clock_timestamp() + make_interval(secs => %s) WHERE id = ANY(%s)",
            (seconds, list(reservations)),
        )


async def free_reservation(connection: Connection, reservation: UUID) -> None:
    """Free what was set aside for a call that was not paid for; those that have lapsed go with it."""
    await connection.execute("DELETE FROM llm_reservations WHERE id = %s OR until < clock_timestamp()", (reservation,))
