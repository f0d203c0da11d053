"""How an index may fall into sources that nobody has named: by batch, by the form of the ids, by their order.

Two lists that are put into one index leave traces: each came in a batch of its own, or one has ids of digits and the
other one of letters, or both were numbered one after the other. A trace is only a proposal; whether its parts are clean
sources is for the candidates to show (`structure`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.calibration import Candidates
from towpath.entities.domain.matching.levels import Floats
from towpath.entities.domain.matching.styles import LEAST_SPREAD, TRAITS, Style, describe, find_style, name_styles
from towpath.entities.types import SplitBy

Values = Sequence[str | None]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

MIN_NUMBERED = 0.98
"""So many of the ids are whole numbers where their order may tell."""
MIN_PART = 0.1
MAX_ID_DIGITS = 18
NUMBER = re.compile(rf"[0-9]{{1,{MAX_ID_DIGITS}}}")
_LETTERS, _DIGITS, _SIGNS = (re.compile(pattern) for pattern in ("[A-Za-z]", "[0-9]", "[^A-Za-z0-9]"))


@dataclass(frozen=True)
class Split:
    """Sources that entities may fall into.

    Attributes:
        by: What tells them apart.
        names: The sources by number.
        sources: The number of each entity's source; -1: none.
        bound: By `SplitBy.ID_ORDER`, the first id of the second source.
        style: By `SplitBy.STYLE`, what tells the two ways of writing apart.
    """

    by: SplitBy
    names: Sequence[str]
    sources: Int32s
    bound: int | None = None
    style: Style | None = None


def name_batch(batch: int) -> str:
    """Return how the source is called that one batch has brought, by the end of the id of its job."""
    return f"batch {batch:08x}"


def name_id_form(external_id: str) -> str:
    """Return how the source is called whose ids are of this form."""
    kinds = (("letters", _LETTERS), ("digits", _DIGITS), ("signs", _SIGNS))
    return "ids of " + ", ".join(word for word, pattern in kinds if pattern.search(external_id))


def name_id_range(external_id: str, bound: int) -> str | None:
    """Return how the source is called that an id below or from a bound on belongs to; None: the id is no number."""
    if NUMBER.fullmatch(external_id) is None:
        return None
    return f"ids below {bound}" if int(external_id) < bound else f"ids from {bound}"


def propose_splits(ids: Sequence[str] | None, batches: Int64s | None, values: Sequence[Values]) -> list[Split]:
    """Return the splits that ids and batches of entities suggest.

    Args:
        ids: Of each entity, as it was sent; None: not known.
        batches: The batch of each, -1 for none; None: not known.
        values: Normalised values of each.
    """
    splits: list[Split] = []
    if batches is not None:
        splits.append(_name(SplitBy.BATCH, [None if batch < 0 else name_batch(batch) for batch in batches.tolist()]))
    if ids is not None:
        splits.append(_name(SplitBy.ID_FORM, [name_id_form(external_id) for external_id in ids]))
        if (bound := _find_bound(ids, values)) is not None:
            names = [name_id_range(external_id, bound) for external_id in ids]
            splits.append(_name(SplitBy.ID_ORDER, names, bound))
    return [split for split in splits if len(split.names) > 1]


def propose_style(values: Sequence[Values], evidence: Floats, candidates: Candidates) -> list[Split]:
    """Return the split by the way of writing, if there are two ways.

    Args:
        values: Normalised values of each entity.
        evidence: Of each candidate pair, in bits.
        candidates: The pairs.
    """
    style = find_style(values, evidence, candidates)
    if style is None:
        return []
    return [replace(_name(SplitBy.STYLE, name_styles(values, style)), style=style)]


def _name(by: SplitBy, names: Sequence[str | None], bound: int | None = None) -> Split:
    known = sorted({name for name in names if name is not None})
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(known)}
    return Split(by, known, np.array([numbers.get(name, -1) for name in names], dtype=np.int32), bound)


def _find_bound(ids: Sequence[str], values: Sequence[Values]) -> int | None:
    """Return the id from which on records are written differently most of all; None: the ids are no numbers."""
    is_numbered = np.array([NUMBER.fullmatch(external_id) is not None for external_id in ids], dtype=np.bool_)
    if not len(ids) or is_numbered.mean() < MIN_NUMBERED:
        return None
    at = np.flatnonzero(is_numbered)
    numbers = np.array([int(ids[place]) for place in at.tolist()], dtype=np.int64)
    order = np.argsort(numbers, kind="stable")
    traits = _standardise(describe(values))[at[order]]
    total = len(order)
    before = np.arange(1, total)
    # How much of each trait's variance lies between what is below a bound and what is above it.
    below = np.cumsum(traits, axis=0)[:-1] / before[:, None]
    above = -np.cumsum(traits, axis=0)[:-1] / (total - before)[:, None]
    between = ((below - above) ** 2).sum(axis=1) * before * (total - before) / total**2
    least = max(1, round(MIN_PART * total))
    between[: least - 1] = between[total - least :] = -1.0
    return int(numbers[order][int(np.argmax(between)) + 1])


def _standardise(traits: Floats) -> Floats:
    """Return traits of mean 0 and variance 1; of an empty field, its sizes say nothing."""
    traits = traits.copy()
    for start in range(0, traits.shape[1] - TRAITS + 1, TRAITS):
        sizes, filled = traits[:, start + 1 : start + TRAITS], traits[:, start] > 0.0
        sizes[~filled] = sizes[filled].mean(axis=0) if filled.any() else 0.0
    spread = traits.std(axis=0)
    usable = spread > LEAST_SPREAD
    return np.asarray((traits[:, usable] - traits[:, usable].mean(axis=0)) / spread[usable])
