"""Counts the requests of organizations, each once."""

from __future__ import annotations

from fastapi import Request

from towpath.api.http.state import AppState

COUNTED = "towpath.counted"


async def count_request(request: Request, state: AppState, organization: str) -> None:
    """Count a request, once however often its caller is looked up.

    Raises:
        LimitReachedError: The organization has used up its minute.
    """
    if not request.scope.get(COUNTED):
        request.scope[COUNTED] = True
        await state.limits.count_request(organization)
