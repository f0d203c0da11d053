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
    merged = _merge({**base, "relationships": None}, {**own, "relationships": None})
    merged["relationships"] = _relationships(base.get("relationships") or [], own.get("relationships") or [])
    return merged


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {name: value for name, value in base.items() if not (name in own and own[name] is None)}
    for name, value in own.items():
        if value is None:
            continue
        below = merged.get(name)
        merged[name] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _relationships(base: Any, own: Any) -> Any:
    if not isinstance(base, list) or not isinstance(own, list):
        return own
    by_key = {_key(relationship): relationship for relationship in [*base, *own]}
    return list(by_key.values())


def _key(relationship: Any) -> str:
    if not isinstance(relationship, Mapping) or not isinstance(relationship.get("on"), Mapping):
        return repr(relationship)
    return repr((relationship.get("from"), relationship.get("to"), sorted(map(str, relationship["on"].items()))))
