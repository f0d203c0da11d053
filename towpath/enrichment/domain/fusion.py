"""Makes one result of several models', field by field, by the rules of the contract.

Models are ranked first (higher price, then name), so the order in which results come in changes nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from towpath.core.json_values import write_json
from towpath.enrichment.domain.content import Content, Path, dotted, resolve, resolve_properties
from towpath.enrichment.types import Conflict, ConflictReport, FieldSource, Fusion

DECIMALS = 6
Values = dict[str, Any]
"""A field's values by model, in the order of the ranking; null ones are left out."""


def fuse(
    content: Content,
    results: Mapping[str, Mapping[str, Any]],
    prices: Mapping[str, float] | None = None,
    *,
    known: Mapping[Path, Any] | None = None,
) -> Fusion:
    """Fuse results of several models over one schema.

    Args:
        content: The schema.
        results: Each model's result.
        prices: What each model costs; a tie that stays goes to the dearer one.
        known: Values that came with the entity, by path: where all results have them, no model gave them.
    """
    price_of = prices or {}
    ranking = sorted(results, key=lambda model: (-price_of.get(model, 0.0), model))
    fuser = _Fuser(content, known={dotted(path): value for path, value in (known or {}).items()})
    merged = fuser.fuse_object(resolve_properties(content), {model: results[model] for model in ranking}, "")
    extra = {name for result in results.values() for name in result} - set(resolve_properties(content))
    report = ConflictReport(
        total_fields=fuser.total,
        agreed_fields=fuser.total - len(fuser.conflicts),
        conflicted_fields=len(fuser.conflicts),
        conflicts=fuser.conflicts,
    )
    warnings = [f"{name} is not in the schema and was left out" for name in sorted(extra)]
    return Fusion(merged=merged, report=report, provenance=fuser.sources, warnings=warnings)


def arbitrate(fused: Fusion, decisions: Mapping[str, str], *, model: str) -> Fusion:
    """Put the values that an arbiter chose into a fused result.

    Args:
        fused: By the rules.
        decisions: For a conflict's path the model whose value holds; others keep the rule's value.
        model: The arbiter.
    """
    arbitrated = fused.model_copy(deep=True, update={"method": "llm", "arbitration_model": model})
    by_path = {conflict.path: conflict for conflict in arbitrated.report.conflicts}
    for path, winner in decisions.items():
        conflict = by_path.get(path)
        if conflict is None or winner not in conflict.values_by_model:
            continue
        set_at_path(arbitrated.merged, path.split("."), trim_texts(conflict.values_by_model[winner]))
        for source in arbitrated.provenance:
            if source.path == path:
                source.models, source.rule = [winner], "arbitrated"
    return arbitrated


