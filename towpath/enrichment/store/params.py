"""The parameters of enrichments that may change while the job runs."""

from __future__ import annotations

from typing import Any

from towpath.core.errors import JobNotActiveError
from towpath.db.engine import Connection
from towpath.jobs.types import JobRef


async def load_type_check(connection: Connection, ref: JobRef) -> dict[str, Any]:
    """Load what is known of the type of a job's entities, without the plan, which is large and never changes.

    Raises:
        JobNotActiveError: The job is gone.
    """
    cursor = await connection.execute(
        "SELECT params -> 'classification', params -> 'answers' FROM jobs WHERE id = %s", (ref.job_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise JobNotActiveError(f"job {ref.job_id} is gone")
    return {"classification": row[0], "answers": row[1]}
