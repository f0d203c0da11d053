"""Tells jobs what their requests wait for: a line in the stream now and then, and a member of what they show."""

from __future__ import annotations

from datetime import UTC, datetime

from towpath.core.texts import format_utc
from towpath.db.engine import Database
from towpath.jobs.store.waits import note_wait
from towpath.jobs.types import Waiting
from towpath.jobs.waits import ActivityWaits
from towpath.llm.limiter.limiter import Tell
from towpath.llm.limiter.types import WaitReason

EVENT_SECONDS = 5
"""All workers together write at most one event of a job and provider in so many seconds."""
MAX_PROVIDER = 100


def telling(database: Database) -> Tell:
    """Return what writes a wait into its job."""

    async def tell(waits: ActivityWaits, provider: str, reason: WaitReason, requests: int, until: datetime) -> None:
        if waits.ref is None:
            return
        now = datetime.now(UTC)
        waiting = Waiting(
            provider=provider[:MAX_PROVIDER], reason=reason, requests=requests, until=until, told_at=now
        )  # fmt: skip
        # A hold is told once, a rate that is used up now and then.
        moment = format_utc(until) if reason is WaitReason.HELD else int(now.timestamp()) // EVENT_SECONDS
        await note_wait(database, waits.ref, waiting, f"waiting:{provider}:{moment}")

    return tell
