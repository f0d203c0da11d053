"""How right results are, by the values that people gave: each field that has one is right, wrong or missing.

A value that a person gave is true of the entity, so that it judges every record of that entity under the same schema,
whichever model made it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from towpath.core.errors import BadInputError
from towpath.enrichment.domain.content import Content, dotted, resolve, resolve_properties
from towpath.enrichment.domain.fusion import normalise
from towpath.enrichment.domain.known import find_known

Properties = Mapping[str, Mapping[str, Any]]


class Judgement(StrEnum):
    """What a field of a record is."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"


def judge(value: Any, right: Any) -> Judgement:
    """Judge a value by the right one; None as the right one means that there is none.

    Equal is what is equal when models are compared: case, spaces around, and the order of lists do not count.
    """
    if value is None:
        return Judgement.RIGHT if right is None else Judgement.MISSING
    return Judgement.RIGHT if right is not None and normalise(value) == normalise(right) else Judgement.WRONG


def find_spec(content: Content, path: str) -> Mapping[str, Any]:
    """Return the field of a schema that a dotted path leads to.

    Raises:
        BadInputError: It leads to none, or to an object, whose fields have right values of their own.
    """
    specs: Properties | None = resolve_properties(content)
    spec: Mapping[str, Any] = {}
    for name in path.split("."):
        if specs is None or name not in specs:
            raise BadInputError(f"values: the schema has no field {path}", field=f"values.{path}")
        spec = resolve(specs[name], content)
        specs = _nested(spec)
    if specs is not None:
        raise BadInputError(f"values: {path} is an object; name its fields", field=f"values.{path}")
    return spec


def value_at(result: Mapping[str, Any] | None, path: str) -> Any:
    """Return the value of a result at a dotted path; None: it has none."""
    value: Any = result
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def leaf_paths(content: Content) -> Iterator[str]:
    """Yield the paths of all fields that have a value of their own."""
    yield from _leaves(content, resolve_properties(content), "")


def _leaves(content: Content, specs: Properties, prefix: str) -> Iterator[str]:
    for name, raw in specs.items():
        spec = resolve(raw, content)
        nested = _nested(spec)
        if nested is None:
            yield f"{prefix}{name}"
        else:
            yield from _leaves(content, nested, f"{prefix}{name}.")


def _nested(spec: Mapping[str, Any]) -> Properties | None:
    properties = spec.get("properties")
    return properties if isinstance(properties, dict) and properties else None


def paths_to_confirm(content: Content, entity: Mapping[str, Any]) -> list[str]:
    """Return the fields that were asked of a model, as opposed to those that came with the entity."""
    provided = tuple(f"{dotted(path)}." for path in find_known(content, entity))
    return [path for path in leaf_paths(content) if not f"{path}.".startswith(provided)]


@dataclass(slots=True)
class Tally:
    """How often a field, or all fields together, were right, wrong and missing."""

    right: int = 0
    wrong: int = 0
    missing: int = 0

    @property
    def fields(self) -> int:
        """Return how many were judged."""
        return self.right + self.wrong + self.missing

    def add(self, judgement: Judgement) -> None:
        """Count one more."""
        setattr(self, judgement, getattr(self, judgement) + 1)

    def show(self) -> dict[str, Any]:
        """Return the counts, and the share that is right."""
        share = round(self.right / self.fields, 4) if self.fields else None
        counts = {"right": self.right, "wrong": self.wrong, "missing": self.missing}
        return {"fields": self.fields, **counts, "accuracy": share}


@dataclass(frozen=True, slots=True)
class JudgedRecord:
    """A record, with the right values of its entity.

    Attributes:
        type: enrichment or fusion.
        model: Its model; None: fused.
        prompt_version: That of its prompts; None: made before prompts had one, or fused.
        output: Its result; None: it has none.
        content: Its schema.
        cost_usd: What it has cost.
        right: The right values by path.
    """

    type: str
    model: str | None
    prompt_version: str | None
    output: Mapping[str, Any] | None
    content: Content
    cost_usd: float
    right: Mapping[str, Any]


@dataclass(slots=True)
class _Group:
    records: int = 0
    cost_usd: float = 0.0
    judged_cost_usd: float = 0.0
    whole: Tally = field(default_factory=Tally)
    by_field: dict[str, Tally] = field(default_factory=dict)

    def add(self, record: JudgedRecord) -> None:
        leaves = sum(1 for _ in leaf_paths(record.content))
        self.records += 1
        self.cost_usd += record.cost_usd
        # The price is for all fields of a record, judged or not.
        self.judged_cost_usd += record.cost_usd * len(record.right) / max(leaves, len(record.right))
        for path, right in record.right.items():
            judgement = judge(value_at(record.output, path), right)
            self.whole.add(judgement)
            self.by_field.setdefault(path, Tally()).add(judgement)

    def show(self) -> dict[str, Any]:
        right = self.whole.right
        return {
            "records": self.records,
            **self.whole.show(),
            "cost_usd": round(self.cost_usd, 9),
            "cost_per_right_field_usd": round(self.judged_cost_usd / right, 9) if right else None,
            "by_field": [{"field": path, **tally.show()} for path, tally in sorted(self.by_field.items())],
        }


def report_accuracy(records: Sequence[JudgedRecord]) -> dict[str, Any]:
    """Report how right records are: together, by field, and by model and version of the prompts with each field."""
    whole = _Group()
    groups: dict[tuple[str, str, str], _Group] = {}
    for record in records:
        whole.add(record)
        key = (record.type, record.model or "", record.prompt_version or "")
        groups.setdefault(key, _Group()).add(record)
    shown = [
        {"type": kind, "model": model or None, "prompt_version": version or None, **group.show()}
        for (kind, model, version), group in groups.items()
    ]
    shown.sort(key=lambda row: (-(row["accuracy"] or 0.0), row["cost_per_right_field_usd"] or 0.0, row["model"] or ""))
    return {**whole.show(), "models": shown}
