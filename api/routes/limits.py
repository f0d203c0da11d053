"""What the caller's organization may use, and does."""

from __future__ import annotations

from fastapi import APIRouter

from api.auth import Reader
from api.routing import ApiRoute
from api.state import State
from contracts.limits import LimitsView

router = APIRouter(tags=["auth"], route_class=ApiRoute)


@router.get("/v1/limits", summary="Limits, and what is used of them")
async def get_limits(state: State, caller: Reader) -> LimitsView:
    """Of requests, jobs, bytes and streams. What is beyond one is refused with 429, its name and `Retry-After`."""
    return LimitsView(limits=await state.limits.view(caller))
