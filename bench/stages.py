"""Where the time of a job goes: CPU seconds by part of the stack, and wall seconds by phase of the job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psutil

from towpath.db.engine import Database
from towpath.jobs.types import EventType
from towpath.runtime.embedded import EmbeddedStack


class CpuSeconds:
    """Reads what the processes of a stack have used so far.

    Args:
        stack: The stack; only processes that run now are looked at, with their children.
        workers: How many workers it has.
    """

    def __init__(self, stack: EmbeddedStack, workers: int) -> None:
        parts = {"api": ["api"], "postgres": ["postgres"], "temporal": ["temporal"]}
        parts["workers"] = [f"worker-{number}" for number in range(workers)]
        self._processes = {
            part: [psutil.Process(pid) for name in names if (pid := stack.child(name).pid)]
            for part, names in parts.items()
        }

    def read(self) -> dict[str, float]:
        """Return the CPU seconds of each part, of processes that have ended meanwhile as well."""
        return {part: sum(map(_used, processes)) for part, processes in self._processes.items()}

    @contextmanager
    def measure(self, *, per: float) -> Iterator[dict[str, float]]:
        """Yield a dictionary that gets what is used meanwhile, divided by a number, and the total."""
        used: dict[str, float] = {}
        before = self.read()
        try:
            yield used
        finally:
            after = self.read()
            used.update({part: round((seconds - before[part]) / per, 4) for part, seconds in after.items()})
            used["total"] = round(sum(used.values()), 4)


def _used(process: psutil.Process) -> float:
    seconds = 0.0
    for part in [process, *process.children(recursive=True)]:
        try:
            times = part.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


async def read_phase_seconds(database: Database, job_id: str) -> dict[str, float]:
    """Return how long each phase of a finished job took, in their order; a phase that came twice counts as one."""
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            SELECT e.data->>'phase', extract(epoch FROM lead(e.at, 1, j.completed_at) OVER (ORDER BY e.seq) - e.at)
            FROM job_events e JOIN jobs j ON j.id = e.job_id WHERE e.job_id = %s AND e.type = %s ORDER BY e.seq
            """,
            (UUID(job_id), EventType.PHASE),
        )
        rows = await cursor.fetchall()
    seconds: dict[str, float] = {}
    for phase, lasted in rows:
        seconds[phase] = round(seconds.get(phase, 0.0) + float(lasted), 2)
    return seconds
