"""The limiter's arithmetic, by a clock that the test sets: nobody gets more than there is, and all get some."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.llm.limiter.shares import BURST_SECONDS, HORIZON_SECONDS, LEASE_SECONDS, exchange, fill, used_by
from towpath.llm.limiter.types import Budget, Demand, PoolState, Report, Turn

STEP = 0.1


@dataclass
class Process:
    """A worker that asks every tenth of a second, and sends as soon as it may.

    Attributes:
        waiting: Requests by organization.
        seconds: How long each takes.
        sent: When each was sent, with its organization.
    """

    name: str
    waiting: dict[str, int]
    seconds: float = 0.2
    tokens: float = 0.0
    taken: float | None = None
    own: dict[str, Budget] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    permits: dict[str, list[float]] = field(default_factory=dict)
    ends: dict[str, list[float]] = field(default_factory=dict)
    sent: list[tuple[float, str]] = field(default_factory=list)
    started: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)

    def ask(self, state: PoolState, budget: Budget, now: float, **changes: float) -> Turn:
        """Exchange, and do until the next time what may be done."""
        demands = {
            name: Demand(
                busy=len(self.ends.get(name, [])), waiting=count, unspent=len(self.permits.get(name, [])),
                started=self.started[name], tokens=self.tokens, settled=self.settled[name],
                budget=self.own.get(name, Budget()),
            )
            for name, count in self.waiting.items()
        }  # fmt: skip
        self.started.clear()
        self.settled.clear()
        turn = exchange(state, Report(self.name, demands, **changes), budget, now)
        self.slots = turn.slots
        if turn.hold:
            self.permits.clear()
        for name, permits in turn.permits.items():
            self.permits.setdefault(name, []).extend(now + permit.after for permit in permits)
        self._work(turn, now)
        return turn

    def _work(self, turn: Turn, now: float) -> None:
        for tick in range(10):
            at = now + tick * STEP / 10
            for name in self.waiting:
                ends = self.ends.setdefault(name, [])
                ended = [end for end in ends if end <= at]
                if self.taken is not None:
                    self.settled[name] += len(ended) * (self.taken - self.tokens)
                self.ends[name] = ends = [end for end in ends if end > at]
                while self._may_send(turn, name, at):
                    if name in turn.metered:
                        self.permits[name].pop(0)
                    ends.append(at + self.seconds)
                    self.waiting[name] -= 1
                    self.started[name] += 1
                    self.sent.append((at, name))

    def _may_send(self, turn: Turn, name: str, at: float) -> bool:
        if not self.waiting[name] or (turn.hold > at - (at // STEP) * STEP + 1e-9 and turn.hold > 0):
            return False
        permits = self.permits.get(name, [])
        is_let = name not in turn.metered or (bool(permits) and permits[0] <= at)
        return is_let and len(self.ends[name]) < self.slots.get(name, 0)


def run(processes: list[Process], budget: Budget, seconds: float, state: PoolState | None = None) -> PoolState:
    """Let all of them work for a while."""
    state = state or PoolState()
    start = state.now or 1000.0
    for step in range(round(seconds / STEP)):
        for place, process in enumerate(processes):
            process.ask(state, budget, start + step * STEP + place * STEP / 100)
    return state


def sent_of(processes: list[Process], name: str | None = None) -> list[float]:
    return sorted(at for process in processes for at, whose in process.sent if name in (None, whose))


def most_in(moments: list[float], span: float) -> int:
    return max(sum(first <= at < first + span for at in moments) for first in moments)


@pytest.mark.parametrize("rate", [6, 60, 600, 6000])
def test_four_processes_together_keep_to_the_rate_and_use_all_of_it(rate: int) -> None:
    processes = [Process(f"p{place}", {"org": 100_000}) for place in range(4)]
    run(processes, Budget(requests=rate, calls=1000), 60.0)
    moments = sent_of(processes)
    assert rate * 0.97 - 1 <= len(moments) <= rate + 1 + rate / 60 * BURST_SECONDS
    # In no second more than a second's worth, what may be caught up, and one.
    assert most_in(moments, 1.0) <= rate / 60 * (1 + BURST_SECONDS) + 2
    assert all(process.sent for process in processes)


def test_calls_at_once_are_counted_over_all_processes() -> None:
    processes = [Process(f"p{place}", {"org": 500}, seconds=0.35) for place in range(4)]
    run(processes, Budget(calls=10), 20.0)
    spans = [(at, at + 0.35) for at in sent_of(processes)]
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) == 10
    # A slot is used again within the exchange, so nearly all of them are busy all the time.
    assert len(spans) >= 0.9 * 10 * 20 / 0.35


@given(
    waiting=st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1), min_size=1, max_size=5),
    calls=st.integers(1, 12),
    rate=st.none() | st.integers(30, 3000),
)
def test_whatever_is_wanted_everything_is_sent_and_never_too_many_at_once(
    waiting: list[dict[str, int]], calls: int, rate: int | None
) -> None:
    processes = [Process(f"p{place}", dict(wanted)) for place, wanted in enumerate(waiting)]
    total = sum(sum(wanted.values()) for wanted in waiting)
    enough = total * 0.25 / calls + total * 60 / (rate or 10**9) + 5
    run(processes, Budget(requests=rate, calls=calls), 2 * enough)
    moments = sent_of(processes)
    assert len(moments) == total
    assert max(sum(at <= now < at + 0.2 for at in moments) for now in moments) <= calls


def test_a_small_organization_waits_at_most_twice_its_time_alone_beside_a_large_one() -> None:
    for rate in (60, 120, 600, 1200):
        alone = [Process("p0", {"small": 10})]
        run(alone, Budget(requests=rate, calls=100), 30.0)
        both = [Process("p0", {"large": 10_000}), Process("p1", {"large": 10_000})]
        budget = Budget(requests=rate, calls=100)
        state = run(both, budget, 5.0)
        small = Process("p2", {"small": 10})
        begins = state.now
        run([*both, small], budget, 60.0, state)
        first = sent_of(alone)
        assert sent_of([small])[-1] + 0.2 - begins <= 2 * (first[-1] + 0.2 - first[0]) + STEP


def test_organizations_share_by_turns_wherever_they_wait() -> None:
    processes = [
        Process("p0", {"a": 5000, "b": 5000}), Process("p1", {"a": 5000}), Process("p2", {"a": 5000, "c": 5000}),
    ]  # fmt: skip
    run(processes, Budget(requests=1200, calls=100), 30.0)
    counts = Counter(whose for process in processes for _, whose in process.sent)
    assert max(counts.values()) - min(counts.values()) <= 12


def test_one_slot_goes_round_among_organizations_and_processes() -> None:
    processes = [Process(f"p{place}", {"abc"[place % 3]: 1000}) for place in range(6)]
    run(processes, Budget(calls=1), 120.0)
    counts = Counter(whose for process in processes for _, whose in process.sent)
    assert min(counts.values()) >= 0.7 * max(counts.values())
    assert all(len(process.sent) > 20 for process in processes)


def test_an_organization_that_could_not_use_its_share_for_long_does_not_take_everything_afterwards() -> None:
    limited, free = Process("p0", {"a": 5000}, own={"a": Budget(requests=60)}), Process("p1", {"b": 50_000})
    budget = Budget(requests=1200, calls=100)
    state = run([limited, free], budget, 60.0)
    assert 55 <= len(limited.sent) <= 62
    limited.own.clear()
    before = len(free.sent)
    run([limited, free], budget, 10.0, state)
    assert len(free.sent) - before >= 90


def test_tokens_are_counted_by_what_was_used() -> None:
    # 100 were expected of each request, and it takes 400.
    process = Process("p0", {"org": 10_000}, tokens=100.0, taken=400.0)
    run([process], Budget(tokens=24_000, calls=100), 60.0)
    assert 50 <= len(process.sent) <= 70


def test_a_request_larger_than_a_minute_of_tokens_is_sent_all_the_same() -> None:
    process = Process("p0", {"org": 3}, tokens=5000.0)
    run([process], Budget(tokens=6000, calls=10), 120.0)
    moments = sent_of([process])
    assert len(moments) == 3
    assert moments[1] - moments[0] >= 50 - BURST_SECONDS - 1


def test_what_a_dead_process_held_comes_back_with_its_lease() -> None:
    budget = Budget(calls=10)
    dead, alive = Process("dead", {"org": 1000}, seconds=10_000), Process("alive", {"org": 1000})
    state = PoolState()
    dead.ask(state, budget, 1000.0)
    assert alive.ask(state, budget, 1000.1).slots == {"org": 0}
    alive.ask(state, budget, 1000.0 + LEASE_SECONDS - 0.1)
    assert not alive.sent
    assert alive.ask(state, budget, 1000.1 + LEASE_SECONDS).slots == {"org": 10}
    assert alive.sent


def test_permits_of_a_dead_process_cost_the_others_little() -> None:
    budget = Budget(requests=600, calls=100)
    dead, alive = Process("dead", {"org": 10_000}), Process("alive", {"org": 10_000})
    state = run([dead, alive], budget, 2.0)
    before = len(alive.sent)
    run([alive], budget, 20.0, state)
    assert len(alive.sent) - before >= 0.9 * 200 - 20


def test_a_hold_stops_every_process_until_then() -> None:
    budget = Budget(calls=10)
    processes = [Process(f"p{place}", {"org": 1000}) for place in range(3)]
    state = run(processes, budget, 1.0)
    told = state.now
    processes[0].ask(state, budget, told + 0.01, hold=30.0)
    before = [len(process.sent) for process in processes]
    # A shorter one does not shorten it.
    processes[1].ask(state, budget, told + 0.02, hold=1.0)
    processes[2].ask(state, budget, told + 0.03)
    assert [len(process.sent) for process in processes] == before
    assert state.hold == pytest.approx(told + 30.01)
    assert [process.ask(state, budget, told + 29.0).hold for process in processes] == [pytest.approx(1.01)] * 3
    assert [process.ask(state, budget, told + 30.1).hold for process in processes] == [0.0] * 3


def test_after_a_hold_the_rate_is_kept_and_nothing_is_caught_up() -> None:
    budget = Budget(requests=600, calls=100)
    processes = [Process(f"p{place}", {"org": 1000}) for place in range(2)]
    state = run(processes, budget, 2.0)
    processes[0].ask(state, budget, state.now, hold=5.0)
    free = state.hold
    run(processes, budget, 8.0, state)
    after = [at for at in sent_of(processes) if at >= free]
    assert not [at for at in sent_of(processes) if free - 5.0 + HORIZON_SECONDS + STEP < at < free - 0.01]
    assert len([at for at in after if at < free + 1.0]) <= 10 * (1 + BURST_SECONDS) + 2


def test_refusals_teach_the_rate_where_none_is_configured() -> None:
    budget = Budget(calls=50)
    state = PoolState()
    process = Process("p0", {"org": 100_000})
    # Twenty are answered in a second, then the provider refuses and asks to wait a second.
    process.ask(state, budget, 1000.0)
    process.ask(state, budget, 1001.0, answered=20, refused=3, hold=1.0)
    assert state.learned.rate == pytest.approx(0.97 * 10)
    sent = len(process.sent)
    run([process], budget, 6.0, state)
    assert 35 <= len(process.sent) - sent <= 60
    # It grows again, and is forgotten in the end.
    before = state.learned.rate
    run([process], budget, 5.0, state)
    assert state.learned.rate is not None and before is not None
    assert state.learned.rate > before
    process.ask(state, budget, state.now + 1000.0)
    assert state.learned.rate is None


def test_a_refusal_after_hardly_an_answer_slows_down_for_seconds_and_no_more() -> None:
    budget, state = Budget(calls=50), PoolState()
    process = Process("p0", {"org": 1})
    process.ask(state, budget, 1000.0)
    process.ask(state, budget, 1000.1, refused=1, hold=1.0)
    process.ask(state, budget, 1001.5, answered=1)
    process.ask(state, budget, 1003.0, refused=1, hold=1.0)
    assert state.learned.rate == pytest.approx(1.0)
    now, sent = 1004.1, len(process.sent)
    process.waiting = {"org": 50}
    while process.waiting["org"] and now < 1030.0:
        before = len(process.sent)
        process.ask(state, budget, now, answered=before - sent)
        sent, now = before, now + STEP
    assert now < 1015.0


def test_a_learned_rate_does_not_collapse_when_two_refusals_come_close_together() -> None:
    budget, state = Budget(calls=50), PoolState()
    process = Process("p0", {"org": 100_000})
    process.ask(state, budget, 1000.0)
    process.ask(state, budget, 1001.0, answered=20, refused=3, hold=1.0)
    process.ask(state, budget, 1002.1, answered=1, refused=1, hold=1.0)
    assert state.learned.rate == pytest.approx(0.97**2 * 10)


def test_a_provider_that_takes_few_is_learned_over_several_refusals() -> None:
    budget, state = Budget(calls=50), PoolState()
    process = Process("p0", {"org": 100_000})
    now = 1000.0
    process.ask(state, budget, now)
    for _ in range(10):
        # One is answered every ten seconds; the next one is refused.
        process.ask(state, budget, now + 0.5, answered=1)
        process.ask(state, budget, now + 1.0, refused=1, hold=9.0)
        now += 10.0
    assert state.learned.rate is not None
    assert 0.08 <= state.learned.rate <= 0.1


def test_what_headers_leave_is_spread_until_the_reset() -> None:
    budget, state = Budget(calls=50), PoolState()
    process = Process("p0", {"org": 1000})
    process.ask(state, budget, 1000.0, pace=2.0, pace_seconds=10.0)
    run([process], budget, 9.5, state)
    assert len(process.sent) <= 21
    run([process], budget, 2.0, state)
    assert len(process.sent) > 50


def test_an_organizations_own_budget_holds_for_it_alone() -> None:
    budget, own = Budget(calls=100), {"a": Budget(requests=60, calls=2)}
    processes = [Process(f"p{place}", {"a": 1000, "b": 1000}, own=own) for place in range(2)]
    state = run(processes, budget, 10.0)
    assert 9 <= len(sent_of(processes, "a")) <= 12
    assert len(sent_of(processes, "b")) == 2000
    requests, _, busy = used_by(state, "a", state.now)
    assert requests <= 12
    assert busy <= 2
    assert used_by(state, "nobody", state.now) == (0.0, 0.0, 0)


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 30), max_size=8), st.integers(0, 60))
def test_what_is_divided_is_divided_whole_and_evenly(wants: dict[str, int], room: int) -> None:
    shares = fill(wants, room)
    assert sum(shares.values()) == min(room, sum(wants.values()))
    assert all(shares[name] <= want for name, want in wants.items())
    unmet = [shares[name] for name, want in wants.items() if shares[name] < want]
    # Nobody who wants more has less than another by more than the one that cannot be divided.
    assert not unmet or max(shares.values()) - min(unmet) <= 1
