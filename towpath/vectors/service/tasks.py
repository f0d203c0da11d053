"""Upsertion and deletion tasks: staged, accepted in order, shown, listed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, TypeAdapter, ValidationError

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, ConflictError
from towpath.core.json_stream import Slice
from towpath.core.json_values import parse_json, read_json
from towpath.db.engine import Connection, Database
from towpath.jobs.event_hub import EventHub
from towpath.jobs.params import params_of
from towpath.jobs.rows import plain_warnings
from towpath.jobs.service import JobService
from towpath.jobs.staging import ItemKind, StagedUpload, Stager, UploadBody, UploadLimits
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.staging import StagedItem
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import FailedItem
from towpath.vectors.domain.items import canonical, object_uid
from towpath.vectors.params import TaskParams
from towpath.vectors.store.tasks import (
    claim_task_id,
    find_task,
    list_tasks,
    next_order,
    prepare_restart,
    read_failed_items,
)
from towpath.vectors.types import (
    TASK_ID_FORM,
    VECTOR_DELETION,
    VECTOR_UPSERTION,
    Collection,
    DataItem,
    DeletionBody,
    DeletionTask,
    FailedDataItem,
    FailedId,
    FailureStage,
    ObjectId,
    Scope,
    TaskBody,
    TaskProgress,
    TaskStatus,
    UpsertionBody,
    UpsertionTask,
    task_status,
)
from towpath.webhooks.store.endpoints import add_job_endpoint
from towpath.webhooks.types import JobEndpoint

MAX_ITEM_BYTES = 16 << 20
MAX_LISTED_FAILURES = 100
MAX_DETAIL = 1500
OBJECT_ID: TypeAdapter[str] = TypeAdapter(ObjectId)


@dataclass(frozen=True, slots=True)
class TaskKind:
    """What the two kinds of task differ in when they are accepted."""

    kind: str
    list_name: str
    read: Callable[[Any], tuple[str, bytes]]
    """Checks one item: its object id, and its bytes as they are staged."""
    body: type[TaskBody]
    """What the whole body may hold."""


def _read_item(value: Any) -> tuple[str, bytes]:
    item = DataItem.model_validate(value)
    return item.object_id, canonical(item.model_dump(exclude_none=True))


def _read_id(value: Any) -> tuple[str, bytes]:
    object_id = OBJECT_ID.validate_python(value, strict=True)
    return object_id, canonical(object_id)


UPSERTION = TaskKind(VECTOR_UPSERTION, "items", _read_item, UpsertionBody)
DELETION = TaskKind(VECTOR_DELETION, "object_ids", _read_id, DeletionBody)


class InvalidItemError(Exception):
    """An item is not of the form, so that the whole body is refused.

    Attributes:
        position: The item's place in the list.
        error: What validation says of it.
    """

    def __init__(self, position: int, error: ValidationError) -> None:
        super().__init__(position)
        self.position = position
        self.error = error


class TaskIdTakenError(Exception):
    """A task has the id already: rolls the staging back and carries what is known of both.

    Attributes:
        job_id: The task that has it.
        digest: Of the body that came now.
    """

    def __init__(self, job_id: UUID, digest: bytes) -> None:
        super().__init__(job_id)
        self.job_id = job_id
        self.digest = digest


@dataclass(frozen=True, slots=True)
class StagedTask:
    """Items that have been staged into a task which is not accepted yet.

    Attributes:
        job_id: The task's job.
        kind: What it does.
        collection: Where.
        upload: What has been staged.
        digest: Of the items as they are meant, however they were written.
    """

    job_id: UUID
    kind: TaskKind
    collection: Collection
    upload: StagedUpload
    digest: bytes


class TaskService:
    """Accepts and shows tasks.

    Args:
        database: Where they are.
        jobs: Cancels and restarts them.
        events: Reports when they end.
        model: The embedding model of new tasks.
        limits: What a task may hold.
        window: The pages that a task has under way at once.
        cancel_wait_seconds: How long a restart waits for the end of a task that is being cancelled.
    """

    def __init__(
        self,
        database: Database,
        jobs: JobService,
        events: EventHub,
        *,
        model: str,
        limits: UploadLimits,
        window: int,
        cancel_wait_seconds: float,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._events = events
        self._cancel_wait = cancel_wait_seconds
        self._model = model
        self._limits = limits
        self._window = window

    async def stage(
        self, connection: Connection, kind: TaskKind, collection: Collection, body: UploadBody
    ) -> StagedTask:
        """Stage the items of a body, in the transaction that is to accept the task.

        Args:
            connection: Of that transaction.
            kind: What the task does.
            collection: Where.
            body: The items, as they come.

        Raises:
            InvalidItemError: An item is not of the form.
            BadInputError: The body as a whole cannot be taken.
            TooLargeError: It holds too much.
        """
        job_id = uuid4()
        digest = hashlib.sha256(f"{kind.kind}\n{collection}\n".encode())

        def add_failed(item: Slice) -> None:
            digest.update((item.digest or item.raw) + b"\n")

        items = ItemKind(
            kind.list_name,
            "object_id",
            _make_reader(kind, digest.update),
            fails_alone=False,
            may_be_empty=True,
            on_failure=add_failed,
            keeps_failed=True,
        )
        upload = await Stager(connection, job_id, self._limits, items).stage(body, start=b"")
        return StagedTask(job_id, kind, collection, upload, digest.digest())

    async def accept(
        self,
        connection: Connection,
        caller: Principal,
        staged: StagedTask,
        *,
        task_id: str | None,
        deadline: datetime | None,
        endpoint: JobEndpoint | None,
        max_jobs: int,
    ) -> JobRow:
        """Accept a staged task, behind all that were accepted before; it is to be started after the commit.

        Args:
            connection: Of the transaction that has staged it.
            caller: Who sends it.
            staged: The items.
            task_id: The id that the caller gives it; None: that of its job.
            deadline: When it is to have ended.
            endpoint: The endpoint that its events go to besides the registered ones.
            max_jobs: How many jobs the organization may have in flight; 0: any number.

        Raises:
            TaskIdTakenError: A task has that id: the transaction must roll back.
            LimitReachedError: There are as many jobs as may be.
        """
        organization, kind, upload = caller.organization, staged.kind.kind, staged.upload
        task_id = task_id or str(staged.job_id)
        if taken_by := await claim_task_id(connection, organization, kind, task_id):
            raise TaskIdTakenError(taken_by, staged.digest)
        job = JobRow(
            id=staged.job_id,
            organization=organization,
            kind=kind,
            external_id=task_id,
            params={
                "collection": staged.collection,
                "model": self._model,
                "order": await next_order(connection),
            },
            digest=staged.digest,
            total=upload.items,
            processed=upload.failed,
            failed=upload.failed,
            deadline=deadline,
            created_by=caller.key_id,
            window_size=self._window,
        )
        await job_store.create_job(connection, job, most=max_jobs)
        if endpoint is not None:
            await add_job_endpoint(connection, job.id, endpoint)
        return await job_store.lock_job(connection, organization, job.id)

    async def read_repeated(self, organization: str, conflict: TaskIdTakenError) -> JobRow:
        """Return the task that has an id already, for a request that repeats the one which made it.

        Raises:
            ConflictError: Its body or collection differs.
        """
        job = await job_store.get_job(self._database, organization, conflict.job_id)
        if job.digest != conflict.digest:
            raise ConflictError(
                f"the task {job.external_id} exists with another body or collection; nothing was changed"
            )
        return job

    async def read(self, organization: str, kind: TaskKind, task_id: str) -> dict[str, Any]:
        """Show a task by its own id, with all of its failed items, ready for JSON.

        Raises:
            NotFoundError: No such task, or another organization's.
        """
        return await self.show(await self._find(organization, kind, task_id))

    async def restart(self, caller: Principal, kind: TaskKind, task_id: str, scope: Scope) -> dict[str, Any]:
        """Run a task once more, and show it; one that runs stays as it is.

        Args:
            caller: Who restarts it.
            kind: What it does.
            task_id: Its own id.
            scope: Which of its items are taken up again.

        Raises:
            NotFoundError: No such task, or another organization's.
        """
        job = await self._find(caller.organization, kind, task_id)
        if job.cancelling and not job.state.final:
            job = await self._events.wait_for_end(job, seconds=self._cancel_wait)
        if job.state.final or job.cancelling:
            try:
                job = await self._jobs.restart(caller, job.id, prepare=partial(prepare_restart, scope=scope))
            except ConflictError:
                # Another restart was first: it runs, and is queued once.
                job = await job_store.get_job(self._database, job.organization, job.id)
        return await self.show(job)

    async def cancel(self, caller: Principal, kind: TaskKind, task_id: str) -> dict[str, Any]:
        """Stop a task, and show it.

        Raises:
            NotFoundError: No such task, or another organization's.
        """
        job = await self._find(caller.organization, kind, task_id)
        return await self.show(await self._jobs.cancel(caller, job.id))

    async def _find(self, organization: str, kind: TaskKind, task_id: str) -> JobRow:
        return await find_task(self._database, organization, kind.kind, task_id)

    async def show(self, job: JobRow) -> dict[str, Any]:
        """Show one task with all of its failed items, ready for JSON."""
        failures = await read_failed_items(self._database, [job.id], most=None)
        return show_task(job, failures.get(job.id, []))

    async def show_list(
        self,
        organization: str,
        kind: TaskKind,
        *,
        status: TaskStatus | None,
        collection: Collection | None,
        limit: int,
        offset: int,
    ) -> tuple[list[dict[str, Any]], int]:
        """Show a page of tasks, newest first, each with the first of its failed items.

        Returns:
            The tasks, ready for JSON, and how many there are.
        """
        jobs, total = await list_tasks(
            self._database, organization, kind.kind, status=status, collection=collection, limit=limit, offset=offset
        )
        with_failures = [job.id for job in jobs if job.failed]
        failures = await read_failed_items(self._database, with_failures, most=MAX_LISTED_FAILURES)
        return [show_task(job, failures.get(job.id, [])) for job in jobs], total


def _make_reader(kind: TaskKind, digest: Callable[[bytes], None]) -> Callable[[Slice, int], StagedItem]:
    def read(item: Slice, position: int) -> StagedItem:
        value = read_json(item.raw, f"{kind.list_name}[{position}]", offset=item.offset)
        try:
            object_id, raw = kind.read(value)
        except ValidationError as error:
            raise InvalidItemError(position, error) from error
        digest(raw + b"\n")
        return StagedItem(raw=raw, uid=object_uid(object_id), id=object_id)

    return read


def read_task_id(options: dict[str, bytes]) -> str | None:
    """Read the id that a body gives its task, by either of its names.

    Raises:
        BadInputError: It is not of the form, or the two differ.
    """
    task_id: str | None = None
    for name in ("task_id", "id"):
        value = read_json(options.get(name, b"null"), name)
        if value is None:
            continue
        if not isinstance(value, str) or not re.fullmatch(TASK_ID_FORM, value):
            raise BadInputError(f"{name} must be 1 to 128 letters, digits or . _ : -", field=name)
        if task_id is not None and task_id != value:
            raise BadInputError("task_id and id differ", field="id")
        task_id = value
    return task_id


def show_task(job: JobRow, failures: list[FailedItem]) -> dict[str, Any]:
    """Show a task with some of its failed items, ready for JSON."""
    common: dict[str, Any] = {
        "id": job.external_id,
        "task_id": job.external_id,
        "status": task_status(job.state, cancelling=job.cancelling, error=job.error_code),
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "detail": (job.error_message or "")[:MAX_DETAIL] or None,
        "collection": params_of(job, TaskParams).collection,
        "attempt": job.attempt,
        "warnings": plain_warnings(job) or None,
    }
    progress = TaskProgress(total=job.total, processed=job.processed, succeeded=job.succeeded, failed=job.failed)
    task: BaseModel
    if job.kind == VECTOR_DELETION:
        progress.missing = job.skipped
        failed_ids = [FailedId(object_id=failure.id or "", detail=failure.message) for failure in failures]
        task = DeletionTask(**common, progress=progress, failed_item_ids=failed_ids)
    else:
        task = UpsertionTask(**common, progress=progress, failed_items=[_show_failed(failure) for failure in failures])
    return task.model_dump(mode="json", exclude_none=True)


def _show_failed(failure: FailedItem) -> FailedDataItem:
    item = parse_json(failure.item or "{}")
    stage = FailureStage.UPSERT if failure.stage == "staging" else FailureStage.OTHER
    if failure.stage in set(FailureStage):
        stage = FailureStage(failure.stage)
    return FailedDataItem(
        object_id=failure.id or "",
        payload=item.get("payload"),
        item_info=item.get("item_info"),
        detail=failure.message,
        failure_stage=stage,
    )
