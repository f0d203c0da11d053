"""Records of one thing in the spellings of several countries, through the API and with defaults alone."""

from __future__ import annotations

import random
from typing import Any

from tests.support.builders import Organization

FIELDS = [
    {"name": "name", "type": "text"},
    {"name": "city", "type": "string"},
    {"name": "phone", "type": "string"},
    {"name": "founded", "type": "date"},
    {"name": "capital", "type": "number"},
]
SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"name": "東海林精機株式会社", "phone": "+81 (0)52-123-4567", "founded": "1968年5月12日"},
        {"name": "㈱東海林精機", "phone": "052-123-4567", "founded": "12 May 1968"},
    ),
    (
        {"name": "北岭仪器有限责任公司", "phone": "+86 21 6123 4567", "capital": "1,250,000"},
        {"name": "北岭仪器", "phone": "021-61234567", "capital": "1.250.000"},
    ),
    (
        {"name": "한빛정밀 주식회사", "phone": "02-345-6789", "founded": "2004년 11월 3일"},
        {"name": "한빛정밀(주)", "phone": "+82 2 345 6789", "founded": "3. XI. 2004"},
    ),
    (
        {"name": "Владимир Чайковский", "city": "Омск", "founded": "7 марта 1981"},
        {"name": "Vladimir Tchaikovsky", "city": "Omsk", "founded": "7 mars 1981"},
    ),
    (
        {"name": "Γιώργος Παπαδόπουλος", "phone": "2310 445566", "founded": "9 Αυγούστου 1979"},
        {"name": "Giorgos Papadopoulos", "phone": "tel:+30-2310-445566", "founded": "1979-08-09"},
    ),
    (
        {"name": "Kältetechnik Müßig GmbH", "city": "Lörrach", "phone": "07621/998877", "founded": "3. Jänner 1990"},
        {"name": "Kaeltetechnik Muessig", "city": "Loerrach", "phone": "+49 (0)7621 99 88 77", "founded": "03.01.1990"},
    ),
    (
        {"name": "Tessuti Brambilla S.p.A.", "phone": "+39 031 55 44 33", "capital": "2.400.000,50"},
        {"name": "Tessuti Brambilla spa", "phone": "0039 031554433", "capital": "2,400,000.50"},
    ),
    (
        {"name": "Quiroga Molino", "city": "Jaén", "founded": "15 de septiembre de 1987", "phone": "00953 220 110"},
        {"name": "Molino Quiroga", "city": "Jaen", "founded": "15/09/1987", "phone": "953220110"},
    ),
]
DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"name": "Владимир Чайковский", "city": "Тверь", "founded": "7 марта 1966"},
        {"name": "Vladimir Rostropovich", "city": "Tver", "founded": "9 April 1971"},
    ),
    (
        {"name": "大阪東洋商事株式会社", "phone": "06-111-2222"},
        {"name": "大阪西洋商事株式会社", "phone": "06-111-3333"},
    ),
]


def stranger(chance: random.Random, number: int) -> dict[str, Any]:
    """A firm that resembles no other one."""
    words = ["".join(chance.choice("bdfgklmnprst") + chance.choice("aeiou") for _ in range(3)) for _ in range(3)]
    founded = f"{chance.randrange(1930, 2015)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
    phone = str(chance.randrange(10**9, 10**10))
    name = f"{words[0]} {words[1]}"
    return {"id": number, "name": name, "city": words[2], "phone": phone, "founded": founded, "capital": number * 997}


def test_what_is_spelt_in_another_way_is_one_thing(org: Organization) -> None:
    chance = random.Random(8)
    rows = [stranger(chance, number) for number in range(45)]
    for kind, pairs in (("same", SAME), ("different", DIFFERENT)):
        for number, sides in enumerate(pairs):
            rows += [{"id": f"{kind} {number} {side}", **row} for side, row in zip("ab", sides, strict=True)]
    org.call("POST", "/v1/indexes", 201, json={"indexName": "firms", "fields": FIELDS})

    batch = org.call("POST", "/v1/entities/batch", params={"indexName": "firms"}, json={"entities": rows})

    assert batch["summary"]["succeeded"] == len(rows)
    groups = org.groups("firms")
    assert sorted(groups) == sorted([f"same {number} a", f"same {number} b"] for number in range(len(SAME)))


PEOPLE = [
    {"name": "first", "type": "string"},
    {"name": "last", "type": "string"},
    {"name": "name", "type": "string"},
    {"name": "born", "type": "date"},
]


def test_swapped_and_joined_names_are_one_person(org: Organization) -> None:
    chance = random.Random(9)
    rows: list[dict[str, Any]] = []
    for number in range(40):
        one = stranger(chance, number)
        first, last = one["name"].split()
        split = {"first": first, "last": last} if number % 2 else {"name": one["name"]}
        rows.append({"id": number, "born": one["founded"], **split})
    rows += [
        {"id": "a", "first": "Marta", "last": "Lindqvist", "born": "1971-03-04"},
        {"id": "a swapped", "first": "Lindqvist", "last": "Marta", "born": "4 mars 1971"},
        {"id": "b", "first": "Bogdan", "last": "Petrescu", "born": "1958-11-23"},
        {"id": "b joined", "name": "Petrescu, Bogdan", "born": "23 noiembrie 1958"},
    ]
    org.call("POST", "/v1/indexes", 201, json={"indexName": "people", "fields": PEOPLE})
    for row in rows:
        org.call("POST", "/v1/entity", params={"indexName": "people"}, json=row)

    assert sorted(org.groups()) == [["a", "a swapped"], ["b", "b joined"]]
