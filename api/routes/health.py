"""Whether the parts answer, and somebody works."""

from __future__ import annotations

from fastapi import APIRouter, Response

from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.runtime.health import Health, Live, Readiness

router = APIRouter(tags=["health"], route_class=ApiRoute)


@router.get("/health", summary="Is everything ready?", responses={503: {"model": Health}})
async def health(state: State, response: Response) -> Health:
    """200 when work is accepted: Postgres and Temporal answer. `degraded` when something else is lacking, else 503.

    What is lacking is named: a part that is `away`, a task queue with 0 pollers, whose work waits.
    """
    health = await state.probes.ask()
    response.status_code = 503 if health.status is Readiness.NOT_READY else 200
    return health


@router.get("/health/live", summary="Does the process run?")
async def live() -> Live:
    """200 while the façade runs, whatever the parts do."""
    return Live()
