"""Where an entity comes from, as an expression over its row: what names it, or what training has found to tell."""

from __future__ import annotations

from towpath.entities.domain.matching.splits import MAX_ID_DIGITS
from towpath.entities.domain.matching.styles import STYLE_NAMES, TRAITS, Style
from towpath.entities.store.indexes import Index
from towpath.entities.types import SplitBy

STORED = "source"
_ID = "(id_json::json #>> '{}')"
_BATCH = "'batch ' || lpad(to_hex(batch), 8, '0')"
_ID_FORM = f"""'ids of ' || concat_ws(', ', CASE WHEN {_ID} ~ '[A-Za-z]' THEN 'letters' END,
    CASE WHEN {_ID} ~ '[0-9]' THEN 'digits' END, CASE WHEN {_ID} ~ '[^A-Za-z0-9]' THEN 'signs' END)"""


def source_expression(index: Index) -> str:
    """Return the SQL of the source of a row of `entities`; `InferredStructure.name_source` says the same of an entity.

    Nothing of a user's is in it.
    """
    split = index.split
    if split is None:
        return STORED
    if split.by is SplitBy.BATCH:
        return _BATCH
    if split.by is SplitBy.ID_FORM:
        return _ID_FORM
    if split.by is SplitBy.STYLE and split.style is not None:
        return _by_style(split.style)
    if split.by is SplitBy.ID_ORDER and split.id_bound is not None:
        return _by_order(split.id_bound)
    return STORED


def _by_order(bound: int) -> str:
    return f"""CASE WHEN {_ID} ~ '^[0-9]{{1,{MAX_ID_DIGITS}}}$' THEN
        CASE WHEN {_ID}::bigint < {bound:d} THEN 'ids below {bound:d}' ELSE 'ids from {bound:d}' END END"""


def _by_style(style: Style) -> str:
    terms = ["0.0::float8"]
    for field in range(len(style.weights) // TRAITS):
        value = f"coalesce(values::json ->> {field:d}, '')"
        sizes = (
            f"({value} <> '')::int",
            f"ln(1.0::float8 + length({value}))",
            f"ln(1.0::float8 + length({value}) - length(replace({value}, ' ', '')))",
            f"ln(1.0::float8 + length(regexp_replace({value}, '[^0-9]', '', 'g')))",
        )
        weights = style.weights[field * TRAITS : (field + 1) * TRAITS]
        terms += [f"({weight!r})::float8 * {size}" for weight, size in zip(weights, sizes, strict=True) if weight]
    below, above = STYLE_NAMES
    return f"CASE WHEN {' + '.join(terms)} > ({style.bound!r})::float8 THEN '{above}' ELSE '{below}' END"
