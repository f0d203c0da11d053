"""What processes state to the limiter, what it answers, and what it keeps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel, Field


class Budget(BaseModel):
    """What may be used; None: no limit.

    Attributes:
        requests: Requests a minute.
        tokens: Tokens a minute, in and out.
        calls: Requests at once.
    """

    requests: int | None = None
    tokens: int | None = None
    calls: int | None = None


@dataclass(frozen=True, slots=True)
class PoolKey:
    """Whose budget it is: a provider's under one key. The key itself is neither kept nor shown.

    Attributes:
        provider: Its name.
        digest: Of the provider and the key.
    """

    provider: str
    digest: bytes

    @classmethod
    def of(cls, provider: str, key: str | None) -> PoolKey:
        """Make it of the provider's name and its API key."""
        return cls(provider, hashlib.sha256(f"{provider}\0{key or ''}".encode()).digest())


class WaitReason(StrEnum):
    """What a request waits for."""

    HELD = "retry_after"
    RATE = "rate"
    CALLS = "concurrency"


@dataclass(slots=True)
class Demand:
    """What a process has and wants of a pool for one organization.

    Attributes:
        busy: Requests on the way.
        waiting: Requests that wait.
        unspent: Permits that it got and has not spent.
        started: Requests that it sent since it stated this last.
        peak: The most requests that it had lately, so that it keeps its slots for the next ones.
        tokens: What a request of those that wait takes, as it is expected.
        settled: Tokens that were used beyond what was expected; negative: that were not.
        used: Tokens that were used since it stated this last.
        returned: Permits that it gives back.
        budget: The organization's own.
    """

    busy: int = 0
    waiting: int = 0
    unspent: int = 0
    started: int = 0
    peak: int = 0
    tokens: float = 0.0
    settled: float = 0.0
    used: float = 0.0
    returned: int = 0
    budget: Budget = field(default_factory=Budget)


@dataclass(slots=True)
class Report:
    """What a process states of one pool.

    Attributes:
        holder: The process.
        demands: By organization; one that is missing has nothing any more.
        hold: The provider asks to wait so many seconds.
        answered: Requests that succeeded since the last report.
        refused: Requests that were too many for the provider.
        pace: Requests a second that the provider's headers leave room for.
        pace_seconds: For how long that holds.
    """

    holder: str
    demands: dict[str, Demand] = field(default_factory=dict)
    hold: float = 0.0
    answered: int = 0
    refused: int = 0
    pace: float | None = None
    pace_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one request.

    Attributes:
        after: From when on, in seconds from now.
        tokens: What was counted for it.
    """

    after: float
    tokens: float


@dataclass(slots=True)
class Turn:
    """What a process may do until it asks again.

    Attributes:
        slots: Requests at once, by organization.
        permits: New ones, by organization.
        metered: Organizations whose requests each need a permit.
        hold: Nothing is sent for so many seconds.
        again: After so many seconds there may be more to get.
        crowded: Whether others wait too.
    """

    slots: dict[str, int] = field(default_factory=dict)
    permits: dict[str, list[Permit]] = field(default_factory=dict)
    metered: frozenset[str] = frozenset()
    hold: float = 0.0
    again: float = 1.0
    crowded: bool = False


class Grant(BaseModel):
    """A permit that another process has reckoned out and its holder has not fetched; `at` in seconds of the epoch."""

    at: float
    tokens: float = 0.0


class Claim(BaseModel):
    """What a process has stated for an organization, and what it has got."""

    busy: int = 0
    waiting: int = 0
    unspent: int = 0
    peak: int = 0
    tokens: float = 0.0
    slots: int = 0
    started: int = 0
    grants: list[Grant] = Field(default_factory=list)


class Holder(BaseModel):
    """A process; without a report for a while it counts as dead."""

    seen: float
    claims: dict[str, Claim] = Field(default_factory=dict)


class Tenant(BaseModel):
    """An organization at a pool.

    Attributes:
        budget: Its own.
        requests: When its next request may start, by its requests a minute.
        tokens: The same by its tokens a minute.
        served: What it has got, as virtual time: the one with least goes first.
        seen: When it wanted something last.
        minute: The present minute.
        count: Requests sent in it.
        used: Tokens used in it.
        count_before: Requests sent in the minute before.
        used_before: Tokens used in it.
    """

    budget: Budget = Field(default_factory=Budget)
    requests: float = 0.0
    tokens: float = 0.0
    served: float = 0.0
    seen: float = 0.0
    minute: int = 0
    count: int = 0
    used: float = 0.0
    count_before: int = 0
    used_before: float = 0.0


class Learned(BaseModel):
    """A rate that refusals have taught, where none is configured.

    Attributes:
        rate: Requests a second; None: none was refused yet.
        at: When the next request may start by it.
        since: Since when answers are counted.
        answered: How many there were.
        grown: When the rate was raised last.
        free: When the wait that the last refusal asked for ends.
        is_probe: Whether too few answers came to tell a rate, so that each one raises it.
    """

    rate: float | None = None
    at: float = 0.0
    since: float = 0.0
    answered: int = 0
    grown: float = 0.0
    free: float = 0.0
    is_probe: bool = False


class Pace(BaseModel):
    """A rate that the provider's headers leave room for, until then."""

    rate: float
    at: float = 0.0
    until: float = 0.0


class PoolState(BaseModel):
    """All that is known of one provider's key. Times are seconds of the epoch, by the database's clock.

    Attributes:
        now: When it was looked at last; time never runs backwards.
        hold: Nothing is sent before.
        requests: When the next request may start, by requests a minute.
        tokens: The same by tokens a minute.
        floor: Virtual time: who comes anew begins here.
        tenants: By organization.
        holders: By process.
        learned: What refusals have taught.
        pace: What headers have told.
    """

    now: float = 0.0
    hold: float = 0.0
    requests: float = 0.0
    tokens: float = 0.0
    floor: float = 0.0
    tenants: dict[str, Tenant] = Field(default_factory=dict)
    holders: dict[str, Holder] = Field(default_factory=dict)
    learned: Learned = Field(default_factory=Learned)
    pace: Pace | None = None