def set_at_path(target: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Put a value into an object within objects, where they are there."""
    for name in path[:-1]:
        nested = target.get(name)
        if not isinstance(nested, dict):
            return
        target = nested
    target[path[-1]] = value


def normalise(value: Any) -> str:
    """Return a value's form for comparison: texts trimmed and lower-cased, numbers rounded, lists in any order."""
    return write_json(_normal(value), options=orjson.OPT_SORT_KEYS).decode()


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip().lower()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return round(float(value), DECIMALS)
    if isinstance(value, list):
        return sorted({normalise(each) for each in value})
    if isinstance(value, dict):
        return {str(name): _normal(each) for name, each in value.items() if each is not None}
    return str(value)


@dataclass(slots=True)
class _Fuser:
    content: Content
    known: dict[str, Any] = field(default_factory=dict)
    total: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    sources: list[FieldSource] = field(default_factory=list)

    def fuse_object(
        self, specs: Mapping[str, Mapping[str, Any]], results: Mapping[str, Mapping[str, Any]], path: str
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for name, raw in specs.items():
            spec = resolve(raw, self.content)
            place = f"{path}.{name}" if path else name
            values = {model: result.get(name) for model, result in results.items() if result.get(name) is not None}
            if any(name in result for result in results.values()):
                merged[name] = self.fuse_field(spec, values, place)
        return merged

    def fuse_field(self, spec: Mapping[str, Any], values: Values, path: str) -> Any:
        nested = spec.get("properties")
        if isinstance(nested, dict) and values and all(isinstance(value, dict) for value in values.values()):
            return self.fuse_object(nested, values, path)
        self.total += 1
        if not values:
            self.sources.append(FieldSource(path=path, models=[], rule="unknown"))
            return None
        different = {normalise(value) for value in values.values()}
        if path in self.known and different == {normalise(self.known[path])}:
            self.sources.append(FieldSource(path=path, models=[], rule="given"))
            return self.known[path]
        if len(different) == 1:
            rule = "agreed" if len(values) > 1 else "only"
            self.sources.append(FieldSource(path=path, models=list(values), rule=rule))
            return trim_texts(next(iter(values.values())))
        return trim_texts(self.decide_conflict(spec, values, path))

    def decide_conflict(self, spec: Mapping[str, Any], values: Values, path: str) -> Any:
        kind: Literal["scalar", "array", "multilingual"] = "scalar"
        translation = False
        chosen: Any
        if all(isinstance(value, list) for value in values.values()):
            kind = "array"
            chosen, rule = self.merge_lists(spec, values), "union"
        elif spec.get("multilingual") and all(isinstance(value, dict) for value in values.values()):
            kind = "multilingual"
            chosen, rule = _by_language(values), "majority by language"
            translation = _first_language_agrees(values)
        else:
            chosen, rule = _scalar(spec, values)
        self.conflicts.append(
            Conflict(
                path=path,
                field_type=kind,
                values_by_model=dict(values),
                needs_arbitration=kind != "array" and not translation,
                translation_only=translation,
            )
        )
        chosen_form = normalise(chosen)
        models = [model for model, value in values.items() if kind != "scalar" or normalise(value) == chosen_form]
        self.sources.append(FieldSource(path=path, models=models or list(values), rule=rule))
        return chosen

    def merge_lists(self, spec: Mapping[str, Any], values: Values) -> list[Any]:
        """Everything that a model has, first seen first; objects with the same identifying values are one."""
        item = resolve(spec.get("items", {}), self.content)
        nested = item.get("properties", {})
        keys = [name for name, each in nested.items() if resolve(each, self.content).get("identifying")]
        groups: dict[str, dict[str, Any]] = {}
        for model, listed in values.items():
            for value in listed:
                same = normalise(value)
                if keys and isinstance(value, dict) and any(value.get(key) is not None for key in keys):
                    same = normalise([normalise(value.get(key)) for key in keys] + ["by key"])
                groups.setdefault(same, {}).setdefault(model, value)
        return [self.merge_item(nested, group) for group in groups.values()]

    def merge_item(self, nested: Mapping[str, Any], group: Mapping[str, Any]) -> Any:
        if len(group) == 1 or not all(isinstance(value, dict) for value in group.values()):
            return next(iter(group.values()))
        # What happens inside an item belongs to the array's own conflict.
        return _Fuser(self.content).fuse_object(nested, group, "")


def trim_texts(value: Any) -> Any:
    """Return a value without blanks around its texts: they are not compared, and so are nobody's choice."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return [trim_texts(each) for each in value]
    if isinstance(value, dict):
        return {name: trim_texts(each) for name, each in value.items()}
    return value


def _scalar(spec: Mapping[str, Any], values: Values) -> tuple[Any, str]:
    if all(isinstance(value, bool) for value in values.values()):
        return _vote(values, lambda tied: (True, "tie: true"))
    numbers = [value for value in values.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return _median(numbers, whole=spec.get("type") == "integer")
    return _vote(values, _choose_longest)


def _median(numbers: Sequence[float], *, whole: bool) -> tuple[float, str]:
    median = statistics.median(numbers)
    if whole:
        median = round(median)
    return median, "median" if len(numbers) % 2 else "mean of the middle two"


def _vote(values: Values, tie: Callable[[Values], tuple[Any, str]]) -> tuple[Any, str]:
    """Return the value of most models; of one value's spellings the best ranked model's."""
    groups: dict[str, Values] = {}
    for model, value in values.items():
        groups.setdefault(normalise(value), {})[model] = value
    most = max(len(group) for group in groups.values())
    winners = [group for group in groups.values() if len(group) == most]
    if len(winners) == 1:
        return next(iter(winners[0].values())), "majority"
    return tie({model: value for group in winners for model, value in list(group.items())[:1]})


def _choose_longest(tied: Values) -> tuple[Any, str]:
    sizes = {model: len(value.strip() if isinstance(value, str) else normalise(value)) for model, value in tied.items()}
    most = max(sizes.values())
    best = [model for model in tied if sizes[model] == most]
    # What is left goes by rank: `best` keeps the ranking's order within the groups.
    return tied[best[0]], "longest" if len(best) == 1 else "higher-priced model"


def _by_language(values: Values) -> dict[str, Any]:
    languages = list(dict.fromkeys(language for value in values.values() for language in value))
    texts_by_language: dict[str, Any] = {}
    for language in languages:
        texts = {model: value[language] for model, value in values.items() if value.get(language) is not None}
        texts_by_language[language] = _vote(texts, _choose_longest)[0] if texts else None
    return texts_by_language


def _first_language_agrees(values: Values) -> bool:
    first = next((language for value in values.values() for language in value), None)
    return len({normalise(value.get(first)) for value in values.values()}) == 1
