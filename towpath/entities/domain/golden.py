"""The golden record of a group: for each field the value that survives, by a rule, and the member that it is from."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from towpath.core.words import Word

MAX_FIELDS = 500
ID_FIELD = "id"


class SurvivalRule(Word):
    """By what a value survives."""

    MOST_FREQUENT = "most_frequent"
    LONGEST = "longest"
    NEWEST = "newest"
    SOURCE_RANK = "source_rank"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group: its id, what was sent of it, where it comes from, and when: the higher, the later."""

    id: int | str
    body: Mapping[str, Any]
    source: str | None
    written: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The rule of all fields, those of single ones, and the sources from the best one on."""

    default: SurvivalRule = SurvivalRule.MOST_FREQUENT
    by_field: Mapping[str, SurvivalRule] = field(default_factory=dict)
    sources: Sequence[str] = ()

    def of(self, name: str) -> SurvivalRule:
        """Return the rule of a field."""
        return self.by_field.get(name, self.default)


@dataclass(frozen=True, slots=True)
class Override:
    """What a request says of the rules; None: it says nothing of that."""

    default: SurvivalRule | None = None
    by_field: Mapping[str, SurvivalRule] = field(default_factory=dict)
    sources: Sequence[str] | None = None


def override(stored: Rules, requested: Override) -> Rules:
    """Return the rules of an index with those of a request, whose rule of all fields overrules stored ones of some."""
    by_field = {**stored.by_field, **requested.by_field} if requested.default is None else requested.by_field
    return Rules(
        stored.default if requested.default is None else requested.default,
        by_field,
        stored.sources if requested.sources is None else requested.sources,
    )


@dataclass(frozen=True, slots=True)
class Survivor:
    """A value that has survived: whose it is, by which rule, and how many of those that have any have this one."""

    field: str
    value: Any
    entity_id: int | str
    rule: SurvivalRule
    agreeing: int
    filled: int


def make_golden(members: Sequence[Member], rules: Rules) -> list[Survivor]:
    """Choose the value of each field; the answer does not depend on the order of the members.

    Where the rule leaves several, the most frequent survives, then the longest, then the newest.
    """
    held: dict[str, list[tuple[Member, Any]]] = defaultdict(list)
    for member in members:
        for name, value in _flatten(member.body):
            if name != ID_FIELD and value not in (None, "", [], {}):
                held[name].append((member, value))
    return [_survivor(name, held[name], rules) for name in sorted(held)[:MAX_FIELDS]]


def _survivor(name: str, held: Sequence[tuple[Member, Any]], rules: Rules) -> Survivor:
    rule = rules.of(name)
    counts: dict[str, int] = defaultdict(int)
    spellings: dict[str, int] = defaultdict(int)
    for _, value in held:
        counts[_folded(value)] += 1
        spellings[_written(value)] += 1
    ranks = {source: rank for rank, source in enumerate(rules.sources)}

    def strength(candidate: tuple[Member, Any]) -> tuple[Any, ...]:
        member, value = candidate
        by_rule = {
            SurvivalRule.MOST_FREQUENT: 0,
            SurvivalRule.LONGEST: len(_written(value)),
            SurvivalRule.NEWEST: member.written,
            SurvivalRule.SOURCE_RANK: -ranks.get(member.source or "", len(ranks)),
        }[rule]
        frequent = counts[_folded(value)], spellings[_written(value)]
        return by_rule, *frequent, len(_written(value)), member.written, str(member.id)

    member, value = max(held, key=strength)
    return Survivor(name, value, member.id, rule, counts[_folded(value)], len(held))


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _folded(value: Any) -> str:
    """Values that differ in case and space alone are one value."""
    return " ".join(_written(value).casefold().split())


def _flatten(body: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, here)
        else:
            yield here, value
