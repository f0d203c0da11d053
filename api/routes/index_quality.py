"""How good the verdicts of an index are."""

from __future__ import annotations

from fastapi import APIRouter

from towpath.api.http.auth import Reader
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.api.routes.indexes import Name
from towpath.entities.quality_types import QualityView

router = APIRouter(prefix="/v1/indexes", tags=["indexes"], route_class=ApiRoute)


@router.get("/{indexName}/quality", summary="How good an index is", response_model_exclude_none=True)
async def get_quality(state: State, caller: Reader, index_name: Name) -> QualityView:
    """Estimated precision, doubtful pairs, groups, fields without evidence, and what to do about it.

    Measured now, on a bounded sample where the index is large. Batches and re-indexes have it in their report, too.
    """
    return await state.quality.report(caller.organization, index_name)
