"""How a chunk that worked through a staged page is counted."""

from __future__ import annotations

from towpath.db.engine import Connection
from towpath.jobs.store.jobs import record_chunk
from towpath.jobs.types import Cost, PageTask, Progress


async def record_page(
    connection: Connection,
    task: PageTask,
    phase: str,
    before: Progress,
    after: Progress,
    *,
    phases: int = 1,
    cost: Cost | None = None,
) -> Progress:
    """Add what a page's chunk has changed to its job, as the last statement of the chunk's transaction.

    Args:
        connection: In the chunk's transaction.
        task: The chunk.
        phase: The phase it belongs to.
        before: The page's counts as the chunk found them.
        after: The counts as it leaves them.
        phases: How many phases go through every page.
        cost: What the chunk has spent on models.

    Returns:
        The change.

    Raises:
        JobNotActive: The job has ended: the transaction must roll back.
    """
    counts = {name: count - getattr(before, name) for name, count in after.model_dump().items()}
    change = Progress.model_validate(counts)
    share = 1 / max(task.pages, 1) / phases
    await record_chunk(connection, task.ref, f"{phase}:{task.page}", change, fraction=share, phase=phase, cost=cost)
    return change
