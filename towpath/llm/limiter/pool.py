"""A process's part of the limiter for one provider's key: it queues requests and spends what the ledger gave.

No request makes a statement of its own. One task a pool tells the ledger what is wanted, for all requests of the
process at once: at once when a first one waits, then a few times a second while some do, once a second while some are
on the way. It ends when nothing is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import uuid4

from towpath.core.errors import RateLimitedError
from towpath.jobs.waits import CURRENT_WAITS, ActivityWaits
from towpath.llm.limiter.headers import Room
from towpath.llm.limiter.ledger import Ledger
from towpath.llm.limiter.types import Budget, Demand, Permit, PoolKey, Report, Turn, WaitReason

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 300.0
"""After so long a request is given back to Temporal, which waits without a worker."""
MAX_HELD_SECONDS = 60.0
"""A hold that lasts longer is waited out by Temporal."""
KEEP_SECONDS = 2.0
"""Slots that nobody needs are kept so long for the next requests."""
SPOIL_SECONDS = 2.0
"""A permit that is not spent is given back so long after its moment."""
MIN_PAUSE_SECONDS = 0.02
CROWDED_PAUSE_SECONDS = 0.1
PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 1.0
AWAY_PAUSE_SECONDS = 1.0
TOKENS_A_BYTE = 0.3
"""Of a request, before any has told what it took: about a quarter goes in, and something comes out."""
LEARN_STEP = 0.1

BudgetOf = Callable[[str], Awaitable[Budget]]
Watch = Callable[["Pool"], None]


@dataclass(slots=True)
class Outcome:
    """What became of a request.

    Attributes:
        size: Its bytes.
        tokens: What it took; None: that is not known.
        is_answered: Whether it was answered with success.
        is_refused: Whether it was one too many for the provider.
        hold: The provider asks all to wait so many seconds.
        room: What its headers leave room for.
    """

    size: int = 0
    tokens: float | None = None
    is_answered: bool = False
    is_refused: bool = False
    hold: float | None = None
    room: Room | None = None


@dataclass(slots=True)
class Waiter:
    """A request that waits."""

    leave: asyncio.Future[Permit]
    tokens: float
    since: float
    waits: ActivityWaits | None


@dataclass(slots=True)
class Place:
    """An organization at this pool, in this process."""

    queue: deque[Waiter] = field(default_factory=deque)
    permits: deque[tuple[float, Permit]] = field(default_factory=deque)
    slots: int = 0
    busy: int = 0
    is_metered: bool = False
    started: int = 0
    settled: float = 0.0
    used: float = 0.0
    returned: int = 0
    high: int = 0
    high_at: float = 0.0

    @property
    def requests(self) -> int:
        """Return how many requests there are."""
        return self.busy + len(self.queue)

    @property
    def is_idle(self) -> bool:
        """Return whether there is nothing to state of it any more."""
        stated = (self.started, self.settled, self.used, self.returned)
        return not (self.requests or self.permits or self.high or any(stated))

    def note_high(self, now: float) -> None:
        """Remember the most requests of the last moments."""
        if self.requests >= self.high or now - self.high_at > KEEP_SECONDS:
            self.high, self.high_at = self.requests, now


class Pool:
    """Requests of this process to one provider under one key.

    Args:
        key: Which.
        budget: The provider's.
        ledger: Knows what all processes do.
        budget_of: Tells an organization's own budget.
        watch: Is called after each exchange, to show who waits.
    """

    def __init__(self, key: PoolKey, budget: Budget, ledger: Ledger, budget_of: BudgetOf, watch: Watch) -> None:
        self.key = key
        self.places: dict[str, Place] = {}
        self.hold_until = 0.0
        self.again_at = 0.0
        self._budget = budget
        self._ledger = ledger
        self._budget_of = budget_of
        self._watch = watch
        self._holder = uuid4().hex
        self._tokens_a_byte = TOKENS_A_BYTE
        self._hold_wanted = 0.0
        self._answered = self._refused = 0
        self._room: Room | None = None
        self._crowded = False
        self._closed = False
        self._next = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> int:
        """Return how many requests of this process are on the way."""
        return sum(place.busy for place in self.places.values())

    async def enter(self, organization: str, size: int) -> Permit:
        """Wait until a request may be sent; `leave` must follow.

        Args:
            organization: Whose request it is.
            size: Its bytes.

        Raises:
            RateLimitedError: It would wait longer than a worker should, or the worker stops; the error says how long.
        """
        if self._closed:
            raise _stopping()
        place = self.places.setdefault(organization, Place())
        waits = CURRENT_WAITS.get()
        now = time.monotonic()
        waiter = Waiter(asyncio.get_running_loop().create_future(), size * self._tokens_a_byte, now, waits)
        place.queue.append(waiter)
        place.note_high(now)
        self._dispatch()
        if not waiter.leave.done() or self._task is None:
            self._knock()
        if waits is not None:
            waits.waiting += 1
        try:
            return await waiter.leave
        except asyncio.CancelledError:
            self._withdraw(place, waiter)
            raise
        finally:
            if waits is not None:
                waits.waiting -= 1

    def leave(self, organization: str, permit: Permit, outcome: Outcome) -> None:
        """Note that a request is over.

        Args:
            organization: Whose.
            permit: What `enter` gave.
            outcome: What became of it.
        """
        place = self.places[organization]
        place.busy -= 1
        self._answered += outcome.is_answered
        self._refused += outcome.is_refused
        if outcome.tokens is not None:
            place.settled += outcome.tokens - permit.tokens
            place.used += outcome.tokens
            if outcome.size and outcome.is_answered:
                self._tokens_a_byte += LEARN_STEP * (outcome.tokens / outcome.size - self._tokens_a_byte)
        if outcome.room is not None:
            self._room = outcome.room
        if outcome.hold:
            self.hold_until = max(self.hold_until, time.monotonic() + outcome.hold)
            self._hold_wanted = max(self._hold_wanted, outcome.hold)
        if outcome.hold or outcome.is_refused or place.busy >= place.slots:
            self._knock()
        self._dispatch()

    def close(self) -> None:
        """End every wait; what is on the way goes on."""
        self._closed = True
        for place in self.places.values():
            for waiter in place.queue:
                if not waiter.leave.done():
                    waiter.leave.set_exception(_stopping())
            place.queue.clear()

    async def stop(self) -> None:
        """Give everything back."""
        self.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        try:
            report = await self._report()
            for demand in report.demands.values():
                demand.busy = demand.waiting = demand.peak = 0
            await self._ledger.exchange(self.key, report, self._budget)
        except Exception as error:
            logger.debug("what this process held of %s ends by itself: %s", self.key.provider, error)

    def _withdraw(self, place: Place, waiter: Waiter) -> None:
        if waiter in place.queue:
            place.queue.remove(waiter)
            return
        if waiter.leave.done() and not waiter.leave.cancelled() and waiter.leave.exception() is None:
            # It was let go in the very moment in which it gave up.
            place.busy -= 1
            place.started -= 1
            place.settled -= waiter.leave.result().tokens
            place.returned += place.is_metered
            self._dispatch()

    def _knock(self) -> None:
        self._news.set()
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run())

    def _dispatch(self) -> None:
        """Let go who may go: one of each organization in turn."""
        now = time.monotonic()
        if self.hold_until > now:
            self._call_at(self.hold_until)
            return
        names = list(self.places)
        is_going = True
        while is_going and names:
            is_going = False
            for step in range(len(names)):
                if self._let_go(self.places[names[(self._next + step) % len(names)]], now):
                    is_going = True
            self._next += 1

    def _let_go(self, place: Place, now: float) -> bool:
        while place.queue and place.queue[0].leave.done():
            # It was cancelled, and has not come to take itself out.
            place.queue.popleft()
        if not place.queue or place.busy >= place.slots:
            return False
        permit = Permit(0.0, 0.0)
        if place.is_metered:
            if not place.permits:
                return False
            at, permit = place.permits[0]
            if at > now:
                self._call_at(at)
                return False
            place.permits.popleft()
        place.busy += 1
        place.started += 1
        place.queue.popleft().leave.set_result(permit)
        return True

    def _call_at(self, at: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + max(at - time.monotonic(), 0.0)
        if self._timer is not None and not self._timer.cancelled():
            if loop.time() < self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._dispatch)

    async def _run(self) -> None:
        try:
            while True:
                self._news.clear()
                pause = await self._exchange()
                if pause is None:
                    return
                await asyncio.sleep(MIN_PAUSE_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()
        finally:
            self._task = None

    async def _exchange(self) -> float | None:
        """Exchange with the ledger once.

        Returns:
            How long nothing new need be asked; None: this process has nothing left.
        """
        now = time.monotonic()
        self._fail_old(now)
        try:
            report = await self._report()
            try:
                turn = await self._ledger.exchange(self.key, report, self._budget)
            except BaseException:
                self._take_back(report)
                raise
        except Exception as error:
            logger.warning("the limiter of %s: %s", self.key.provider, error)
            await asyncio.sleep(AWAY_PAUSE_SECONDS)
            return PAUSE_SECONDS
        self._apply(turn)
        self._watch(self)
        return self._pause(turn)

    async def _report(self) -> Report:
        now = time.monotonic()
        budgets = {organization: await self._budget_of(organization) for organization in list(self.places)}
        report = Report(self._holder, hold=self._hold_wanted, answered=self._answered, refused=self._refused)
        if self._room is not None:
            report.pace, report.pace_seconds = self._room.rate, self._room.seconds
        for organization, budget in budgets.items():
            place = self.places[organization]
            self._give_back(place, now - SPOIL_SECONDS if place.queue else math.inf)
            place.note_high(now)
            queue = place.queue
            report.demands[organization] = Demand(
                busy=place.busy,
                waiting=len(queue),
                unspent=len(place.permits),
                started=place.started,
                peak=place.high,
                tokens=sum(waiter.tokens for waiter in queue) / len(queue) if queue else 0.0,
                settled=place.settled,
                used=place.used,
                returned=place.returned,
                budget=budget,
            )
            place.started = place.returned = 0
            place.settled = place.used = 0.0
        self._hold_wanted, self._answered, self._refused, self._room = 0.0, 0, 0, None
        return report

    def _take_back(self, report: Report) -> None:
        """State once more what the ledger did not take in."""
        self._hold_wanted = max(self._hold_wanted, self.hold_until - time.monotonic(), 0.0) if report.hold else 0.0
        self._answered += report.answered
        self._refused += report.refused
        for organization, demand in report.demands.items():
            place = self.places[organization]
            place.started += demand.started
            place.settled += demand.settled
            place.used += demand.used
            place.returned += demand.returned

    def _give_back(self, place: Place, before: float = math.inf) -> None:
        """Give back the permits whose moment came before that."""
        while place.permits and place.permits[0][0] < before:
            _, permit = place.permits.popleft()
            place.returned += 1
            place.settled -= permit.tokens

    def _apply(self, turn: Turn) -> None:
        now = time.monotonic()
        self.hold_until = now + turn.hold if turn.hold else 0.0
        self.again_at = now + turn.again
        self._crowded = turn.crowded
        for organization, place in list(self.places.items()):
            if turn.hold:
                self._give_back(place)
            place.slots = turn.slots.get(organization, 0)
            place.is_metered = organization in turn.metered
            place.permits.extend((now + permit.after, permit) for permit in turn.permits.get(organization, ()))
            if organization not in turn.slots and place.is_idle:
                del self.places[organization]
        if turn.hold > MAX_HELD_SECONDS:
            self._fail_held(turn.hold)
        self._dispatch()

    def _pause(self, turn: Turn) -> float | None:
        if not self.places:
            return None
        wanting = [place for place in self.places.values() if place.queue]
        if not wanting:
            # A hold that another process hears of must reach this one before its next request does.
            return PAUSE_SECONDS
        if turn.hold:
            return min(max(turn.hold - PAUSE_SECONDS, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        if any(place.is_metered for place in wanting):
            return min(max(turn.again, CROWDED_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        return CROWDED_PAUSE_SECONDS if turn.crowded else PAUSE_SECONDS

    def _fail_old(self, now: float) -> None:
        for place in self.places.values():
            while place.queue and place.queue[0].since < now - MAX_WAIT_SECONDS:
                waiter = place.queue.popleft()
                if not waiter.leave.done():
                    detail = f"no turn at {self.key.provider} within {MAX_WAIT_SECONDS:.0f} s"
                    waiter.leave.set_exception(RateLimitedError(detail, retry_after=1))

    def _fail_held(self, seconds: float) -> None:
        for place in self.places.values():
            while place.queue:
                waiter = place.queue.popleft()
                if not waiter.leave.done():
                    detail = f"{self.key.provider} asks all requests with its key to wait"
                    waiter.leave.set_exception(RateLimitedError(detail, retry_after=math.ceil(seconds)))

    def reason(self, place: Place) -> WaitReason:
        """Return what the requests of an organization wait for."""
        if self.hold_until > time.monotonic():
            return WaitReason.HELD
        return WaitReason.RATE if place.is_metered and place.busy < place.slots else WaitReason.CALLS


def _stopping() -> RateLimitedError:
    return RateLimitedError("the worker stops; another one goes on", retry_after=1)
