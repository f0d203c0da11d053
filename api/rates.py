"""How often a key may call: the AI API is asked by people and their scripts, and each question costs money."""

from __future__ import annotations

from typing import cast

from fastapi import Request

from api.auth import Caller, Throttle
from contracts.errors import TooMany


async def limited(request: Request, caller: Caller) -> None:
    """Count a call.

    Raises:
        TooMany: The key has used up its minute.
    """
    throttle = cast(Throttle, request.app.state.ai_throttle)
    if wait := throttle.wait(str(caller.key_id or caller.user_id or caller.organization)):
        raise TooMany("too many requests with this key", retry_after=wait)
