"""Two shops that list the same things in other words; within each of them nothing comes twice."""

from __future__ import annotations

import random
from typing import Any

FIELDS = [
    {"name": "title", "type": "text"},
    {"name": "maker", "type": "string"},
    {"name": "code", "type": "string"},
]
Row = dict[str, Any]


def two_shops(things: int = 300, *, seed: int = 11) -> tuple[list[Row], set[tuple[str, str]]]:
    """Invent what two shops list; of four things, the second one has three.

    Returns:
        The rows, ids `one-…` and `two-…`, those of one thing side by side, and the pairs of ids of one thing.
    """
    chance = random.Random(seed)

    def word(syllables: int) -> str:
        return "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(syllables))

    rows: list[Row] = []
    pairs: set[tuple[str, str]] = set()
    for number in range(things):
        maker, name = word(2), word(4)
        title = f"{maker} {name} {word(3)} {chance.randrange(10, 99)}"
        rows.append({"id": f"one-{number}", "title": title, "maker": maker, "code": None})
        if number % 4:
            shuffled = title.split()
            chance.shuffle(shuffled)
            rows.append({"id": f"two-{number}", "title": " ".join(shuffled[:3]), "maker": maker, "code": None})
            pairs.add((f"one-{number}", f"two-{number}"))
    return rows, pairs


def shelved(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of each shop."""
    return ([row for row in rows if row["id"].startswith("one")], [row for row in rows if row["id"].startswith("two")])


def numbered(rows: list[Row], pairs: set[tuple[str, str]]) -> tuple[list[Row], set[tuple[str, str]]]:
    """The same rows under plain numbers in their order, and the pairs under these."""
    number = {row["id"]: place for place, row in enumerate(rows)}
    named = {(str(number[left]), str(number[right])) for left, right in pairs}
    return [{**row, "id": number[row["id"]]} for row in rows], {(min(pair), max(pair)) for pair in named}
