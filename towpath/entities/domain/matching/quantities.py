"""Quantities in texts: a number beside a unit, in the base unit of its dimension."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_UNITS: dict[str, dict[str, float]] = {
    "length": {
        "mm": 0.001, "cm": 0.01, "m": 1.0, "km": 1000.0, "in": 0.0254, "inch": 0.0254, "inches": 0.0254, "zoll": 0.0254,
        "ft": 0.3048, "feet": 0.3048, "foot": 0.3048, "yd": 0.9144, "yard": 0.9144, "yards": 0.9144,
    },
    "mass": {
        "mg": 1e-6, "g": 0.001, "gr": 0.001, "kg": 1.0, "oz": 0.028349523, "ounce": 0.028349523, "ounces": 0.028349523,
        "lb": 0.45359237, "lbs": 0.45359237, "pound": 0.45359237, "pounds": 0.45359237,
    },
    "volume": {
        "ml": 0.001, "cl": 0.01, "dl": 0.1, "l": 1.0, "liter": 1.0, "litre": 1.0, "liters": 1.0, "litres": 1.0,
        "oz": 0.029573530, "floz": 0.029573530, "gal": 3.785411784, "gallon": 3.785411784, "pint": 0.473176473,
        "qt": 0.946352946,
    },
    "data": {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
    "power": {"w": 1.0, "watt": 1.0, "watts": 1.0, "kw": 1000.0},
    "frequency": {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    "voltage": {"v": 1.0, "volt": 1.0, "volts": 1.0, "kv": 1000.0},
    "charge": {"mah": 0.001, "ah": 1.0},
    "count": {"ct": 1.0, "count": 1.0, "pc": 1.0, "pcs": 1.0, "pk": 1.0, "pack": 1.0, "pieces": 1.0, "piece": 1.0},
}  # fmt: skip
"""Units by dimension. An ounce is both a mass and a volume: which one, the other side tells."""
NO_SYMBOLS = frozenset(
    {
        "m", "inches", "zoll", "feet", "foot", "yard", "yards", "gr", "ounce", "ounces", "pound", "pounds", "dl",
        "liter", "litre", "liters", "litres", "floz", "gal", "gallon", "pint", "qt", "watt", "watts", "volt", "volts",
        "kv", "count", "pack", "pieces", "piece",
    }
)  # fmt: skip
"""Those that are parted from a number which they are written together with no more: `40m` and `6pack` are codes."""
SYMBOLS = sorted({unit for sizes in _UNITS.values() for unit in sizes} - NO_SYMBOLS | {"mp"})
"""What is a unit behind a number also without a space. How many pixels there are is a number like any other."""
_DIMENSIONS: dict[str, list[tuple[str, float]]] = {}
for _dimension, _sizes in _UNITS.items():
    for _unit, _size in _sizes.items():
        _DIMENSIONS.setdefault(_unit, []).append((_dimension, _size))


MAX_ROUNDING = 0.015
"""Part by which a quantity may differ when it is told in another unit and rounded."""


class Quantity(NamedTuple):
    """A quantity, and the words that tell it."""

    dimension: str
    size: float
    words: tuple[str, str]


def find_quantities(words: Sequence[str]) -> list[Quantity]:
    """Return what is told by a number and the unit behind it."""
    quantities = []
    for number, unit in pairwise(words):
        if unit in _DIMENSIONS and number.replace(".", "", 1).isdecimal() and number.isascii():
            quantities += [
                Quantity(dimension, float(number) * size, (number, unit)) for dimension, size in _DIMENSIONS[unit]
            ]
    return quantities


def is_same_quantity(left: Quantity, right: Quantity) -> bool:
    """Return whether two quantities are one, in whatever units."""
    return left.dimension == right.dimension and abs(left.size - right.size) <= MAX_ROUNDING * max(
        left.size, right.size
    )
