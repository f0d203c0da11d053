"""What can be done with batches: made, looked at, listed; a job of its own runs each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, NotFoundError
from towpath.db.engine import Connection, Database
from towpath.jobs.service import JobService
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState
from towpath.serving.service.files import FileService, id_of
from towpath.serving.store import batches as store
from towpath.serving.store.lines import sum_usage
from towpath.serving.store.tables import ServedBatchRow
from towpath.serving.types import (
    REQUEST_BATCH,
    BatchBody,
    BatchParams,
    BatchStatus,
    FilePurpose,
    read_batch_id,
    read_window,
    show_batch_id,
    show_file_id,
)
from towpath.webhooks.store.endpoints import add_job_endpoint
from towpath.webhooks.types import JobEndpoint

MAX_FACTS = 5
"""So many wrong lines are shown on the page of a job."""
STATUS_AT_END = {
    JobState.COMPLETED: BatchStatus.COMPLETED,
    JobState.FAILED: BatchStatus.FAILED,
    JobState.CANCELLED: BatchStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Some batches as their API shows them, newest first, and whether there are more."""

    batches: list[dict[str, Any]]
    has_more: bool


@dataclass(frozen=True, slots=True)
class BatchDraft:
    """A batch that has passed all checks and is not stored yet."""

    job: JobRow
    batch: ServedBatchRow

    async def store(
        self, connection: Connection, _: JobRow | None = None, *, endpoint: JobEndpoint | None, max_jobs: int
    ) -> None:
        """Store it, and where its end is told, in the transaction that accepts it.

        Raises:
            LimitReachedError: The organization has as many jobs as it may.
        """
        await store.create_batch(connection, self.job, self.batch, max_jobs=max_jobs)
        if endpoint is not None:
            await add_job_endpoint(connection, self.job.id, endpoint)


class BatchService:
    """The use cases of batches.

    Args:
        database: Where they are.
        files: The files that they read.
        jobs: Moves their jobs.
        window: How many pages of a batch are asked at once.
    """

    def __init__(self, database: Database, files: FileService, jobs: JobService, *, window: int) -> None:
        self._database = database
        self._files = files
        self._jobs = jobs
        self._window = window

    async def draft(self, caller: Principal, body: BatchBody) -> BatchDraft:
        """Check everything of a batch that can be refused before its file is read.

        Raises:
            BadInputError: With the field's name.
        """
        lasting = read_window(body.completion_window)
        if lasting is None:
            field = "completion_window"
            raise BadInputError(f"{field}: 24h, or other minutes (m), hours (h) or days (d) from 1m to 7d", field=field)
        try:
            file = await self._files.get(caller.organization, body.input_file_id)
        except NotFoundError as error:
            raise BadInputError(f"input_file_id: {error.detail}", field="input_file_id") from error
        if file.purpose is not FilePurpose.BATCH:
            raise BadInputError("input_file_id: the file's purpose is not batch", field="input_file_id")
        params = BatchParams(
            endpoint=body.endpoint,
            input_file=show_file_id(file.id),
            window=body.completion_window,
            file_name=file.filename,
        )
        job = JobRow(
            id=uuid4(),
            organization=caller.organization,
            kind=REQUEST_BATCH,
            params=params.model_dump(mode="json"),
            created_by=caller.key_id,
            window_size=self._window,
        )
        batch = ServedBatchRow(
            job_id=job.id,
            organization=caller.organization,
            endpoint=body.endpoint,
            input_file_id=file.id,
            completion_window=body.completion_window,
            metadata_=body.metadata,
            output_seconds=None if body.output_expires_after is None else body.output_expires_after.seconds,
            status=BatchStatus.VALIDATING,
            expires_at=datetime.now(UTC) + lasting,
        )
        return BatchDraft(job, batch)

    async def show(self, caller: Principal, batch_id: str) -> dict[str, Any]:
        """Return a batch as its API shows it.

        Raises:
            NotFoundError: It is not there, or another organization's.
        """
        batch, job = await store.get_batch(self._database, caller.organization, read_batch_id(batch_id))
        usage = await sum_usage(self._database, [job.id])
        return show_batch(batch, job, usage.get(job.id))

    async def list_page(self, caller: Principal, *, after: str | None, limit: int) -> BatchPage:
        """List batches, newest first.

        Args:
            caller: Who asks.
            after: The last batch of the page before.
            limit: How many at most.

        Raises:
            NotFoundError: There is no such batch to go on behind.
        """
        last = None
        if after is not None:
            last, _ = await store.get_batch(self._database, caller.organization, read_batch_id(after))
        rows = await store.list_batches(self._database, caller.organization, after=last, limit=limit + 1)
        chosen = rows[:limit]
        usage = await sum_usage(self._database, [job.id for _, job in chosen])
        return BatchPage([show_batch(batch, job, usage.get(job.id)) for batch, job in chosen], len(rows) > limit)

    async def cancel(self, caller: Principal, batch_id: str) -> dict[str, Any]:
        """Stop a batch: what was answered is kept and written, the rest is not asked.

        Raises:
            NotFoundError: It is not there, or another organization's.
        """
        await self._jobs.cancel(caller, read_batch_id(batch_id), kinds={REQUEST_BATCH})
        return await self.show(caller, batch_id)


