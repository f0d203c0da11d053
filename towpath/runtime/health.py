"""How the parts are, as `/health` tells it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from towpath.core.queues import Queue


class Readiness(StrEnum):
    """Whether work can be accepted, and all of it done."""

    READY = "ready"
    DEGRADED = "degraded"
    """Work is accepted; some of it waits for what is away."""
    NOT_READY = "not ready"


class PartState(StrEnum):
    """How one part is."""

    READY = "ready"
    IDLE = "idle"
    """Started when it is first needed, which has not been yet."""
    STARTING = "starting"
    """Asked for, and not there yet."""
    NOT_CONFIGURED = "not configured"
    AWAY = "away"
    """It does not answer; the façade's log says how."""


class QueueHealth(BaseModel):
    """Who works on a task queue."""

    pollers: int | None = Field(description="Worker processes that take its tasks; null: Temporal does not tell.")


class Health(BaseModel):
    """`ready` when everything is; `degraded` when a part other than Postgres and Temporal, or a worker, is lacking."""

    status: Readiness
    parts: dict[str, PartState]
    queues: dict[Queue, QueueHealth]


class Live(BaseModel):
    """The process runs."""

    status: str = "live"
