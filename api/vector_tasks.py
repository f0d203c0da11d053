"""Takes a task in and shows it: staged, accepted in order, committed, started."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from fastapi import Request, Response
from pydantic import BaseModel, TypeAdapter, ValidationError

from towpath.accounts.types import Principal
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import Slot
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import invalid, refuse_unknown
from towpath.api.http.state import AppState
from towpath.api.http.uploads import ItemKind, Stager, UploadLimits, digest_body
from towpath.api.webhook_targets import read_target, take_members
from towpath.core.bodies import field_names
from towpath.core.errors import BadInputError, ConflictError
from towpath.core.json_stream import Slice
from towpath.core.json_values import parse_json, read_json
from towpath.db.tables import JobRow
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.ends import plain_warnings
from towpath.jobs.store.staging import StagedItem
from towpath.jobs.types import FailedItem, JobKind
from towpath.vectors.domain.items import canonical, object_uid
from towpath.vectors.store.tasks import claim_task_id, next_order, read_failed_items
from towpath.vectors.types import (
    TASK_ID_FORM,
    Collection,
    DataItem,
    DeletionBody,
    DeletionTask,
    FailedDataItem,
    FailedId,
    FailureStage,
    ObjectId,
    TaskBody,
    TaskProgress,
    UpsertionBody,
    UpsertionTask,
    task_status,
)
from towpath.webhooks.store.endpoints import add_target

MAX_ITEM_BYTES = 16 << 20
MAX_LISTED_FAILURES = 100
MAX_DETAIL = 1500
OBJECT_ID: TypeAdapter[str] = TypeAdapter(ObjectId)


@dataclass(frozen=True, slots=True)
class TaskKind:
    """What the two kinds of task differ in at the door."""

    kind: JobKind
    list_name: str
    read: Callable[[Any], tuple[str, bytes]]
    """Checks one item: its object id, and its bytes as they are staged."""
    body: type[TaskBody]
    """What the whole body may hold."""


def _read_item(given: Any) -> tuple[str, bytes]:
    item = DataItem.model_validate(given)
    return item.object_id, canonical(item.model_dump(exclude_none=True))


def _read_id(given: Any) -> tuple[str, bytes]:
    object_id = OBJECT_ID.validate_python(given, strict=True)
    return object_id, canonical(object_id)


UPSERTION = TaskKind(JobKind.VECTOR_UPSERTION, "items", _read_item, UpsertionBody)
DELETION = TaskKind(JobKind.VECTOR_DELETION, "object_ids", _read_id, DeletionBody)


class _KnownTaskError(Exception):
    """The task id is taken: rolls the staging back and carries the job that has it."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(job_id)
        self.job_id = job_id


