"""Two ways of writing: what tells the records of two lists apart that were put into one without a trace.

One shop fills the description and the other one leaves it out; one bibliography writes names in full and the other one
with initials. Where two such lists are one, what is one thing is written in both ways, while among copies of one list
who writes long writes long again. So it is the direction in which the two sides of likely pairs differ most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.linalg import eigh

from towpath.entities.domain.matching.calibration import Candidates
from towpath.entities.domain.matching.levels import Floats

Values = Sequence[str | None]
Int64s = npt.NDArray[np.int64]

TRAITS = 4
"""Traits of each field in `describe`."""
LEAST_SPREAD = 1e-6
STYLE_NAMES = ("records written one way", "records written another way")
MIN_STYLE_PAIRS = 60
STYLE_SHRINKAGE = 0.02
STYLE_ROUNDS = 3
BEST_PAIRS = 0.8
"""The weakest of the pairs are left out."""


class Style(BaseModel):
    """What tells two ways of writing a record apart.

    Attributes:
        weights: of each trait of `describe`.
        bound: records whose weighted traits are above it are written the other way.
    """

    model_config = ConfigDict(frozen=True)

    weights: list[float]
    bound: float


def describe(values: Sequence[Values]) -> Floats:
    """Return entities x traits of how they are written: of each field whether it is filled, and three sizes if it is.

    The sizes are logarithms of how many characters it has, and how many of these are spaces and how many are digits.
    """
    columns: list[Floats] = []
    for number in range(len(values[0]) if len(values) else 0):
        column = [row[number] or "" for row in values]
        columns.append(np.array([bool(value) for value in column], dtype=np.float64))
        for sizes in (
            [len(value) for value in column],
            [value.count(" ") for value in column],
            [sum(character in "0123456789" for character in value) for value in column],
        ):
            columns.append(np.log1p(np.array(sizes, dtype=np.float64)))
    return np.stack(columns, axis=1) if columns else np.zeros((len(values), 1))


def name_styles(values: Sequence[Values], style: Style) -> list[str]:
    """Return how the source of each entity is called, by its values; fields that came after the training count not."""
    width = len(style.weights) // TRAITS
    fitted = [(*row[:width], *(None,) * (width - len(row))) for row in values]
    is_above = describe(fitted) @ np.array(style.weights) > style.bound
    return [STYLE_NAMES[int(above)] for above in is_above.tolist()]


def find_style(values: Sequence[Values], evidence: Floats, candidates: Candidates) -> Style | None:
    """Return what tells two ways of writing apart; None: too few records may be pairs.

    At first many of the likely pairs are neighbours of one list; once the ways are known, only pairs across them count.

    Args:
        values: Normalised values of the entities.
        evidence: Of each candidate pair, in bits.
        candidates: The pairs.
    """
    traits = describe(values)
    counted = np.ones(len(evidence), dtype=np.bool_)
    style = None
    for _ in range(STYLE_ROUNDS):
        left, right = _pair_best(evidence[counted], candidates.left[counted], candidates.right[counted], len(values))
        direction = _find_direction(traits, left, right)
        if direction is None:
            break
        style = direction
        is_above = traits @ np.array(style.weights) > style.bound
        counted = is_above[candidates.left] != is_above[candidates.right]
    return style


def _pair_best(evidence: Floats, left: Int64s, right: Int64s, entities: int) -> tuple[Int64s, Int64s]:
    """Return the sides of pairs that may well be one thing: the best of all first, no entity in two of them."""
    order = np.lexsort((right, left, -evidence))
    taken = np.zeros(entities, dtype=np.bool_)
    chosen: list[int] = []
    for place, first, second in zip(order.tolist(), left[order].tolist(), right[order].tolist(), strict=True):
        if not taken[first] and not taken[second]:
            taken[first] = taken[second] = True
            chosen.append(place)
    best = np.array(chosen[: round(BEST_PAIRS * len(chosen))], dtype=np.int64)
    return left[best], right[best]


def _find_direction(traits: Floats, left: Int64s, right: Int64s) -> Style | None:
    """Return the direction in which the sides of pairs are least alike, and the place between most of them."""
    mean, spread = traits.mean(axis=0), traits.std(axis=0)
    usable = np.flatnonzero(spread > LEAST_SPREAD)
    if len(left) < MIN_STYLE_PAIRS or not len(usable):
        return None
    scaled = (traits[:, usable] - mean[usable]) / spread[usable]
    alike = scaled[left].T @ scaled[right]
    alike = (alike + alike.T) / (2.0 * len(left))
    varied = scaled.T @ scaled / len(scaled)
    varied += STYLE_SHRINKAGE * np.trace(varied) / len(varied) * np.eye(len(varied))
    _, directions = eigh(alike, varied, subset_by_index=[0, 0])
    direction = directions[:, 0] * np.sign(directions[np.argmax(np.abs(directions[:, 0])), 0])
    position = scaled @ direction
    weights = np.zeros(traits.shape[1])
    weights[usable] = direction / spread[usable]
    bound = _find_cut(position[left], position[right])
    return Style(weights=[round(float(weight), 6) for weight in weights], bound=round(float(mean @ weights + bound), 6))


def _find_cut(first: Floats, second: Floats) -> float:
    """Return the place between the sides of the most pairs."""
    low, high = np.sort(np.minimum(first, second)), np.sort(np.maximum(first, second))
    places = np.unique(np.concatenate([low, high]))
    crossing = np.searchsorted(low, places, side="right") - np.searchsorted(high, places, side="right")
    at = int(np.argmax(crossing))
    return float((places[at] + places[min(at + 1, len(places) - 1)]) / 2.0)
