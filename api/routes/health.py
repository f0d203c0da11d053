"""Whether the parts answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.routing import ApiRoute
from api.state import AppState, State

router = APIRouter(tags=["health"], route_class=ApiRoute)
SECONDS = 2


class Health(BaseModel):
    """`ready` when every part is."""

    status: str
    parts: dict[str, str]


@router.get("/health", summary="Is everything ready?", responses={503: {"model": Health}})
async def health(state: State, response: Response) -> Health:
    """200 when Postgres and Temporal answer, else 503 that names the part that does not."""
    postgres, temporal = await asyncio.gather(_ask(_postgres(state)), _ask(_temporal(state)))
    ready = postgres == temporal == "ready"
    response.status_code = 200 if ready else 503
    return Health(status="ready" if ready else "not ready", parts={"postgres": postgres, "temporal": temporal})


@router.get("/health/live", summary="Does the process run?")
async def live() -> Health:
    """200 while the façade runs, whatever the parts do."""
    return Health(status="live", parts={})


async def _ask(question: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(SECONDS):
            await question
    except Exception as error:
        # Whatever goes wrong here is the answer.
        return f"{type(error).__name__}: {error}"[:200]
    return "ready"


async def _postgres(state: AppState) -> None:
    async with state.db.transaction() as connection:
        await connection.execute("SELECT 1")


async def _temporal(state: AppState) -> None:
    if not await state.temporal.service_client.check_health(timeout=timedelta(seconds=SECONDS)):
        raise ConnectionError("does not serve")
