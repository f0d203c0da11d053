"""API keys that were valid a moment ago, so that a request need not ask the database for its caller."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from towpath.accounts.domain.keys import hash_key
from towpath.accounts.types import Principal

KEY_SECONDS = 5.0
MAX_KEYS = 10_000


class KeyCache:
    """Callers by key, for some seconds.

    A key that is revoked through this process is refused at once, through another one within five seconds; one that
    expires, at that moment.
    """

    def __init__(self) -> None:
        self._callers: dict[bytes, tuple[float, Principal]] = {}

    def get(self, key: str) -> Principal | None:
        """Return the caller that a key stands for, if it was looked up in the last seconds."""
        until, caller = self._callers.get(hash_key(key), (0.0, None))
        return caller if until > time.monotonic() else None

    def put(self, key: str, caller: Principal) -> None:
        """Remember the caller of a valid key."""
        if len(self._callers) >= MAX_KEYS:
            self._callers.clear()
        seconds = KEY_SECONDS
        if caller.expires_at is not None:
            seconds = min(seconds, (caller.expires_at - datetime.now(UTC)).total_seconds())
        self._callers[hash_key(key)] = (time.monotonic() + seconds, caller)

    def clear(self) -> None:
        """Forget all keys, because one has changed."""
        self._callers.clear()
