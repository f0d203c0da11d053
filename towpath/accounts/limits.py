"""What an organization may use at the most, and how much it does."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from towpath.core.wire import Wire


class LimitName(StrEnum):
    """Limits that every organization has, as refusals, `GET /v1/limits` and `towpath limits` name them."""

    REQUESTS = "requests"
    AI_REQUESTS = "ai_requests"
    JOBS = "jobs_in_flight"
    BYTES = "stored_bytes"
    STREAMS = "open_streams"
    LLM_REQUESTS = "llm_requests"
    LLM_TOKENS = "llm_tokens"
    LLM_CALLS = "llm_calls"


WINDOW_SECONDS = 60
"""Of the limits that are a rate."""
RATES = frozenset({LimitName.REQUESTS, LimitName.AI_REQUESTS, LimitName.LLM_REQUESTS, LimitName.LLM_TOKENS})
JOBS_RETRY_SECONDS = 10
"""After which one of an organization's jobs may have ended."""
MEANINGS = {
    LimitName.REQUESTS: "requests a minute, of all keys and sessions together",
    LimitName.AI_REQUESTS: "requests of the AI API a minute, of each key by itself; used: by this one",
    LimitName.JOBS: "jobs that are pending, running or paused",
    LimitName.BYTES: "bytes that are kept; measured once a minute, entities, vectors and records by a sample",
    LimitName.STREAMS: "event streams that are open",
    LimitName.LLM_REQUESTS: "requests a minute to each provider of models; beyond it they wait, none is refused",
    LimitName.LLM_TOKENS: "tokens a minute, in and out, of each provider of models; beyond it requests wait",
    LimitName.LLM_CALLS: "requests at once to each provider of models; beyond it they wait",
}


class LimitView(Wire):
    """One limit."""

    name: LimitName
    meaning: str
    most: int | None = Field(description="null: no limit.")
    used: int
    window_seconds: int | None = Field(description="What a rate counts over, sliding; null: what there is now.")
    own: bool = Field(description="Whether it is the organization's own, and not that of the settings.")


class LimitsView(Wire):
    """All limits of the caller's organization."""

    limits: list[LimitView]
