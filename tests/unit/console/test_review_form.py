"""The form of a review: made of any schema, and read back into the same data unless somebody types."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.console.console_data import DATA, SCHEMA
from tests.support.console.forms import fields_of
from towpath.api.console.rendering import _templates
from towpath.api.console.review_form import MAX_ROWS, FormMaker, Kind, Node, write_name
from towpath.api.console.review_typed import TypedForm, change_rows, list_wrong_fields, read_data
from towpath.api.console.sheets import join_boxes

PAGE = """
{% from "review_macros.html" import block %}
<form>{% for node in form.children %}{{ block(node, {}, true) }}{% endfor %}</form>
"""


def shown(form: Node) -> str:
    """The form as its page shows it."""
    return _templates.from_string(PAGE).render(form=form)


def form_of(data: dict[str, Any], schema: dict[str, Any] = SCHEMA) -> dict[str, str]:
    return fields_of(shown(FormMaker(schema).of_data(data)))


def read(form: dict[str, str], schema: dict[str, Any] = SCHEMA) -> tuple[dict[str, Any], dict[str, str], str]:
    """The data, the errors by field, and what is wrong with the whole."""
    typed = TypedForm(schema, form).of_form()
    data, whole = read_data(typed, schema)
    return data, {node.name: node.error for node in list_wrong_fields(typed)}, whole


def kinds(data: dict[str, Any], schema: dict[str, Any] = SCHEMA) -> dict[str, Kind]:
    return {node.name: node.kind for node in FormMaker(schema).of_data(data).all()}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_every_type_has_its_field() -> None:
    assert kinds(DATA) == {
        "": Kind.GROUP,
        "/noteNumber": Kind.TEXT,
        "/deliveredOn": Kind.DATE,
        "/carrier": Kind.CHOICE,
        "/pallets": Kind.INTEGER,
        "/weightKg": Kind.NUMBER,
        "/insured": Kind.CHOICE,
        "/consignee": Kind.GROUP,
        "/consignee/name": Kind.TEXT,
        "/consignee/city": Kind.TEXT,
        "/lines": Kind.LIST,
        "/lines/0": Kind.GROUP,
        "/lines/0/article": Kind.TEXT,
        "/lines/0/quantity": Kind.INTEGER,
        "/lines/0/price": Kind.NUMBER,
        "/lines/1": Kind.GROUP,
        "/lines/1/article": Kind.TEXT,
        "/lines/1/quantity": Kind.INTEGER,
        "/lines/1/price": Kind.NUMBER,
        "/marks": Kind.LIST,
        "/marks/0": Kind.TEXT,
        "/marks/1": Kind.TEXT,
        "/extra": Kind.JSON,
    }


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, {"not": "a text"}),
        ({"type": "integer"}, "four"),
        ({"type": "boolean"}, "yes"),
        ({"type": ["string", "integer"]}, "either"),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, ["a"]),
        ({"type": "object"}, {"any": 1}),
        ({"type": "array"}, [1, "a", None]),
        ({"type": "array", "items": {"type": "integer"}}, list(range(MAX_ROWS + 1))),
        ({"allOf": [{"type": "string"}]}, "all"),
        ({}, {"what": "ever"}),
    ],
)
def test_what_the_schema_does_not_say_plainly_is_typed_as_json(schema: dict[str, Any], value: Any) -> None:
    assert kinds({"x": value}, of(x=schema))["/x"] is Kind.JSON


def test_a_schema_that_holds_itself_ends_in_json() -> None:
    schema = of(part={"$ref": "#"}, name={"type": "string"})
    data: dict[str, Any] = {"name": "0"}
    for level in range(12):
        data = {"name": str(level), "part": data}

    assert read(form_of(data, schema), schema) == (data, {}, "")


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        {"noteNumber": "", "pallets": 1},
        {"noteNumber": "a\r\nb", "pallets": 1, "marks": [""]},
        {"noteNumber": " 88 ", "pallets": 1, "weightKg": None},
        {"noteNumber": "88", "pallets": 1, "lines": [], "consignee": {}, "marks": []},
        {"noteNumber": "88", "pallets": 1, "weightKg": 4.0},
        {"noteNumber": "88", "pallets": 10**40, "weightKg": 1e300},
        {"noteNumber": "88", "pallets": 1, "deliveredOn": "the second week of April"},
        {"noteNumber": "88", "pallets": 1, "unknown": {"kept": [1, 2]}, "lines": [{"article": "a", "colour": "red"}]},
        {"noteNumber": "88", "pallets": 1, "extra": "only a text"},
        {"noteNumber": "\nbegins with a line", "pallets": 1},
    ],
)
def test_a_form_that_nobody_touches_gives_the_same_data(data: dict[str, Any]) -> None:
    expected = {**data, "noteNumber": data["noteNumber"].replace("\r\n", "\n")}

    assert read(form_of(data)) == (expected, {}, "")


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["C"]), max_size=80),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé ~/", min_size=1, max_size=4), inner),
    max_leaves=12,
)
TYPES = st.sampled_from(
    [
        {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}, {"type": ["string", "null"]},
        {"type": "string", "format": "date"}, {"enum": ["a", 1, None]}, {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "number"}}}}, {},
        {"type": "object", "properties": {"a": {"type": "string"}, "b~/": {"type": ["integer", "null"]}}},
    ]
)  # fmt: skip


@settings(max_examples=150)
@given(st.dictionaries(st.text("xyz~/ é", min_size=1, max_size=3), st.tuples(TYPES, VALUES), max_size=5))
def test_data_of_any_shape_come_through_a_form_unharmed(properties: dict[str, Any]) -> None:
    schema = of(**{name: told for name, (told, _) in properties.items()})
    data = {name: value for name, (_, value) in properties.items()}

    typed = TypedForm(schema, form_of(data, schema)).of_form()

    assert read_data(typed, {})[0] == data
    assert list_wrong_fields(typed) == []


def test_what_is_typed_becomes_a_value_of_its_type() -> None:
    form = form_of(DATA)
    form |= {
        "/pallets": " 5 ", "/weightKg": "12.75", "/insured": "false", "/carrier": '"Postal One"', "/noteNumber": "89",
        "/lines/1/quantity": "37", "/extra": '{"seal": 4471}', "/deliveredOn": "2026-05-02", "/consignee/city": "",
    }  # fmt: skip

    data, errors, whole = read(form)

    assert (errors, whole) == ({}, "")
    assert data == DATA | {
        "pallets": 5, "weightKg": 12.75, "insured": False, "carrier": "Postal One", "noteNumber": "89",
        "lines": [DATA["lines"][0], DATA["lines"][1] | {"quantity": 37}], "extra": {"seal": 4471},
        "deliveredOn": "2026-05-02", "consignee": {"name": "Lamp Works"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "value"),
    [("1,250.50", 1250.5), ("1.250,50", 1250.5), ("€ 14,90", 14.9), ("1250 kg", 1250), ("−3", -3), ("1e3", 1000.0)],
)
def test_a_number_may_be_taken_as_the_document_writes_it(typed: str, value: float) -> None:
    data, errors, _ = read({**form_of(DATA), "/weightKg": typed})

    assert errors == {}
    assert data["weightKg"] == value


@pytest.mark.parametrize("typed", ["1,250", "four", "1 2 3", "NaN", "Infinity", "1e999", "9" * 500, "4 pallets or 5"])
def test_what_is_not_one_number_is_told_beside_its_field(typed: str) -> None:
    _, errors, _ = read({**form_of(DATA), "/weightKg": typed})

    assert "one number" in errors["/weightKg"]


@pytest.mark.parametrize(
    ("typed", "day"), [("11 April 2026", "2026-04-11"), ("11.04.2026", "2026-04-11"), ("2026-4-9", "2026-04-09")]
)
def test_a_day_may_be_taken_as_the_document_writes_it(typed: str, day: str) -> None:
    assert read({**form_of(DATA), "/deliveredOn": typed})[0]["deliveredOn"] == day


@pytest.mark.parametrize("typed", ["04/05/2026", "soon", "2026-02-30"])
def test_what_is_not_one_day_is_told_beside_its_field(typed: str) -> None:
    assert "one day" in read({**form_of(DATA), "/deliveredOn": typed})[1]["/deliveredOn"]


@pytest.mark.parametrize(
    ("name", "typed", "told"),
    [
        ("/pallets", "4.5", "whole number"),
        ("/pallets", "0", "0 is less than the minimum of 1."),
        ("/pallets", "", "This is needed."),
        ("/noteNumber", "", "This is needed."),
        ("/lines/0/article", "", "This is needed."),
        ("/extra", "{broken", "not JSON"),
        ("/extra", "[1e400]", "a number beyond"),
        ("/extra", '"a\\u0000b"', "null byte"),
        ("/extra", "[" * 5000 + "]" * 5000, "nested deeper"),
        ("/extra", "NaN", "not JSON"),
        ("/extra", "[1]", "not valid under any of the given schemas"),
        ("/carrier", '"Nobody"', "is not one of"),
    ],
)
def test_what_breaks_the_schema_is_told_beside_its_field(name: str, typed: str, told: str) -> None:
    _, errors, whole = read({**form_of(DATA), name: typed})

    assert whole == ""
    assert list(errors) == [name]
    assert told in errors[name]


def test_what_belongs_to_no_field_is_told_of_the_whole() -> None:
    schema = of(a={"type": "string"}) | {"additionalProperties": False}
    form = form_of({"a": "x", "more": 1}, schema)

    _, errors, whole = read(form, schema)

    assert errors == {}
    assert "'more' was unexpected" in whole


def test_a_list_grows_and_shrinks_and_what_is_typed_moves_along() -> None:
    form = form_of(DATA) | {"/lines/1/article": "Wall lamp", "/lines/1/price": "?"}

    grown = change_rows(form, "add /lines")
    shrunk = change_rows(grown, "drop /lines/0")

    assert TypedForm(SCHEMA, grown).of_form().children[7].children[2].children[0].text == ""
    rows = TypedForm(SCHEMA, shrunk).of_form().children[7].children
    assert [[child.text for child in row.children] for row in rows] == [["Wall lamp", "36", "?"], ["", "", ""]]
    assert read({**shrunk, "/lines/0/price": "9"})[0]["lines"] == [
        {"article": "Wall lamp", "quantity": 36, "price": 9}
    ]  # fmt: skip


def test_the_last_row_leaves_an_empty_list() -> None:
    form = change_rows(change_rows(form_of(DATA), "drop /marks/0"), "drop /marks/0")

    assert read(form)[0]["marks"] == []


def test_a_list_that_was_not_there_begins_with_its_first_row() -> None:
    form = change_rows(form_of({"noteNumber": "1", "pallets": 1}), "add /marks")

    assert read({**form, "/marks/0": "fragile"})[0] == {"noteNumber": "1", "pallets": 1, "marks": ["fragile"]}


@pytest.mark.parametrize("wanted", ["", "add", "add /nothing", "drop /lines", "drop /lines/x", "burn /lines/0"])
def test_another_wish_changes_nothing(wanted: str) -> None:
    form = form_of(DATA)

    assert change_rows(form, wanted) == form


def test_no_form_is_too_long_to_be_read() -> None:
    form = form_of(DATA) | {"/lines#": "999999999999", "/marks#": "99999"}

    lines, marks = (TypedForm(SCHEMA, form).of_form().children[place].children for place in (7, 8))

    assert (len(lines), len(marks)) == (0, MAX_ROWS)


def test_an_empty_needed_field_that_may_be_null_is_null() -> None:
    schema = of(a={"type": ["string", "null"]}) | {"required": ["a"]}

    assert read(form_of({}, schema), schema) == ({"a": None}, {}, "")


def test_a_choice_that_is_not_allowed_is_not_lost_unseen() -> None:
    page = shown(FormMaker(SCHEMA).of_data({**DATA, "carrier": "Nobody"}))

    assert "(not allowed)" in page


@pytest.mark.parametrize(
    ("name", "words"),
    [("noteNumber", "Note number"), ("note_number", "Note number"), ("VAT", "VAT"), ("line2Total", "Line2 total"),
     ("x", "X"), ("_", "_"), ("weightKG", "Weight kG")],
)  # fmt: skip
def test_a_property_is_called_as_people_write(name: str, words: str) -> None:
    assert write_name(name) == words


def test_nothing_of_a_schema_or_of_data_becomes_part_of_the_page() -> None:
    attack = '"><script>alert(1)</script>'
    schema = {
        "type": "object",
        "properties": {
            attack: {"type": "string", "title": attack, "description": attack},
            "b": {"type": "array", "items": {"type": "object", "properties": {attack: {"enum": [attack]}}}},
        },
    }
    form = FormMaker(schema).of_data({attack: attack, "b": [{attack: attack}], "c": attack})
    for node in form.all():
        node.error = attack

    page = shown(form)

    assert "<script" not in page
    assert fields_of(page)[f"/{attack.replace('/', '~1')}"] == attack


def test_neighbouring_words_of_a_value_are_marked_as_one() -> None:
    words = [(0.1, 0.1, 0.15, 0.12), (0.16, 0.1, 0.2, 0.12), (0.6, 0.1, 0.7, 0.12), (0.1, 0.2, 0.15, 0.22)]

    assert join_boxes(words) == [(0.1, 0.1, 0.2, 0.12), (0.6, 0.1, 0.7, 0.12), (0.1, 0.2, 0.15, 0.22)]
