"""Pairs and tables of a document -> the properties of a JSON Schema; what is not sure is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.documents.types import Box
from towpath.extraction.domain.fields import Entry, Grid, PageFields, Pair
from towpath.extraction.domain.likeness import list_names, measure_likeness
from towpath.extraction.domain.numbers import DecimalMark, detect_decimal_mark
from towpath.extraction.domain.values import MISSING, Schema, coerce_text, get_type, resolve_schema

# How alike a label and a name must be, 0..1; how sure both together; how much surer than another value.
ALIKE = 0.7
SURE = 0.5
LEAD = 0.04
TABLE = 0.9
MIN_COLUMNS = 2
MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class FieldMatch:
    """A property's value as the document says it.

    Attributes:
        confidence: 0..1.
        page: The first page that it is on.
        boxes: Of the value on that page; empty: the page has no places.
    """

    value: Any
    confidence: float
    page: int
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class _Claim:
    """A pair that may be a property's value."""

    name: str
    pair: int
    score: float
    match: FieldMatch


def match_fields(schema: Schema, pages: Sequence[PageFields]) -> dict[str, FieldMatch]:
    """Match the pairs and tables of pages with a schema's properties.

    Args:
        schema: A JSON Schema of an object.
        pages: In order.

    Returns:
        By property; left out is what no page says, what two places say differently, and what does not fit the type.
    """
    pairs = [pair for page in pages for pair in page.pairs]
    grids = [grid for page in pages for grid in page.grids]
    texts = [pair.value for pair in pairs]
    texts += [entry.text for grid in grids for row in grid.rows for entry in row]
    return _Matcher(schema, pairs, grids, detect_decimal_mark(texts)).match_object(
        resolve_schema(schema, schema), (), 0
    )


@dataclass(frozen=True, slots=True)
class _Matcher:
    root: Schema
    pairs: Sequence[Pair]
    grids: Sequence[Grid]
    mark: DecimalMark | None

    def match_object(self, schema: Schema, prefix: Sequence[str], depth: int) -> dict[str, FieldMatch]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or depth > MAX_DEPTH:
            return {}
        matches: dict[str, FieldMatch] = {}
        claims: list[_Claim] = []
        for name, definition in properties.items():
            spec = resolve_schema(definition, self.root)
            names = list_names(name, spec, prefix)
            kind = get_type(spec)
            if kind == "object":
                self._add_nested(name, self.match_object(spec, names[0], depth + 1), matches)
            elif kind == "array" and get_type(self._items(spec)) == "object":
                table = self._table(self._items(spec))
                if table is not None:
                    matches[name] = table
            else:
                claims += self._claims(name, names, spec)
        matches.update(_settle(claims))
        return {name: matches[name] for name in properties if name in matches}

    def _add_nested(self, name: str, inner: Mapping[str, FieldMatch], matches: dict[str, FieldMatch]) -> None:
        if inner:
            page = min(each.page for each in inner.values())
            matches[name] = FieldMatch(
                {key: each.value for key, each in inner.items()},
                min(each.confidence for each in inner.values()),
                page,
                tuple(box for each in inner.values() if each.page == page for box in each.boxes),
            )

    def _claims(self, name: str, names: Sequence[Sequence[str]], spec: Schema) -> Iterator[_Claim]:
        description = str(spec.get("description", ""))
        for place, pair in enumerate(self.pairs):
            # Two doubts multiply: whether the label means the property, and whether the value belongs to the label.
            alike = measure_likeness(pair.label, names, description)
            score = alike * pair.confidence
            if alike < ALIKE or score < SURE:
                continue
            value = self._value(pair.value, spec)
            if value is not MISSING:
                yield _Claim(name, place, score, FieldMatch(value, round(score, 4), pair.page, pair.boxes))

    def _value(self, text: str, spec: Schema) -> Any:
        if get_type(spec) != "array":
            return coerce_text(text, spec, self.mark)
        parts = [part for part in re.split(r"[;\n]|,\s", text) if part.strip()]
        values = [coerce_text(part, self._items(spec), self.mark) for part in parts]
        return MISSING if MISSING in values or not values else values

    def _items(self, spec: Schema) -> Schema:
        return resolve_schema(spec.get("items", {}), self.root)

    def _table(self, items: Schema) -> FieldMatch | None:
        """Return the rows of the tables whose header names the items' properties best."""
        properties = items.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return None
        specs = {name: resolve_schema(definition, self.root) for name, definition in properties.items()}
        read = [(grid, _columns(grid.header, specs)) for grid in self.grids]
        most = max((len(columns) for _, columns in read), default=0)
        # A table counts if it names at least two of the items' properties, and at least half of them.
        if most < min(MIN_COLUMNS, len(specs)) or 2 * most < len(specs):
            return None
        chosen = [(grid, columns) for grid, columns in read if len(columns) == most]
        header = chosen[0][0].header
        # A table that goes on repeats its header on the next page; another one with other words is another table.
        if any(grid.header != header for grid, _ in chosen):
            return None
        rows = [
            self._item(row, columns, specs) for grid, columns in chosen for row in grid.rows if _is_item(row, columns)
        ]
        values = [row for row in rows if row is not None]
        if not values:
            return None
        page = chosen[0][0].page
        first = [entry for row in chosen[0][0].rows for entry in row]
        alike = sum(score for _, score in chosen[0][1].values()) / most
        read_sure = min((entry.confidence for entry in first if entry.text), default=1.0)
        # Four doubts multiply: that it is a table at all, that its header means the properties, that it is read
        # rightly, and that the rows that do not fit are the fault of the rows.
        share = len(values) / len(rows)
        sure = round(TABLE * alike * read_sure * share, 4)
        return FieldMatch(values, sure, page, tuple(box for entry in first for box in entry.boxes))

    def _item(
        self, row: Sequence[Entry], columns: Mapping[str, tuple[int, float]], specs: Mapping[str, Schema]
    ) -> dict[str, Any] | None:
        """Return one row as an object; None: it does not fit."""
        item = {}
        for name, (place, _) in columns.items():
            if not row[place].text:
                continue
            value = coerce_text(row[place].text, specs[name], self.mark)
            if value is MISSING:
                return None
            item[name] = value
        return item


