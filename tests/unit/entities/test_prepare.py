"""What an entity becomes in the index."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.entities.builders import index
from towpath.entities.domain.matching import (
    MAX_KEYS,
    MissingFieldError,
    NoIndexedValueError,
    copy_key,
    entity_uid,
    prepare,
)
from towpath.entities.domain.matching.normalise import NORMALISERS, normalise_date, normalise_number, normalise_text
from towpath.entities.domain.matching.quantities import SYMBOLS
from towpath.entities.types import FieldType, IndexConfig, IndexField

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("Hex bolt M8 x 40", "hex bolt m8 40"),
        ("Bolt, hex, M8x40 mm", "bolt hex m8 40 mm"),
        ("Kettle 1.7L", "kettle 1.7 l"),
        ("Cable 12-24V DC", "cable 12 24 v dc"),
        ("KX-TG6700B 40GB", "kxtg6700b 40 gb"),
        ("8-Port 10/100", "8 port 10 100"),
        ("O'Brien's", "obriens"),
        ("Ærøskøbing Straße", "aeroskobing strasse"),
        ("2.5 inch", "2.5 inch"),
        ("東京 都", "東 京 都"),
        ({"a": ["x", 1], "b": None}, "x 1"),
        (True, "true"),
        ("***", "***"),
        ("N/A", None),
        ("  ", None),
        ([], None),
    ],
)
def test_text_becomes_plain_words(raw: object, normal: str | None) -> None:
    assert normalise_text(raw) == normal


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("$1,299.00", "1299"),
        ("1.299,50 €", "1299.5"),
        ("1,5", "1.5"),
        ("vol. 12", "12"),
        ("pp. 322-331", "322"),
        ("-5", "-5"),
        (7, "7"),
        (7.0, "7"),
        ("7", "7"),
        (math.nan, None),
        (10**400, None),
        ("none", None),
    ],
)
def test_number_is_read_without_currency_and_thousands(raw: object, normal: str | None) -> None:
    assert normalise_number(raw) == normal


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("1945-03-12", "19450312"),
        ("1945-03-12T10:00:00Z", "19450312"),
        (19450312, "19450312"),
        ("12.03.1945", "19450312"),
        ("03/12/1945", "19450312"),
        ("25/12/1945", "19451225"),
        ("12031945", "19450312"),
        ("Mar 12, 1945", "19450312"),
        ("1945", "19450000"),
        ("1945-03", "19450300"),
        ("19451399", "19451399"),
        ("soon", None),
        (None, None),
    ],
)
def test_date_becomes_eight_digits(raw: object, normal: str | None) -> None:
    assert normalise_date(raw) == normal


@given(ANY_JSON)
@settings(max_examples=300)
def test_no_json_value_is_refused(raw: Any) -> None:
    for kind in FieldType:
        value = NORMALISERS[kind](raw)
        assert value is None or value
        if kind is FieldType.DATE and value:
            assert len(value) == 8
            assert value.isdigit()
        if kind is FieldType.NUMBER and value:
            assert math.isfinite(float(value))


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_normalising_twice_changes_nothing(raw: str) -> None:
    once = normalise_text(raw)

    assert normalise_text(once) == once or normalise_text(normalise_text(once)) == normalise_text(once)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
@settings(max_examples=200)
def test_keys_are_sorted_unique_and_bounded(texts: list[str]) -> None:
    config = index(**{f"f{number}": "text" for number in range(len(texts))})
    try:
        keys = prepare({f"f{number}": text for number, text in enumerate(texts)}, config).keys
    except NoIndexedValueError:
        return

    assert keys.dtype == np.int64
    assert 0 < len(keys) <= MAX_KEYS
    assert np.all(keys[1:] > keys[:-1])


def test_a_very_long_text_costs_a_bounded_amount() -> None:
    entity = prepare({"name": "word42 " * 20_000}, index(name="text"))

    assert len(entity.values[0] or "") in range(1, 1_201)


def test_a_dotted_path_reaches_into_objects_and_lists() -> None:
    entity = {"id": 1, "maker": [{"name": "Orion"}, {"name": "Vega"}], "a.b": "flat"}

    assert prepare(entity, index(**{"maker.name": "text", "a.b": "string"})).values == ("orion vega", "flat")


def test_a_missing_required_field_is_named() -> None:
    config = IndexConfig(index_name="x", fields=[IndexField(name="sku", type=FieldType.STRING, required=True)])

    with pytest.raises(MissingFieldError) as caught:
        prepare({"id": 1, "sku": " "}, config)

    assert caught.value.name == "sku"


def test_an_entity_without_any_indexed_value_is_refused() -> None:
    with pytest.raises(NoIndexedValueError):
        prepare({"id": 1, "name": None, "price": "none"}, index(name="text", price="number"))


def test_the_uid_does_not_tell_numbers_from_their_spelling() -> None:
    assert entity_uid(7) == entity_uid("7") != entity_uid("07")
    assert -(2**63) <= entity_uid("x") < 2**63


def test_copies_share_a_key_of_their_own() -> None:
    config = index(name="text", brand="string", size="string")
    one, two, other = (
        prepare(row, config)
        for row in ({"name": "Desk Lamp", "brand": "Orion"}, {"name": "desk lamp", "brand": "ORION"}, {"name": "Orion"})
    )

    assert copy_key(one.values) == copy_key(two.values) in one.keys.tolist()
    assert copy_key(other.values) not in one.keys.tolist()
    assert copy_key(("a", None)) == copy_key(("a",)) != copy_key((None, "a"))
    assert copy_key(("a", "b")) != copy_key(("a b",))


def test_the_units_behind_numbers_are_those_of_stored_values() -> None:
    # Stored values change with a re-index only: another unit here is a decision, not a side effect.
    assert SYMBOLS == [
        "ah", "cl", "cm", "ct", "ft", "g", "gb", "ghz", "hz", "in", "inch", "kb", "kg", "khz", "km", "kw", "l", "lb",
        "lbs", "mah", "mb", "mg", "mhz", "ml", "mm", "mp", "oz", "pc", "pcs", "pk", "tb", "v", "w", "yd",
    ]  # fmt: skip
    for unit in SYMBOLS:
        assert normalise_text(f"cable 40{unit}") == f"cable 40 {unit}"
    assert normalise_text("cable 40m 6pack") == "cable 40m 6pack"
