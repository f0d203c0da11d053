"""The judge of an index: a language model looks at doubtful pairs; what it has said is listed and taken back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from towpath.api.http.auth import Editor, Reader
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import IdempotencyKey, digest_of, replay, slot_of
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.api.routes.indexes import Name
from towpath.core.values import Offset
from towpath.db.engine import Connection
from towpath.entities.judge_types import JudgeBody, JudgementPage, JudgementsRemoved
from towpath.entities.types import BatchStatus, TuneStarted
from towpath.entities.views import STATUS_PATH

router = APIRouter(prefix="/v1/indexes", tags=["indexes"], route_class=ApiRoute)


@router.post(
    "/{indexName}/judge",
    summary="Have a language model judge doubtful pairs",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=TuneStarted,
)
async def judge_index(
    request: Request,
    state: State,
    caller: Editor,
    index_name: Name,
    body: JudgeBody,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Starts a job that asks a model about the pairs of the grey zone, 64 at a time, the most doubtful first.

    Its answers count like labels, but labels go before them, and they end when an entity of the pair changes. The
    values of the index's fields are sent to the provider of the model. No request is made that could cost more than is
    left of `maxCostUsd`; the `result` says why the job has stopped. `Towpath-Deadline` gives the job a deadline.
    """
    slot, digest, deadline = slot_of(request, caller, idempotency_key), digest_of(body), read_deadline(request)
    async with state.db.transaction() as connection:
        if first := await slot.claim(connection):
            return replay(first, digest)
        job = await state.judgements.start(
            connection,
            caller,
            index_name,
            body,
            max_jobs=state.limits.max_jobs(caller.organization),
            deadline=deadline,
        )
        started = TuneStarted(job_id=job.id, status=BatchStatus.PENDING, status_url=f"{STATUS_PATH}{job.id}")
        answer = started.model_dump(mode="json", by_alias=True)
        await slot.save(connection, digest, 202, answer)
    state.gateway.start_soon(job)
    return json_answer(answer, 202)


@router.get("/{indexName}/judgements", summary="What language models have said of pairs")
async def get_judgements(
    state: State,
    caller: Reader,
    index_name: Name,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
) -> JudgementPage:
    """Judgements, newest first, and whether each holds."""
    return await state.judgements.list_all(caller.organization, index_name, limit=limit, offset=offset)


@router.delete("/{indexName}/judgements", summary="Take all judgements back", response_model=JudgementsRemoved)
async def delete_judgements(state: State, caller: Editor, index_name: Name) -> Response:
    """Pairs are judged by their fields and by labels alone again; the groups of up to 200 pairs follow at once."""

    async def remove(connection: Connection) -> JudgementsRemoved:
        return await state.judgements.remove_all(connection, caller.organization, index_name)

    removed = await state.db.repeatable(remove)
    return json_answer(removed.model_dump(mode="json", by_alias=True))
