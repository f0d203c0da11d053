"""The budgets that organizations have with each provider, and what they use of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from towpath.accounts.limits import LimitName
from towpath.accounts.store.usage import get_own_limits
from towpath.db.engine import Database
from towpath.llm.limiter.limiter import LoadBudget
from towpath.llm.limiter.shares import used_by
from towpath.llm.limiter.types import Budget
from towpath.llm.store.pools import read_pools


def budgets_of(database: Database, defaults: Mapping[LimitName, int]) -> LoadBudget:
    """Return what tells an organization's budget: its own limits, else those of the settings.

    Args:
        database: Has the organizations' own limits.
        defaults: Those of the settings; 0: none.
    """

    async def load(organization: str) -> Budget:
        own = await get_own_limits(database, organization)
        limits = {name: own.get(name, defaults[name]) or None for name in LimitName}
        return Budget(
            requests=limits[LimitName.LLM_REQUESTS],
            tokens=limits[LimitName.LLM_TOKENS],
            calls=limits[LimitName.LLM_CALLS],
        )

    return load


async def measure_use(database: Database, organization: str) -> dict[LimitName, int]:
    """Return what an organization uses of its budgets: with the provider with which it is most."""
    uses = [used_by(state, organization, now) for _, state, now in await read_pools(database)]
    return {
        LimitName.LLM_REQUESTS: max((math.ceil(use[0]) for use in uses), default=0),
        LimitName.LLM_TOKENS: max((math.ceil(use[1]) for use in uses), default=0),
        LimitName.LLM_CALLS: max((use[2] for use in uses), default=0),
    }
