"""Submits a batch and answers it: staged, committed, started, and waited for when the client wants that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from fastapi import Request, Response

from towpath.accounts.types import Principal
from towpath.api.entity_answers import STATUS_PATH, batch_view, candidate, entity_answer
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import Slot
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import refuse_unknown
from towpath.api.http.state import AppState
from towpath.api.http.uploads import ItemKind, Stager, Upload, UploadLimits, body_bound, digest_body
from towpath.api.webhook_targets import MEMBERS, read_target, take_members
from towpath.core.errors import BadInputError, ErrorCode, NotFoundError
from towpath.core.json_stream import Slice
from towpath.db.tables import JobRow
from towpath.entities.domain.matching import entity_uid
from towpath.entities.domain.parsing import ScalarFields, parse_entity
from towpath.entities.store.dynamic import index_for_write
from towpath.entities.store.indexes import find_index
from towpath.entities.store.results import read_results
from towpath.entities.types import BatchStatus, BatchView
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.staging import StagedItem, read_failures
from towpath.jobs.store.starts import ref_of
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import JobKind, JobWarning
from towpath.runtime.settings import Settings
from towpath.webhooks.store.endpoints import add_target

MAX_ENTITIES = 1_000_000
MAX_ENTITY_BYTES = 1 << 20
MAX_ERRORS = 1000
DEFAULT_WAIT = 10.0
MAX_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What the request wants besides its entities."""

    index_name: str
    explain: bool
    asynchronous: bool | None
    wait: float
    deadline: datetime | None

    @classmethod
    def read(cls, request: Request, settings: Settings, *, index_name: str, explain: bool) -> BatchOptions:
        """Read `Prefer` and `Towpath-Deadline`.

        Raises:
            BadInputError: A header cannot be understood.
        """
        preferences = [part.strip() for part in request.headers.get("prefer", "").lower().split(",")]
        wait = next((part[5:] for part in preferences if part.startswith("wait=")), None)
        if wait is not None and not (wait.isascii() and wait.isdigit()):
            raise BadInputError("Prefer: wait must be a number of seconds", field="Prefer")
        asynchronous = True if "respond-async" in preferences else (False if wait is not None else None)
        return cls(
            index_name=index_name,
            explain=explain,
            asynchronous=asynchronous,
            wait=min(float(wait), MAX_WAIT) if wait is not None else DEFAULT_WAIT,
            deadline=read_deadline(request),
        )


async def submit_batch(
    request: Request,
    state: AppState,
    caller: Principal,
    options: BatchOptions,
    idempotency_key: str | None,
    *,
    single: bytes | None = None,
) -> Response:
    """Stage the body into a job and commit both at once; then start it, and wait if that was asked for."""
    limits = UploadLimits(
        json_bytes=state.settings.max_json_bytes,
        json_setting="max_json_bytes",
        ndjson_bytes=state.settings.max_ndjson_bytes,
        items=MAX_ENTITIES,
        item_bytes=MAX_ENTITY_BYTES,
        page_items=state.settings.index_chunk,
    )
    slot = Slot(caller.organization, f"POST {request.url.path}", idempotency_key)
    start = f"{request.url.query}\n".encode()
    job = JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=JobKind.ENTITY_BATCH,
        params={"index": options.index_name},
        deadline=options.deadline,
        created_by=caller.key_id,
        window_size=state.settings.window,
    )
    limit, setting = body_bound(request, limits)
    turn = (
        state.uploads.turn(request, caller.organization, limit=limit, setting=setting)
        if single is None
        else state.uploads.brief(caller.organization)
    )
    async with turn, state.db.transaction() as connection:
        if known := await slot.open(connection):
            return known.replay(await digest_body(request, limits, start=start))
        fields = ScalarFields()
        stager = Stager(connection, job.id, limits, ItemKind("entities", "id", _reader(fields)))
        upload = await (stager.stage(request, start=start) if single is None else stager.stage_one(single, start=start))
        target = await read_target(request, state, take_members(upload.options))
        refuse_unknown(upload.options, ["entities", *MEMBERS])
        index = await index_for_write(connection, caller.organization, options.index_name, fields)
        job.total, job.processed, job.failed = upload.items, upload.failed, upload.failed
        job.digest = upload.digest
        await job_store.create_job(connection, job, most=state.limits.most_jobs(caller.organization))
        if index.dynamic and (message := fields.left_out(index.config)):
            left_out = JobWarning(code=ErrorCode.FIELDS_LEFT_OUT, message=message)
            await add_warnings(connection, ref_of(job), [left_out])
        if target is not None:
            await add_target(connection, job.id, target)
        accepted = _accepted(job)
        await slot.keep(connection, upload.digest, 202, accepted)
    state.gateway.start_soon(job)
    if _waits(options, upload, state.settings):
        job = await state.events.wait_for_end(job, seconds=options.wait)
        if job.state.final:
            answer = await answer_batch(state, job, limit=10_000, offset=0, explain=options.explain)
            async with state.db.transaction() as connection:
                await slot.keep(connection, upload.digest, 200, answer)
            return json_answer(answer)
    return json_answer(
        accepted, 202, headers={"Location": accepted["statusUrl"], "Preference-Applied": "respond-async"}
    )


def _reader(fields: ScalarFields) -> Callable[[Slice, int], StagedItem]:
    def read(found: Slice, position: int) -> StagedItem:
        entity = parse_entity(found.raw, f"entities[{position}]", offset=found.offset)
        fields.see(entity)
        return StagedItem(raw=found.raw, uid=entity_uid(entity["id"]), id=str(entity["id"]))

    return read


def _waits(options: BatchOptions, upload: Upload, settings: Settings) -> bool:
    if options.asynchronous is None:
        return upload.items <= settings.batch_sync_limit
    return not options.asynchronous


def _accepted(job: JobRow) -> dict[str, Any]:
    view = batch_view(job)
    view.status = BatchStatus.PENDING
    view.status_url = f"{STATUS_PATH}{job.id}"
    return view.model_dump(mode="json", by_alias=True, exclude_none=True)


async def answer_batch(state: AppState, job: JobRow, *, limit: int, offset: int, explain: bool) -> dict[str, Any]:
    """A batch's status with a page of its results."""
    failures, total = await read_failures(state.db, job.id, limit=MAX_ERRORS, offset=0)
    view: BatchView = batch_view(job, failures=failures, total_failures=total)
    view.progress = job.fraction
    view.created_at, view.started_at, view.completed_at = job.created_at, job.started_at, job.completed_at
    answer = view.model_dump(mode="json", by_alias=True, exclude_none=True)
    results = await _results(state, job, limit=limit, offset=offset, explain=explain)
    if results:
        answer["results"] = results
    if job.result is not None:
        answer["report"] = job.result
    return answer


async def _results(state: AppState, job: JobRow, *, limit: int, offset: int, explain: bool) -> list[dict[str, Any]]:
    if limit == 0:
        return []
    async with state.db.transaction() as connection:
        try:
            index = await find_index(connection, job.organization, str(job.params["index"]))
        except NotFoundError:
            index = None
        number = index.index_no if index else None
        rows = await read_results(connection, job.id, number, limit=limit, offset=offset)
    return [
        entity_answer(raw, [candidate(index.config, one, explain=explain) for one in partners] if index else [])
        for raw, partners in rows
    ]
