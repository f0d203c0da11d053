"""Lays one model over another: a branch over its shared model, a shared model over what was read from the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def overlay(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two models.

    Members are merged by name, down to single dimensions; `null` takes one of the base away. Relationships are added,
    and one over the same views and columns replaces that of the base.

    Args:
        base: The content below.
        own: The content above; it may hold parts of views only.
    """
    found = _merged({**base, "relationships": None}, {**own, "relationships": None})
    found["relationships"] = _relationships(base.get("relationships") or [], own.get("relationships") or [])
    return found


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in base.items() if not (name in own and own[name] is None)}
    for name, value in own.items():
        if value is None:
            continue
        below = found.get(name)
        found[name] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return found


def _relationships(base: Any, own: Any) -> Any:
    if not isinstance(base, list) or not isinstance(own, list):
        return own
    kept = {_key(one): one for one in [*base, *own]}
    return list(kept.values())


def _key(one: Any) -> str:
    if not isinstance(one, Mapping) or not isinstance(one.get("on"), Mapping):
        return repr(one)
    return repr((one.get("from"), one.get("to"), sorted(map(str, one["on"].items()))))