async def submit_task(
    request: Request,
    state: AppState,
    caller: Principal,
    kind: TaskKind,
    collection: Collection,
    idempotency_key: str | None,
) -> Response:
    """Stage the body into a job and commit both at once; then start it.

    A known task id with an equal body answers the task that has it.

    Raises:
        ConflictError: The task id belongs to a task with another body or collection.
    """
    settings = state.settings
    limits = UploadLimits(
        json_bytes=settings.vector_max_bytes,
        json_setting="vector_max_bytes",
        items=settings.vector_max_items,
        item_bytes=min(MAX_ITEM_BYTES, settings.vector_max_bytes),
        page_items=settings.vector_chunk,
    )
    slot = Slot(caller.organization, f"POST {request.url.path}", idempotency_key)
    digest = hashlib.sha256(f"{kind.kind}\n{collection}\n".encode())
    job = JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=kind.kind,
        deadline=read_deadline(request),
        created_by=caller.key_id,
        window_size=settings.window,
    )
    try:
        turn = state.uploads.turn(request, caller.organization, limit=limits.json_bytes, setting=limits.json_setting)
        async with turn, state.db.transaction() as connection:
            if known := await slot.open(connection):
                return known.replay(await digest_body(request, limits, start=b""))
            reader = ItemKind(
                kind.list_name, "object_id", _reader(kind, digest.update), alone=False, may_be_empty=True,
                note_failed=lambda found: digest.update((found.digest or found.raw) + b"\n"), shown=True,
            )  # fmt: skip
            upload = await Stager(connection, job.id, limits, reader).stage(request, start=b"")
            target = await read_target(request, state, take_members(upload.options))
            task_id = _task_id(upload.options) or str(job.id)
            refuse_unknown(upload.options, field_names(kind.body))
            if taken := await claim_task_id(connection, caller.organization, kind.kind, task_id):
                raise _KnownTaskError(taken)
            job.external_id, job.digest = task_id, digest.digest()
            job.total, job.processed, job.failed = upload.items, upload.failed, upload.failed
            job.params = {
                "collection": collection,
                "model": settings.embedding.model,
                "order": await next_order(connection),
            }
            await job_store.create_job(connection, job, most=state.limits.most_jobs(caller.organization))
            if target is not None:
                await add_target(connection, job.id, target)
            stored = await job_store.lock_job(connection, caller.organization, job.id)
            answer = view(stored, [])
            await slot.keep(connection, upload.digest, 200, answer)
    except _KnownTaskError as known_task:
        stored = await job_store.get_job(state.db, caller.organization, known_task.job_id)
        if stored.digest != digest.digest():
            raise ConflictError(
                f"the task {stored.external_id} exists with another body or collection; nothing was changed"
            ) from None
        return json_answer(await read_view(state, stored))
    state.gateway.start_soon(stored)
    return json_answer(answer)


def _reader(kind: TaskKind, digest: Callable[[bytes], None]) -> Callable[[Slice, int], StagedItem]:
    def read(found: Slice, position: int) -> StagedItem:
        given = read_json(found.raw, f"{kind.list_name}[{position}]", offset=found.offset)
        try:
            object_id, raw = kind.read(given)
        except ValidationError as error:
            raise invalid(kind.body, error, kind.list_name, position) from error
        digest(raw + b"\n")
        return StagedItem(raw=raw, uid=object_uid(object_id), id=object_id)

    return read


def _task_id(options: dict[str, bytes]) -> str | None:
    found: str | None = None
    for name in ("task_id", "id"):
        value = read_json(options.get(name, b"null"), name)
        if value is None:
            continue
        if not isinstance(value, str) or not re.fullmatch(TASK_ID_FORM, value):
            raise BadInputError(f"{name} must be 1 to 128 letters, digits or . _ : -", field=name)
        if found is not None and found != value:
            raise BadInputError("task_id and id differ", field="id")
        found = value
    return found


async def read_view(state: AppState, job: JobRow) -> dict[str, Any]:
    """One task with all of its failed items."""
    return view(job, (await read_failed_items(state.db, [job.id], most=None)).get(job.id, []))


def view(job: JobRow, failures: list[FailedItem]) -> dict[str, Any]:
    """A task as its API shows it."""
    common: dict[str, Any] = {
        "id": job.external_id,
        "task_id": job.external_id,
        "status": task_status(job.state, cancelling=job.cancelling, error=job.error_code),
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "detail": (job.error_message or "")[:MAX_DETAIL] or None,
        "collection": job.params["collection"],
        "attempt": job.attempt,
        "warnings": plain_warnings(job) or None,
    }
    progress = TaskProgress(total=job.total, processed=job.processed, succeeded=job.succeeded, failed=job.failed)
    task: BaseModel
    if job.kind is JobKind.VECTOR_DELETION:
        progress.missing = job.skipped
        gone = [FailedId(object_id=failure.id or "", detail=failure.message) for failure in failures]
        task = DeletionTask(**common, progress=progress, failed_item_ids=gone)
    else:
        task = UpsertionTask(**common, progress=progress, failed_items=[_failed(failure) for failure in failures])
    return task.model_dump(mode="json", exclude_none=True)


def _failed(failure: FailedItem) -> FailedDataItem:
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
