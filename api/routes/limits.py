"""What the caller's organization may use, and does."""

from __future__ import annotations

from fastapi import APIRouter

from towpath.accounts.limits import LimitsView
from towpath.api.http.auth import Reader
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State

router = APIRouter(tags=["auth"], route_class=ApiRoute)


@router.get("/v1/limits", summary="Limits, and what is used of them")
async def get_limits(state: State, caller: Reader) -> LimitsView:
    """Of requests, jobs, bytes and streams. What is beyond one is refused with 429, its name and `Retry-After`."""
    return LimitsView(limits=await state.limits.view(caller))
