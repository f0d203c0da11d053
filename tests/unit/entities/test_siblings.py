"""Two things that share nearly all are two where a value that is their own differs, also in a list without siblings."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from towpath.entities.domain import matching as m
from towpath.entities.domain.matching.apart import are_names_apart, are_titles_apart
from towpath.entities.domain.matching.quantities import find_quantities, is_same_quantity
from towpath.entities.domain.matching.roles import Role, find_roles
from towpath.entities.types import FieldType, IndexConfig, IndexField

FIRST = [
    "Trudi",
    "Nicole",
    "Andrzej",
    "Oona",
    "Priya",
    "Marek",
    "Salma",
    "Diego",
    "Ingrid",
    "Wanjiru",
    "Tomasz",
    "Yuki",
    "Farid",
    "Leila",
    "Bruno",
    "Astrid",
]
LAST = [
    "Foster",
    "Roberts",
    "Allen",
    "Quist",
    "Pandey",
    "Nowak",
    "Haddad",
    "Ortiz",
    "Solberg",
    "Kamau",
    "Wrona",
    "Tanaka",
    "Rahimi",
    "Petrov",
    "Conti",
]
TOWNS = [
    "Terryland",
    "Wardbury",
    "Exley",
    "Dunmere",
    "Otley",
    "Milford",
    "Ashby",
    "Larchmont",
    "Kesterby",
    "Pell",
    "Vance",
]
PERSON_FIELDS = {
    "first": FieldType.STRING,
    "last": FieldType.STRING,
    "dob": FieldType.DATE,
    "phone": FieldType.STRING,
    "street": FieldType.STRING,
    "city": FieldType.STRING,
}
HOUSE = {"last": "Dunwoody", "phone": "(212) 555-0777", "street": "6 Kiln Lane", "city": "Ashby"}


def config_of(fields: dict[str, FieldType], **identity: bool) -> IndexConfig:
    return IndexConfig(
        index_name="people",
        fields=[IndexField(name=name, type=kind, identity=identity.get(name)) for name, kind in fields.items()],
    )


def people(count: int, seed: int) -> list[dict[str, Any]]:
    """People of whom no two share a house; every tenth is there twice, once with a typing error."""
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for at in range(count):
        row = {
            "first": chance.choice(FIRST),
            "last": f"{chance.choice(LAST)}{chance.choice('aeiou')}{chance.choice('nrst')}",
            "dob": f"{chance.randint(1930, 2005)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
            "phone": f"({chance.randint(201, 989)}) 555-{chance.randint(0, 9999):04}",
            "street": f"{chance.randint(1, 900)} {chance.choice(LAST)} {chance.choice(['Road', 'Lane', 'Avenue'])}",
            "city": chance.choice(TOWNS),
        }
        rows.append(row)
        if at % 10 == 0:
            rows.append(row | {"last": row["last"][:-1] + "x"})
    return rows


class Trained:
    """An index of people, and what it makes of two more."""

    def __init__(self, fields: dict[str, FieldType], rows: list[dict[str, Any]], **identity: bool) -> None:
        self.config = config_of(fields, **identity)
        prepared = [m.prepare(row | {"id": str(at)}, self.config) for at, row in enumerate(rows)]
        uids = np.array([m.entity_uid(str(at)) for at in range(len(rows))], dtype=np.int64)
        keys = m.Csr.of([entity.keys for entity in prepared])
        index = m.CandidateIndex.build(keys.keys, np.repeat(uids, np.diff(keys.starts)), len(uids), None)
        top = index.top(uids, [entity.keys for entity in prepared], None)
        self.model = m.train(
            m.Sample(uids=uids, values=[entity.values for entity in prepared], left=uids[top.rows], right=top.uids),
            self.config,
        )

    def score(self, left: dict[str, Any], right: dict[str, Any]) -> m.Scores:
        values = [m.prepare(row | {"id": "x"}, self.config).values for row in (left, right)]
        return m.score_pairs(self.model, values[:1], values[1:])

    def is_duplicate(self, left: dict[str, Any], right: dict[str, Any]) -> bool:
        return bool(self.score(left, right).similarity[0] >= self.config.duplicate_threshold)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return Trained(PERSON_FIELDS, people(600, 5))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        pytest.param(
            {"first": "Peter", "dob": "2000-01-15"}, {"first": "Grace", "dob": "2000-01-15"}, False, id="twins"
        ),
        pytest.param(
            {"first": "Henry", "dob": "1950-04-01"}, {"first": "Henry", "dob": "1978-11-23"}, False, id="heirs"
        ),
        pytest.param(
            {"first": "Edwin", "dob": "1958-03-03"}, {"first": "June", "dob": "1960-08-08"}, False, id="spouses"
        ),
        pytest.param(
            {"first": "William", "dob": "1968-05-14"}, {"first": "Bill", "dob": "1968-05-14"}, True, id="short"
        ),
        pytest.param(
            {"first": "Odette", "dob": "1968-05-14"}, {"first": "O.", "dob": "1968-05-14"}, True, id="initial"
        ),
        pytest.param(
            {"first": "Naomi", "dob": "1980-03-04"}, {"first": "Naomi", "dob": "1980-04-03"}, True, id="turned"
        ),
        pytest.param({"first": "Naomi", "dob": "1980-03-04"}, {"first": "Noami", "dob": "1980-03-04"}, True, id="typo"),
        pytest.param({"first": "Naomi"}, {"first": "Naomi", "dob": "1980-03-04"}, True, id="missing"),
    ],
)
def test_people_of_one_house(trained: Trained, left: dict[str, str], right: dict[str, str], expected: bool) -> None:
    assert trained.is_duplicate(HOUSE | left, HOUSE | right) is expected
    assert trained.is_duplicate(HOUSE | right, HOUSE | left) is expected


def test_the_explanation_adds_up_where_siblings_are_set_apart(trained: Trained) -> None:
    scores = trained.score(HOUSE | {"first": "Peter"}, HOUSE | {"first": "Grace"})

    bits = scores.prior_bits + scores.contributions[0].sum()
    assert scores.similarity[0] == pytest.approx(1.0 / (1.0 + 2.0**-bits))
    first = [field.name for field in trained.model.fields].index("first")
    assert scores.contributions[0, first] == scores.contributions[0].min() < -10.0


def test_what_an_identifier_says_is_one_stays_one() -> None:
    fields = PERSON_FIELDS | {"passport": FieldType.STRING}
    rows = [row | {"passport": f"P{at // 2:07}"} for at, row in enumerate(people(600, 6))]
    index = Trained(fields, rows)

    peter, grace = HOUSE | {"first": "Peter"}, HOUSE | {"first": "Grace"}
    assert index.is_duplicate(peter | {"passport": "X8812345"}, grace | {"passport": "X8812345"})
    assert not index.is_duplicate(peter | {"passport": "X8812345"}, grace | {"passport": "K0011223"})


def test_an_index_whose_own_matches_differ_in_a_field_does_not_go_by_it() -> None:
    chance = random.Random(3)
    # A list in which one person goes by two given names, time and again.
    rows = [row | ({"first": chance.choice(FIRST)} if at % 11 == 1 else {}) for at, row in enumerate(people(600, 7))]
    index = Trained(PERSON_FIELDS, rows)

    (first,) = [field for field in index.model.fields if field.name == "first"]
    assert first.apart_bits == 0.0


def test_the_user_says_what_tells_entities_apart() -> None:
    fields = {"a": FieldType.STRING, "b": FieldType.STRING, "c": FieldType.STRING, "d": FieldType.STRING}
    rows = [{"a": row["first"], "b": row["last"], "c": row["phone"], "d": row["street"]} for row in people(600, 8)]
    peter = {"a": "Peter", "b": "Dunwoody", "c": "(212) 555-0777", "d": "6 Kiln Lane"}
    by_data, told = Trained(fields, rows), Trained(fields, rows, a=True)

    assert by_data.is_duplicate(peter, peter | {"a": "Grace"})
    assert not told.is_duplicate(peter, peter | {"a": "Grace"})


def _pairs_of_houses(count: int, *, same: bool) -> list[m.LabelledPair]:
    """Return labelled pairs that differ in the given name alone."""
    config = config_of(PERSON_FIELDS)
    pairs = []
    for at, row in enumerate(people(count, 12)[:count]):
        sides = [row | {"first": first} for first in (FIRST[at % 16], "Gwendolyn")]
        left, right = (m.prepare(side | {"id": "x"}, config).values for side in sides)
        pairs.append(m.LabelledPair(left, right, same))
    return pairs


def test_labels_of_siblings_change_nothing_of_what_they_share(trained: Trained) -> None:
    rows = people(200, 13)
    values = [m.prepare(row | {"id": "x"}, trained.config).values for row in rows]
    # The typing error comes behind its entity at each tenth one.
    same = [m.LabelledPair(values[at], values[at + 1], True) for at in range(0, 200, 11)]
    unborn = [m.prepare(row | {"id": "x", "first": "Oona", "dob": None}, trained.config).values for row in rows]
    other = [m.LabelledPair(unborn[at], unborn[at + 5], False) for at in range(1, 60, 3)]

    tuned, report = m.tune(trained.model, [*same, *other, *_pairs_of_houses(40, same=False)], trained.config)
    without, _ = m.tune(trained.model, [*same, *other], trained.config)

    assert report.before.f1 == 1.0
    shared = [(ours.bits, theirs.bits) for ours, theirs in zip(tuned.fields, without.fields, strict=True)][1:]
    assert all(ours == pytest.approx(theirs, abs=0.1) for ours, theirs in shared)


def test_people_who_call_different_names_the_same_are_believed(trained: Trained) -> None:
    rows = people(200, 13)
    values = [m.prepare(row | {"id": "x"}, trained.config).values for row in rows]
    other = [m.LabelledPair(values[at], values[at + 5], False) for at in range(1, 90, 3)]

    tuned, report = m.tune(trained.model, [*other, *_pairs_of_houses(30, same=True)], trained.config)

    assert report.before.recall < 0.5 < report.after.recall
    assert report.applied
    assert {field.name: field.apart_bits for field in tuned.fields}["first"] == 0.0


def test_of_addresses_the_street_with_its_number_is_what_tells_them_apart() -> None:
    fields = {"street": FieldType.STRING, "city": FieldType.STRING, "postcode": FieldType.STRING}
    chance = random.Random(9)
    rows = [
        {"street": row["street"], "city": row["city"], "postcode": str(chance.randint(10_000, 99_999))}
        for row in people(600, 9)
    ]
    index = Trained(fields, [*rows, *(row | {"city": f"{row['city']}e"} for row in rows[:60])])
    place = {"city": "Fargo", "postcode": "58102"}

    def is_one(left: str, right: str) -> bool:
        return index.is_duplicate(place | {"street": left}, place | {"street": right})

    assert is_one("17 Harrow Street Apt 4", "17 Harrow St. #4")
    assert not is_one("1201 Rook Road", "1203 Rook Road")
    assert not is_one("12 N Harbor Drive", "12 S Harbor Drive")


def test_sellers_do_not_ask_many_times_as_much_for_one_thing() -> None:
    fields = {"name": FieldType.TEXT, "brand": FieldType.STRING, "price": FieldType.NUMBER}
    chance = random.Random(2)
    rows: list[dict[str, Any]] = [
        {
            "name": f"{chance.choice(LAST)} {chance.choice(TOWNS)} {chance.choice('ABCDEF')}{chance.randint(100, 999)}",
            "brand": chance.choice(LAST),
            "price": chance.randint(10, 400),
        }
        for _ in range(300)
    ]
    index = Trained(fields, [*rows, *(row | {"price": row["price"] + 1} for row in rows[:40])])
    machine = {"name": "Kaffino K300 coffee machine", "brand": "Kaffino", "price": 199}

    assert index.is_duplicate(machine, machine | {"price": 189})
    assert not index.is_duplicate(
        machine, {"name": "Kaffino K300 coffee machine descaler", "brand": "Kaffino", "price": 9}
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("halco stool 45 cm oak red", "halco stool 45 cm oak blue", True),
        ("terrano hiking boot size 42", "terrano hiking boot size 43", True),
        ("strato wireless earbuds ii", "strato wireless earbuds iii", True),
        ("strato wireless earbuds", "strato wireless earbuds ii", True),
        ("fonix 12 128 gb black", "fonix 12 pro 128 gb black", True),
        ("1201 harbor road", "1203 harbor road", True),
        ("12 n harbor road", "12 s harbor road", True),
        ("arden legal llp", "birch accounting llp", True),
        ("a1 plumbing", "ab plumbing", True),
        ("on lattices part i", "on lattices part ii", True),
        ("hotel aurora berlin", "hotel aurora potsdam", True),
        ("nordwind logistik gmbh co kg", "nordwind logistik", False),
        ("ooo severnaya zvezda", "severnaya zvezda llc", False),
        ("castellan international holdings", "castellan intl hldgs", False),
        ("consolidated paper works", "cpw inc", False),
        ("blue heron soft", "blueheronsoft llc", False),
        ("harlan foods ltd t a the green spoon", "the green spoon", False),
        ("cellmax aa batteries 24 pack", "cellmax aa battery pack of 24", False),
        ("sparkle cola can 12 oz", "sparkle cola 355 ml can", False),
        ("storix vault 1 tb ssd", "storix vault 1000 gb ssd", False),
        ("gravo gx450 angle grinder", "gravo gx450 angle grinder 230 v", False),
        ("akku bohrschrauber bn18v", "cordless drill bn18v", False),
        ("12 harrow lane", "12 harrow ln", False),
        ("halo ii", "halo 2", False),
        ("halo ii", "halo 3", True),
        ("cookery second edition", "cookery 2nd edition", False),
        ("mr peter hall", "dr peter hall", False),
        ("peter hall", "hall peter j", False),
        ("廣州華麗傳媒有限公司", "广州华丽传媒", False),
        ("westmarch bearings inc", "westmarsh bearing inc", False),
        ("北京东方科技有限公司", "北京东方科技", False),
        ("владимир чайковский", "vladimir tchaikovsky", False),
        ("владимир чайковский", "wladimir tschaikowski", False),
        ("владимир чайковский", "vladimir rostropovich", True),
        ("владимир чайковский", "владимир ростропович", True),
        ("γιωργοσ παπαδοπουλοσ", "giorgos papadopoulos", False),
        ("γιωργοσ παπαδοπουλοσ", "giorgos venizelos", True),
        ("東 京 電 力", "tokyo denryoku", False),
        ("محمد علي", "muhammad ali", False),
        ("насос 42", "nasos 43", True),
    ],
)
def test_titles_of_two_things(first: str, second: str, expected: bool) -> None:
    assert are_titles_apart(first, second) is expected
    assert are_titles_apart(second, first) is expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("peter", "grace", True),
        ("elizabeth", "beth", False),
        ("robert j", "robert james", False),
        ("o", "odette", False),
        ("katherine", "kathrine", False),
        ("ольга", "olga", False),
        ("ольга", "pyotr", True),
        ("евгений", "jewgeni", False),
        ("محمد", "muhammad", False),
    ],
)
def test_names_of_two_people(first: str, second: str, expected: bool) -> None:
    assert are_names_apart(first, second) is expected
    assert are_names_apart(second, first) is expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [("12 oz", "355 ml", True), ("12 oz", "340 g", True), ("1 tb", "1000 gb", True), ("12 oz", "350 g", False),
     ("27 inch", "27 v", False), ("6 ft", "1.83 m", True)],
)  # fmt: skip
def test_quantities_in_other_units(left: str, right: str, expected: bool) -> None:
    pairs = [(x, y) for x in find_quantities(left.split()) for y in find_quantities(right.split())]

    assert any(is_same_quantity(*pair) for pair in pairs) is expected


@pytest.mark.parametrize(
    ("name", "kind", "role"),
    [
        ("first", FieldType.STRING, Role.GIVEN_NAME),
        ("givenName", FieldType.STRING, Role.GIVEN_NAME),
        ("contact.first_name", FieldType.TEXT, Role.GIVEN_NAME),
        ("last_name", FieldType.STRING, Role.CONTEXT),
        ("city_name", FieldType.STRING, Role.CONTEXT),
        ("name", FieldType.TEXT, Role.TITLE),
        ("productTitle", FieldType.TEXT, Role.TITLE),
        ("date_of_birth", FieldType.DATE, Role.BIRTH),
        ("updated", FieldType.DATE, Role.OTHER),
        ("soc_sec_id", FieldType.STRING, Role.IDENTIFIER),
        ("product_id", FieldType.STRING, Role.IDENTIFIER),
        ("price", FieldType.NUMBER, Role.PRICE),
        ("price", FieldType.STRING, Role.OTHER),
        ("watts", FieldType.NUMBER, Role.OTHER),
    ],
)
def test_the_name_of_a_field_says_what_it_is_for(name: str, kind: FieldType, role: Role) -> None:
    assert find_roles([IndexField(name=name, type=kind)]) == [role]


def test_of_people_a_title_is_what_they_are_addressed_by() -> None:
    fields = [IndexField(name=name, type=FieldType.STRING) for name in ("title", "first_name")]

    assert find_roles(fields) == [Role.OTHER, Role.GIVEN_NAME]


def test_what_the_user_says_of_a_field_goes_before_its_name() -> None:
    said = [
        IndexField(name="first", type=FieldType.STRING, identity=False),
        IndexField(name="colour", type=FieldType.STRING, identity=True),
        IndexField(name="released", type=FieldType.DATE, identity=True),
        IndexField(name="city", type=FieldType.STRING, identity=False),
    ]

    assert find_roles(said) == [Role.OTHER, Role.OWN, Role.BIRTH, Role.CONTEXT]
