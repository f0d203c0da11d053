"""Texts become the values that a schema's types ask for, or none at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.extraction.domain.dates import parse_date, parse_datetime
from towpath.extraction.domain.numbers import detect_decimal_mark, parse_number
from towpath.extraction.domain.values import MISSING, coerce_text, resolve_schema


@pytest.mark.parametrize(
    ("text", "mark", "number"),
    [
        ("88", None, 88),
        ("1,234.50", None, 1234.5),
        ("1.234,50", None, 1234.5),
        ("1 234,50", None, 1234.5),
        ("1\u202f234\u202f567,8", None, 1234567.8),
        ("1'234.50", None, 1234.5),
        ("12,5", None, 12.5),
        ("1,234", None, 1234),
        ("1,234", ",", 1.234),
        ("1.234", None, 1.234),
        ("1.234", ",", 1234),
        ("1,234,567", None, 1234567),
        ("0.125", ",", 0.125),
        ("-5", None, -5),
        ("\u22125", None, -5),
        ("(5.20)", None, -5.2),
        ("5.20-", None, -5.2),
        ("EUR 1,234.50", None, 1234.5),
        ("$ 12", None, 12),
        ("1,234.50 EUR", None, 1234.5),
        ("12 %", None, 12),
        ("4 pallets", None, 4),
        ("3 of 12", None, None),
        ("2026-04-11", None, None),
        ("11.04.2026", None, None),
        ("1.2.3", None, None),
        ("12,34,567", None, None),
        ("EUR88", None, 88),
        ("4kg", None, 4),
        ("A88", None, None),
        ("INV-88-b2", None, None),
        ("about four", None, None),
        ("", None, None),
    ],
)
def test_numbers_as_people_write_them(text: str, mark: Any, number: float | None) -> None:
    read = parse_number(text, mark)

    assert (None if read is None else float(read)) == number


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["1.234,50", "12"], ","),
        (["1,234.50"], "."),
        (["12,5", "1.234"], ","),
        (["1,234"], None),
        (["12,5", "12.5"], None),
        ([], None),
    ],
)
def test_a_document_shows_its_decimal_mark(texts: list[str], mark: str | None) -> None:
    assert detect_decimal_mark(texts) == mark


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-04-11", "2026-04-11"),
        ("2026/4/11", "2026-04-11"),
        ("11.04.2026", "2026-04-11"),
        ("11.4.26", "2026-04-11"),
        ("04.05.2026", "2026-05-04"),
        ("23/04/2026", "2026-04-23"),
        ("04/23/2026", "2026-04-23"),
        ("11 April 2026", "2026-04-11"),
        ("11th of April 2026", None),
        ("11. März 2026", "2026-03-11"),
        ("1er août 2026", "2026-08-01"),
        ("11 de abril de 2026", "2026-04-11"),
        ("April 11, 2026", "2026-04-11"),
        ("Sat, 11 Apr 2026", "2026-04-11"),
        ("11-Apr-2026", "2026-04-11"),
        ("11 kwietnia 2026", "2026-04-11"),
        ("11 апреля 2026", "2026-04-11"),
        ("11 mei 2026", "2026-05-11"),
        ("11 dic 2026", "2026-12-11"),
        ("11 Octo 2026", "2026-10-11"),
        ("11 listopad 2026", None),
        ("Room 11, 2026", None),
        ("04/05/2026", None),
        ("31.02.2026", None),
        ("11 Ma 2026", None),
        ("next week", None),
    ],
)
def test_days_are_read_unless_they_could_be_two(text: str, day: str | None) -> None:
    read = parse_date(text)

    assert (None if read is None else read.isoformat()) == day


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-11T09:30:00+02:00", "2026-04-11T09:30:00+02:00"),
        ("11 April 2026, 9:30 pm", "2026-04-11T21:30:00"),
        ("11.04.2026 um 09:30 Uhr", "2026-04-11T09:30:00"),
        ("11 April 2026", None),
        ("11 April 2026 29:30", None),
    ],
)
def test_moments_need_a_clock(text: str, moment: str | None) -> None:
    read = parse_datetime(text)

    assert (None if read is None else read.isoformat()) == moment


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        (" 88 ", {"type": "string"}, "88"),
        ("88", {}, "88"),
        ("88.0", {"type": "integer"}, 88),
        ("1.234", {"type": "integer"}, 1234),
        ("12.5", {"type": "integer"}, MISSING),
        ("12.5", {"type": ["number", "null"]}, 12.5),
        ("500", {"type": "number", "maximum": 100}, MISSING),
        ("n/a", {"type": ["number", "null"]}, None),
        ("n/a", {"type": "number"}, MISSING),
        ("-", {"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        ("Yes", {"type": "boolean"}, True),
        ("[x]", {"type": "boolean"}, True),
        ("☐", {"type": "boolean"}, False),
        ("perhaps", {"type": "boolean"}, MISSING),
        ("11 April 2026", {"type": "string", "format": "date"}, "2026-04-11"),
        ("soon", {"type": "string", "format": "date"}, MISSING),
        ("a@b.example", {"type": "string", "format": "email"}, "a@b.example"),
        ("nobody", {"type": "string", "format": "email"}, MISSING),
        ("Express delivery", {"enum": ["EXPRESS_DELIVERY", "STANDARD"]}, "EXPRESS_DELIVERY"),
        ("standart", {"enum": ["EXPRESS", "STANDARD"]}, MISSING),
        ("Standarrd", {"enum": ["EXPRESS", "STANDARD"]}, "STANDARD"),
        ("B", {"enum": ["A1", "A2"]}, MISSING),
        ("toolong", {"type": "string", "maxLength": 3}, MISSING),
        ("88", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, 88),
    ],
)
def test_a_text_becomes_a_value_of_its_type(text: str, schema: dict[str, Any], value: Any) -> None:
    assert coerce_text(text, resolve_schema(schema, schema)) == value


def test_references_lead_within_the_schema_and_never_in_circles() -> None:
    root = {"$defs": {"day": {"type": "string", "format": "date"}, "loop": {"$ref": "#/$defs/loop"}}}

    assert resolve_schema({"$ref": "#/$defs/day"}, root) == {"type": "string", "format": "date"}
    assert resolve_schema({"$ref": "#/$defs/loop"}, root) == {}
    assert resolve_schema({"$ref": "http://elsewhere/schema"}, root) == {}
    assert resolve_schema({"$ref": "#/$defs/none"}, root) == {}


@given(st.text(max_size=40), st.sampled_from(["integer", "number", "boolean", "string"]))
def test_any_text_is_a_value_of_the_type_or_missing(text: str, kind: str) -> None:
    value = coerce_text(text, {"type": kind})

    if value is not MISSING:
        assert isinstance(value, {"integer": int, "number": float, "boolean": bool, "string": str}[kind])
