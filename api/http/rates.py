"""How often a key may call: the AI API is asked by people and their scripts, and each question costs money."""

from __future__ import annotations

from towpath.api.http.auth import Caller
from towpath.api.http.state import State


async def limited(state: State, caller: Caller) -> None:
    """Count a call.

    Raises:
        LimitReached: The key has used up its minute.
    """
    await state.limits.count_ai_request(caller)
