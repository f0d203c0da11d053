"""What the running activity waits for: its heartbeats say it, and whoever makes it wait knows the job.

A limiter has no job at hand where it makes a request wait; so the guard around every activity puts one here.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from towpath.jobs.types import JobRef


@dataclass(eq=False, slots=True)
class ActivityWaits:
    """The waits of one attempt of an activity.

    Attributes:
        ref: The job; None: it is no job's.
        waiting: Requests that wait now.
        words: What for, for people; None: nothing.
        events: How many events have told of it.
        tell_at: When the next one may, by the monotonic clock.
    """

    ref: JobRef | None
    waiting: int = 0
    words: str | None = None
    events: int = 0
    tell_at: float = 0.0

    @property
    def details(self) -> tuple[str, ...]:
        """Return what a heartbeat says."""
        return (self.words,) if self.waiting and self.words else ()


CURRENT_WAITS: ContextVar[ActivityWaits | None] = ContextVar("towpath_waits", default=None)