def show_batch(batch: ServedBatchRow, job: JobRow, usage: tuple[int, int, int, int] | None) -> dict[str, Any]:
    """Return a batch as its API shows it.

    Args:
        batch: The batch.
        job: Its job, which has the counts; it may have ended without the batch, as when its workflow was lost.
        usage: The tokens of its requests; None: it has none.
    """
    status = batch.status
    if job.state.final and not status.final:
        status = STATUS_AT_END[job.state]
    ended = _seconds(batch.ended_at or (job.completed_at if status.final else None))
    errors = list(batch.errors or [])
    if status is BatchStatus.FAILED and not errors and job.error_message is not None:
        errors = [{"code": job.error_code, "line": None, "message": job.error_message, "param": None}]
    return {
        "id": show_batch_id(batch.job_id),
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": show_file_id(batch.input_file_id),
        "completion_window": batch.completion_window,
        "status": status.value,
        "output_file_id": id_of(batch.output_file_id),
        "error_file_id": id_of(batch.error_file_id),
        "created_at": _seconds(batch.created_at),
        "in_progress_at": _seconds(batch.in_progress_at),
        "expires_at": _seconds(batch.expires_at),
        "finalizing_at": _seconds(batch.finalizing_at),
        "completed_at": ended if status is BatchStatus.COMPLETED else None,
        "failed_at": ended if status is BatchStatus.FAILED else None,
        "expired_at": ended if status is BatchStatus.EXPIRED else None,
        "cancelling_at": _seconds(batch.cancelling_at),
        "cancelled_at": ended if status is BatchStatus.CANCELLED else None,
        "request_counts": {"total": job.total, "completed": job.succeeded, "failed": job.failed},
        "usage": _show_usage(usage or (0, 0, 0, 0)),
        "metadata": batch.metadata_,
    }


def _show_usage(usage: tuple[int, int, int, int]) -> dict[str, Any]:
    inputs, cached, outputs, reasoning = usage
    return {
        "input_tokens": inputs,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": outputs,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": inputs + outputs,
    }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


async def describe_batch(database: Database, job: JobRow) -> dict[str, object]:
    """Return what the page of a batch's job tells of it, by name."""
    batch, _ = await store.get_batch(database, job.organization, job.id)
    shown = show_batch(batch, job, None)
    files = {"Input file": "input_file_id", "Output file": "output_file_id", "Error file": "error_file_id"}
    facts: dict[str, object] = {
        "Batch": shown["id"],
        "Status": shown["status"],
        "Endpoint": batch.endpoint,
        "Model": batch.model or "several",
        "Window": f"{batch.completion_window}, until {batch.expires_at:%Y-%m-%d %H:%M} UTC",
        **{name: shown[member] for name, member in files.items() if shown[member] is not None},
    }
    errors = batch.errors or []
    for error in errors[:MAX_FACTS]:
        facts[f"Line {error['line']}" if error["line"] else "File"] = error["message"]
    if len(errors) > MAX_FACTS:
        facts["More lines"] = f"{len(errors) - MAX_FACTS:,}"
    return facts
