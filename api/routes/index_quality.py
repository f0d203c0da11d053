"""How good the verdicts of an index are, and which pairs a person had best look at."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from towpath.api.http.auth import Reader
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.api.routes.indexes import Name
from towpath.entities.quality_types import LabelSuggestions, QualityView

router = APIRouter(prefix="/v1/indexes", tags=["indexes"], route_class=ApiRoute)


@router.get("/{indexName}/quality", summary="How good an index is", response_model_exclude_none=True)
async def get_quality(state: State, caller: Reader, index_name: Name) -> QualityView:
    """Estimated precision, doubtful pairs, groups, fields without evidence, and what to do about it.

    Measured now, on a bounded sample where the index is large. Batches and re-indexes have it in their report, too.
    """
    return await state.quality.report(caller.organization, index_name)


@router.get(
    "/{indexName}/label-suggestions",
    summary="The pairs whose labels would teach most",
    response_model_exclude_none=True,
)
async def get_label_suggestions(
    state: State, caller: Reader, index_name: Name, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> LabelSuggestions:
    """Pairs without a label, each of another kind: near the threshold, or called duplicates against evidence.

    Answer them with `POST /v1/indexes/{indexName}/labels`, then `POST /v1/indexes/{indexName}/tune`.
    """
    return await state.quality.suggest_labels(caller.organization, index_name, limit=limit)
