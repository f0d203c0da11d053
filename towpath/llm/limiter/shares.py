"""Who may send how much: one pure function over what all processes have stated.

Requests at once are slots, which a process keeps and uses again and again until the next exchange. Where a rate holds,
each request needs a permit besides: a moment from which on it may start. Meters are moments, too (the generic cell
rate algorithm): the next request may start then, each request moves it on, and it lags behind the present by at most
`BURST_SECONDS`, which is all that is ever sent at once.

Organizations share by virtual time: the one that has got least comes first, and one that comes anew begins a few
requests before the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from towpath.llm.limiter.types import (
    Budget,
    Claim,
    Demand,
    Grant,
    Holder,
    Learned,
    Pace,
    Permit,
    PoolState,
    Report,
    Tenant,
    Turn,
)

LEASE_SECONDS = 10.0
"""What a process holds ends so long after its last report."""
SILENT_SECONDS = 2.5
"""A process that does not fetch its permits for so long gets none."""
HORIZON_SECONDS = 0.2
"""Permits are given so long ahead: a process needs not ask again for each."""
BURST_SECONDS = 0.1
LEAD_CALLS = 5
"""An organization that comes anew, or wants less than its share, is so many requests ahead of the others."""
FORGET_SECONDS = 180.0
MAX_GRANTS = 200
MAX_HOLD_SECONDS = 86_400.0
LEARN_SHARE = 0.97
"""Of the rate that a provider was seen to take, so much is used after a refusal."""
GROWTH_A_SECOND = 0.01
CALM_SECONDS = 30.0
"""The longer nothing was refused, the faster a learned rate grows."""
MIN_LEARNED_RATE = 0.05
LEARN_FROM = 5
"""Fewer answers than this tell no rate."""
PROBE_RATE = 1.0
"""Requests a second after a refusal that tells no rate; each answer adds as much."""
MAX_PROBE_RATE = 50.0
"""A provider that takes so much had only refused for a moment."""
LEARNED_FOR_SECONDS = 600.0
MINUTE = 60.0


def exchange(state: PoolState, report: Report, budget: Budget, now: float) -> Turn:
    """Take a process's report in, and decide what it may do.

    Args:
        state: What is known; it is changed.
        report: What the process states.
        budget: The provider's.
        now: The time.
    """
    now = state.now = max(now, state.now)
    for name, holder in list(state.holders.items()):
        if holder.seen < now - LEASE_SECONDS:
            del state.holders[name]
    _learn(state, report, budget, now)
    _take_in(state, report, budget, now)
    mine = state.holders.get(report.holder)
    turn = Turn(hold=max(state.hold - now, 0.0))
    if mine is None:
        return turn
    _share_slots(state, report.holder, budget, now)
    metered = frozenset(name for name in mine.claims if _is_metered(state, state.tenants[name], budget))
    turn.again = _grant(state, budget, now)
    for name, claim in mine.claims.items():
        turn.slots[name] = claim.slots
        if name in metered:
            turn.permits[name] = [Permit(max(grant.at - now, 0.0), grant.tokens) for grant in claim.grants]
            claim.unspent += len(claim.grants)
        claim.grants = []
    turn.metered = metered
    others = [holder for name, holder in state.holders.items() if name != report.holder]
    turn.crowded = any(claim.waiting for holder in others for claim in holder.claims.values())
    return turn


def used_by(state: PoolState, organization: str, now: float) -> tuple[float, float, int]:
    """Return an organization's requests and tokens in the last minute, sliding, and its requests on the way."""
    busy = sum(
        holder.claims[organization].busy
        for holder in state.holders.values()
        if organization in holder.claims and holder.seen >= now - LEASE_SECONDS
    )
    tenant = state.tenants.get(organization)
    if tenant is None:
        return 0.0, 0.0, busy
    minute, rest = int(now // MINUTE), 1 - now % MINUTE / MINUTE
    if tenant.minute == minute:
        return tenant.count + tenant.count_before * rest, tenant.used + tenant.used_before * rest, busy
    if tenant.minute == minute - 1:
        return tenant.count * rest, tenant.used * rest, busy
    return 0.0, 0.0, busy


def fill(wants: Mapping[str, int], room: int) -> dict[str, int]:
    """Divide what there is: each gets the same, nobody more than they want; what is left over goes to the first.

    Args:
        wants: What each wants, in the order in which a rest is given.
        room: How much there is.
    """
    shares = dict.fromkeys(wants, 0)
    left = room
    open_wants = {name: want for name, want in wants.items() if want > 0}
    while left > 0 and open_wants:
        each = left // len(open_wants)
        if each == 0:
            for name in list(open_wants)[:left]:
                shares[name] += 1
            break
        for name, want in list(open_wants.items()):
            share = min(each, want)
            shares[name] += share
            left -= share
            if share == want:
                del open_wants[name]
            else:
                open_wants[name] = want - share
    return shares


def _take_in(state: PoolState, report: Report, budget: Budget, now: float) -> None:
    if report.hold > 0:
        state.hold = max(state.hold, now + min(report.hold, MAX_HOLD_SECONDS))
    before = state.holders.pop(report.holder, None)
    live = {name: demand for name, demand in report.demands.items() if demand.busy or demand.waiting or demand.peak}
    for name, demand in report.demands.items():
        tenant = state.tenants.setdefault(name, Tenant())
        tenant.budget, tenant.seen = demand.budget, now
        _count(tenant, demand, now)
        _settle(state, tenant, demand, budget)
    claims: dict[str, Claim] = {}
    for name, demand in live.items():
        tenant = state.tenants[name]
        tenant.served = max(tenant.served, state.floor - LEAD_CALLS * _unit(state, tenant, budget, demand.tokens))
        old = before.claims.get(name, Claim()) if before else Claim()
        if demand.started and not _is_metered(state, tenant, budget):
            # With permits it was counted when they were given.
            state.floor = max(state.floor, tenant.served)
            tenant.served += demand.started
        claims[name] = Claim(
            busy=demand.busy, waiting=demand.waiting, unspent=demand.unspent, peak=demand.peak, tokens=demand.tokens,
            slots=old.slots, started=old.started + demand.started, grants=old.grants,
        )  # fmt: skip
    for name, old in before.claims.items() if before else ():
        if name not in claims and old.grants:
            tokens = sum(grant.tokens for grant in old.grants)
            _give_back(state, state.tenants.get(name), budget, len(old.grants), tokens)
    if claims:
        state.holders[report.holder] = Holder(seen=now, claims=claims)
    _tidy(state, now)


def _tidy(state: PoolState, now: float) -> None:
    claims = [claim for holder in state.holders.values() for claim in holder.claims.values()]
    if not any(claim.busy or claim.waiting for claim in claims):
        # What a provider takes shows only while it is asked.
        state.learned.since, state.learned.answered = max(now, state.learned.since), 0
    known = {name for holder in state.holders.values() for name in holder.claims}
    for name in [name for name, tenant in state.tenants.items() if name not in known]:
        if state.tenants[name].seen < now - FORGET_SECONDS:
            del state.tenants[name]


def _count(tenant: Tenant, demand: Demand, now: float) -> None:
    minute = int(now // MINUTE)
    if tenant.minute != minute:
        is_next = tenant.minute == minute - 1
        tenant.count_before, tenant.used_before = (tenant.count, tenant.used) if is_next else (0, 0.0)
        tenant.minute, tenant.count, tenant.used = minute, 0, 0.0
    tenant.count += demand.started
    tenant.used += demand.used


def _settle(state: PoolState, tenant: Tenant, demand: Demand, budget: Budget) -> None:
    """Correct what was counted by what was used: a debt makes the next requests wait."""
    if budget.tokens:
        state.tokens += demand.settled * MINUTE / budget.tokens
    if tenant.budget.tokens:
        tenant.tokens += demand.settled * MINUTE / tenant.budget.tokens
    if demand.returned:
        # Their tokens are among those that were settled.
        _give_back(state, tenant, budget, demand.returned, 0.0)


def _give_back(state: PoolState, tenant: Tenant | None, budget: Budget, calls: int, tokens: float) -> None:
    if budget.requests:
        state.requests -= calls * MINUTE / budget.requests
    if budget.tokens:
        state.tokens -= tokens * MINUTE / budget.tokens
    if tenant is None:
        return
    if tenant.budget.requests:
        tenant.requests -= calls * MINUTE / tenant.budget.requests
    if tenant.budget.tokens:
        tenant.tokens -= tokens * MINUTE / tenant.budget.tokens


def _share_slots(state: PoolState, holder: str, budget: Budget, now: float) -> None:
    """Give a process its slots: a fair share, as far as others have given theirs back."""
    room = budget.calls or 1 << 30
    wants = _wants(state, now, peaks=True)
    if sum(sum(by_holder.values()) for by_holder in wants.values()) > room:
        wants = _wants(state, now, peaks=False)
    order = sorted(wants, key=lambda name: (state.tenants[name].served, name))
    limits = {name: state.tenants[name].budget.calls or 1 << 30 for name in order}
    shares = fill({name: min(sum(wants[name].values()), limits[name]) for name in order}, room)
    others = {name: claims for name, claims in state.holders.items() if name != holder}
    mine = state.holders[holder].claims
    # What is on the way cannot be called back.
    left = room - sum(_held(claim) for each in others.values() for claim in each.claims.values())
    left -= sum(claim.busy for claim in mine.values())
    for name in order:
        claim = mine.get(name)
        if claim is None:
            continue
        by_started = sorted(wants[name], key=lambda each: (state.holders[each].claims[name].started, each))
        target = fill({each: wants[name][each] for each in by_started}, shares[name])[holder]
        elsewhere = sum(_held(each.claims[name]) for each in others.values() if name in each.claims)
        more = max(min(target, limits[name] - elsewhere) - claim.busy, 0)
        claim.slots = claim.busy + min(more, max(left, 0)) if more else min(target, claim.busy)
        left -= max(claim.slots - claim.busy, 0)


def _held(claim: Claim) -> int:
    return max(claim.slots, claim.busy)


def _wants(state: PoolState, now: float, *, peaks: bool) -> dict[str, dict[str, int]]:
    wants: dict[str, dict[str, int]] = {}
    for name, holder in state.holders.items():
        is_silent = holder.seen < now - SILENT_SECONDS
        for organization, claim in holder.claims.items():
            want = claim.busy if is_silent else claim.busy + claim.waiting
            wants.setdefault(organization, {})[name] = max(want, claim.peak) if peaks and not is_silent else want
    return wants


def _is_metered(state: PoolState, tenant: Tenant, budget: Budget) -> bool:
    own = tenant.budget
    paced = state.learned.rate is not None or state.pace is not None
    return bool(budget.requests or budget.tokens or own.requests or own.tokens or paced)


def _unit(state: PoolState, tenant: Tenant, budget: Budget, tokens: float) -> float:
    """Return what one request takes of virtual time: the part of the dearest budget, or 1 where there is none."""
    parts = list(_steps(state, budget, tokens))
    return max(parts) if parts else 1.0


def _steps(state: PoolState, budget: Budget, tokens: float) -> Iterator[float]:
    if budget.requests:
        yield MINUTE / budget.requests
    if budget.tokens:
        yield tokens * MINUTE / budget.tokens
    if state.learned.rate is not None:
        yield 1 / state.learned.rate
    if state.pace is not None:
        yield 1 / state.pace.rate


def _grant(state: PoolState, budget: Budget, now: float) -> float:
    """Give permits for the next moments, to whoever's turn it is.

    Returns:
        After how many seconds there may be more.
    """
    asks = {
        (organization, name): _ask_of(claim)
        for name, holder in state.holders.items()
        if holder.seen >= now - SILENT_SECONDS
        for organization, claim in holder.claims.items()
        if _is_metered(state, state.tenants[organization], budget)
    }
    asks = {place: ask for place, ask in asks.items() if ask > 0}
    horizon = now + HORIZON_SECONDS
    soonest = math.inf
    for _ in range(MAX_GRANTS):
        soonest = _start_of_pool(state, budget)
        ready = {place: _start_of_tenant(state.tenants[place[0]]) for place in asks}
        if not ready:
            break
        soonest = max(soonest, min(ready.values()))
        if soonest > horizon:
            break
        possible = [place for place, start in ready.items() if start <= horizon]
        place = min(possible, key=lambda each: _turn_of(state, *each))
        organization, name = place
        tenant, claim = state.tenants[organization], state.holders[name].claims[organization]
        start = max(_start_of_pool(state, budget), ready[place], now)
        unit = _unit(state, tenant, budget, claim.tokens)
        _spend(state, tenant, budget, claim.tokens, now)
        state.floor = max(state.floor, tenant.served)
        tenant.served += unit
        claim.grants.append(Grant(at=start, tokens=claim.tokens))
        asks[place] -= 1
        if not asks[place]:
            del asks[place]
    return max(soonest - HORIZON_SECONDS - now, 0.0)


def _turn_of(state: PoolState, organization: str, holder: str) -> tuple[float, int, str]:
    """Return what is compared to find whose turn it is: the organization that got least, then its process that did."""
    claim = state.holders[holder].claims[organization]
    return state.tenants[organization].served, claim.started + claim.unspent + len(claim.grants), holder


def _ask_of(claim: Claim) -> int:
    """Return how many more permits a process can use: those for its free slots, and some for slots that become free."""
    usable = max(claim.slots - claim.busy, 0) + math.ceil(claim.slots / 4)
    return min(claim.waiting, usable) - claim.unspent - len(claim.grants)


def _start_of_pool(state: PoolState, budget: Budget) -> float:
    starts = [state.hold]
    if budget.requests:
        starts.append(state.requests)
    if budget.tokens:
        starts.append(state.tokens)
    if state.learned.rate is not None:
        starts.append(state.learned.at)
    if state.pace is not None:
        starts.append(state.pace.at)
    return max(starts)


def _start_of_tenant(tenant: Tenant) -> float:
    starts = [0.0]
    if tenant.budget.requests:
        starts.append(tenant.requests)
    if tenant.budget.tokens:
        starts.append(tenant.tokens)
    return max(starts)


def _spend(state: PoolState, tenant: Tenant, budget: Budget, tokens: float, now: float) -> None:
    # After a hold nothing is caught up.
    least = max(now - BURST_SECONDS, state.hold)
    if budget.requests:
        state.requests = max(state.requests, least) + MINUTE / budget.requests
    if budget.tokens:
        state.tokens = max(state.tokens, least) + tokens * MINUTE / budget.tokens
    if state.learned.rate is not None:
        state.learned.at = max(state.learned.at, least) + 1 / state.learned.rate
    if state.pace is not None:
        state.pace.at = max(state.pace.at, least) + 1 / state.pace.rate
    if tenant.budget.requests:
        tenant.requests = max(tenant.requests, least) + MINUTE / tenant.budget.requests
    if tenant.budget.tokens:
        tenant.tokens = max(tenant.tokens, least) + tokens * MINUTE / tenant.budget.tokens


def _learn(state: PoolState, report: Report, budget: Budget, now: float) -> None:
    """Learn the provider's rate from what it refuses and from what its headers tell."""
    if state.pace is not None and state.pace.until <= now:
        state.pace = None
    if report.pace is not None:
        at = state.pace.at if state.pace else now
        state.pace = Pace(rate=report.pace, at=at, until=now + report.pace_seconds)
    learned = state.learned
    if budget.requests:
        learned.rate, learned.is_probe = None, False
        return
    if not learned.since:
        learned.since = now
    learned.answered += report.answered
    if report.refused:
        # What was on the way when the others were told to wait is refused for the same reason.
        if now >= state.hold and now >= learned.free:
            _learn_refusal(learned, now, now + max(report.hold, 1.0))
    elif learned.rate is not None and now > learned.grown:
        _grow(learned, report.answered, now)
    elif learned.rate is None and now - learned.since > MINUTE:
        # Only what came lately tells what a provider takes.
        learned.since, learned.answered = now - MINUTE / 2, learned.answered // 2


def _learn_refusal(learned: Learned, now: float, free: float) -> None:
    learned.free = learned.grown = free
    if learned.answered >= LEARN_FROM:
        seen = LEARN_SHARE * learned.answered / max(free - learned.since, 1.0)
        learned.rate = max(seen if learned.rate is None else min(seen, learned.rate), MIN_LEARNED_RATE)
        learned.since, learned.answered, learned.is_probe = free, 0, False
    elif learned.rate is None or learned.is_probe:
        # So few answers tell no rate: a provider that refuses its first request may take thousands a second later.
        learned.rate, learned.is_probe = PROBE_RATE, True
    else:
        learned.rate = max(learned.rate * LEARN_SHARE, MIN_LEARNED_RATE)


def _grow(learned: Learned, answered: int, now: float) -> None:
    assert learned.rate is not None
    calm = now - max(learned.since, learned.free)
    if calm > LEARNED_FOR_SECONDS:
        learned.rate, learned.is_probe = None, False
    elif learned.is_probe:
        learned.rate += answered * PROBE_RATE
        if learned.rate > MAX_PROBE_RATE:
            learned.rate, learned.is_probe = None, False
    else:
        learned.rate *= 1 + GROWTH_A_SECOND * (1 + calm / CALM_SECONDS) * (now - learned.grown)
    learned.grown = now
