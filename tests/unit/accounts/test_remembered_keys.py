"""How long a key is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from towpath.accounts.key_cache import KeyCache
from towpath.accounts.types import KeyKind, Principal, Role, Scope


@pytest.mark.parametrize(("seconds", "left"), [(0.0, False), (-1.0, False), (3600.0, True), (None, True)])
def test_a_key_is_remembered_no_longer_than_it_holds(seconds: float | None, left: bool) -> None:
    ends = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    caller = Principal(
        organization="o", kind=KeyKind.ORGANIZATION, role=Role.OWNER, scopes=frozenset(Scope), expires_at=ends
    )  # fmt: skip
    cache = KeyCache()

    cache.put("ent_x", caller)

    assert (cache.get("ent_x") is not None) is left
