"""Households: people who share name, street, postcode, city and phone, of whom a few are listed twice."""

from __future__ import annotations

import random
from typing import Any

FIELDS = [
    {"name": "first", "type": "string"},
    {"name": "last", "type": "string"},
    {"name": "born", "type": "date"},
    {"name": "street", "type": "text"},
    {"name": "postcode", "type": "string"},
    {"name": "city", "type": "string"},
    {"name": "phone", "type": "string"},
]
CITIES = ("lisbon", "ghent", "oslo", "turin", "graz", "porto", "lyon", "basel", "malmo", "cork")


def households(count: int, *, seed: int = 1, copies: float = 0.06) -> tuple[list[dict[str, Any]], set[frozenset[str]]]:
    """Invent households of three, a share of the people listed again with a typing error.

    Returns:
        The people, in a random order, and the pairs of ids that are one person.
    """
    chance = random.Random(seed)

    def word(syllables: int) -> str:
        return "".join(chance.choice("bcdfgklmnprstvz") + chance.choice("aeiou") for _ in range(syllables))

    firsts = [word(3) for _ in range(150)]
    lasts = [word(3) for _ in range(300)]
    people: list[dict[str, Any]] = []
    same: set[frozenset[str]] = set()
    for number in range(count):
        home = {
            "last": chance.choice(lasts),
            "street": f"{word(3)} street {chance.randint(1, 140)}",
            "postcode": f"{chance.randint(10000, 99999)}",
            "city": chance.choice(CITIES),
            "phone": f"0{chance.randint(100000000, 999999999)}",
        }
        for member, first in enumerate(chance.sample(firsts, 3)):
            person = {
                "id": f"{number}-{member}",
                "first": first,
                "born": f"{chance.randint(1935, 2015)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
                **home,
            }
            people.append(person)
            if chance.random() < copies:
                at = chance.randrange(1, len(first) - 1)
                twin = {**person, "id": f"{number}-{member}b", "first": first[:at] + first[at + 1 :]}
                people.append(twin if chance.random() < 0.5 else {**twin, "phone": None})
                same.add(frozenset((str(person["id"]), str(twin["id"]))))
    chance.shuffle(people)
    return people, same