def _is_item(row: Sequence[Entry], columns: Mapping[str, tuple[int, float]]) -> bool:
    """Return whether a row is more than a total or a note."""
    places = [place for place, _ in columns.values()]
    return bool(row[min(places)].text) and 2 * sum(bool(row[place].text) for place in places) > len(places)


def _columns(header: Sequence[str], specs: Mapping[str, Schema]) -> dict[str, tuple[int, float]]:
    """Decide which column holds which property, and how alike their names are; each once, the likest first."""
    scored = sorted(
        (
            (measure_likeness(label, list_names(name, spec), str(spec.get("description", ""))), -place, name)
            for name, spec in specs.items()
            for place, label in enumerate(header)
            if label
        ),
        reverse=True,
    )
    columns: dict[str, tuple[int, float]] = {}
    for score, place, name in scored:
        if score >= ALIKE and name not in columns and -place not in {taken for taken, _ in columns.values()}:
            columns[name] = (-place, score)
    return columns


def _settle(claims: Sequence[_Claim]) -> dict[str, FieldMatch]:
    """Choose the best claim for each property, each pair once; none where two as good say different things."""
    matches: dict[str, FieldMatch] = {}
    taken: set[int] = set()
    dropped: set[str] = set()
    for claim in sorted(claims, key=lambda each: -each.score):
        if claim.name in matches or claim.name in dropped or claim.pair in taken:
            continue
        # Claims of the same property that are as good within `LEAD`: they agree, or nobody can tell which is right.
        rivals = [
            other
            for other in claims
            if other.name == claim.name and other.pair not in taken and claim.score - other.score < LEAD
        ]
        if any(other.match.value != claim.match.value for other in rivals):
            dropped.add(claim.name)
            continue
        matches[claim.name] = claim.match
        taken.update(other.pair for other in rivals)
    return matches
