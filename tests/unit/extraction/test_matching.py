"""Labels find the properties that they mean, values take their types, and what is unsure is left out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.extraction.builders import INVOICE, Placed, page, table
from towpath.extraction.domain.fields import PageFields, read_fields
from towpath.extraction.domain.likeness import list_names, measure_likeness
from towpath.extraction.domain.matching import FieldMatch, match_fields


def form(*lines: str, number: int = 1) -> PageFields:
    return read_fields(page(*[(50.0, 100.0 + 30 * row, line) for row, line in enumerate(lines)], number=number))


def matched(properties: dict[str, Any], *pages: PageFields) -> dict[str, Any]:
    return {name: found.value for name, found in found_in(properties, *pages).items()}


def found_in(properties: dict[str, Any], *pages: PageFields) -> dict[str, FieldMatch]:
    return match_fields({"type": "object", "properties": properties}, pages)


@pytest.mark.parametrize(
    ("label", "name", "schema"),
    [
        ("Note number", "noteNumber", {}),
        ("Note No.", "note_number", {}),
        ("NOTE #", "noteNumber", {}),
        ("Number of note", "noteNumber", {}),
        ("Invoice", "invoiceNumber", {}),
        ("lnvoice number", "invoiceNumber", {}),
        ("E-mail", "email", {}),
        ("VAT ID", "x", {"title": "VAT number"}),
        ("Qty.", "quantity", {}),
        ("Delivery note number", "noteNumber", {}),
        ("Invoice date", "date", {}),
        ("Date of birth", "dob", {}),
        ("Gross weight", "w", {"description": "The gross weight of all pallets"}),
    ],
)
def test_a_label_means_a_property(label: str, name: str, schema: dict[str, Any]) -> None:
    assert measure_likeness(label, list_names(name, schema), schema.get("description", "")) >= 0.7


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Invoice rate", "invoiceDate"),
        ("Customer", "customerPhone"),
        ("Number", "invoiceNumber"),
        ("Phone number", "number"),
        ("Company name", "name"),
        ("Ship to", "shipped"),
        ("", "note"),
        ("of the", "note"),
    ],
)
def test_a_label_means_something_else(label: str, name: str) -> None:
    assert measure_likeness(label, list_names(name, {})) < 0.7


def test_values_take_the_types_of_their_properties() -> None:
    read = form(
        "Note number: 88", "Pallets: 4", "Net weight: 1.234,50 kg", "Fragile: Ja", "Delivered on: 11.04.2026",
        "Priority: high", "Tags: ropes, anchors",
    )  # fmt: skip

    value = matched(
        {
            "noteNumber": {"type": "string"},
            "pallets": {"type": "integer"},
            "net_weight": {"type": "number"},
            "fragile": {"type": ["boolean", "null"]},
            "deliveredOn": {"type": "string", "format": "date"},
            "priority": {"enum": ["HIGH", "LOW"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "comment": {"type": "string"},
        },
        read,
    )

    assert value == {
        "noteNumber": "88", "pallets": 4, "net_weight": 1234.5, "fragile": True, "deliveredOn": "2026-04-11",
        "priority": "HIGH", "tags": ["ropes", "anchors"],
    }  # fmt: skip


def test_a_found_value_knows_its_page_its_place_and_how_sure_it_is() -> None:
    found = found_in({"pallets": {"type": "integer"}}, form("Nothing here"), form("Pallets: 4", number=2))["pallets"]

    assert found.page == 2
    assert len(found.boxes) == 1
    assert 0.9 < found.confidence <= 1


def test_the_document_shows_how_its_numbers_are_meant() -> None:
    english = form("Weight: 1,234", "Total: 88.50")
    german = form("Weight: 1,234", "Total: 88,50")

    assert matched({"weight": {"type": "number"}}, english) == {"weight": 1234.0}
    assert matched({"weight": {"type": "number"}}, german) == {"weight": 1.234}


def test_two_places_that_differ_are_left_out_and_two_that_agree_are_not() -> None:
    properties = {"name": {"type": "string"}}

    assert matched(properties, form("Name: Ada", "Name: Grace")) == {}
    assert matched(properties, form("Name: Ada"), form("Name: Ada", number=2)) == {"name": "Ada"}


def test_a_better_label_wins_over_one_that_says_more() -> None:
    read = form("Total VAT: 19.00", "Total: 119.00")

    assert matched({"total": {"type": "number"}}, read) == {"total": 119.0}


def test_a_value_that_does_not_fit_is_left_out() -> None:
    assert matched({"pallets": {"type": "integer"}}, form("Pallets: several")) == {}


def test_each_pair_is_used_once() -> None:
    properties = {"date": {"type": "string", "format": "date"}, "invoiceDate": {"type": "string", "format": "date"}}

    assert matched(properties, form("Invoice date: 2026-04-11")) == {"invoiceDate": "2026-04-11"}


def test_properties_of_an_object_are_called_by_both_names() -> None:
    customer = {"type": "object", "properties": {"name": {"type": "string"}, "phone": {"type": "string"}}}
    read = form("Customer name: Harbour Freight", "Supplier name: Northern", "Phone: 12 34")

    assert matched({"customer": customer}, read) == {"customer": {"name": "Harbour Freight"}}


def test_references_and_wrappings_of_a_schema_are_followed() -> None:
    schema = {
        "properties": {"pallets": {"anyOf": [{"$ref": "#/$defs/count"}, {"type": "null"}]}},
        "$defs": {"count": {"type": "integer", "minimum": 0}},
    }

    assert match_fields(schema, [form("Pallets: 4")])["pallets"].value == 4
    assert match_fields(schema, [form("Pallets: n/a")])["pallets"].value is None


ITEMS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "description": {"type": "string"},
            "quantity": {"type": "integer"},
            "unitPrice": {"type": "number"},
            "remark": {"type": ["string", "null"]},
        },
    },
}


def lines_of(*rows: list[str], header: str = "Item description") -> list[Placed]:
    return table(50, 100, [0, 180, 300, 420], [[header, "Qty", "Unit price", "Amount"], *rows])


def test_a_table_becomes_objects_without_its_totals() -> None:
    rows = [["Rope, thick", "4", "12.50", "50.00"], ["Anchor", "1", "1,088.00", "1,088.00"], ["", "", "Sum", "1138.00"]]

    found = found_in({"lines": ITEMS}, read_fields(page(*lines_of(*rows))))["lines"]

    assert found.value == [
        {"description": "Rope, thick", "quantity": 4, "unitPrice": 12.5},
        {"description": "Anchor", "quantity": 1, "unitPrice": 1088.0},
    ]
    assert found.page == 1
    assert found.boxes
    assert 0.4 < found.confidence < 0.9


def test_an_invoice_gives_its_fields_and_lines() -> None:
    properties = {
        "invoiceNumber": {"type": "string"},
        "invoiceDate": {"type": "string", "format": "date"},
        "dueDate": {"type": "string", "format": "date"},
        "billTo": {"type": "string"},
        "total": {"type": "number"},
        "subtotal": {"type": "number"},
        "iban": {"type": "string"},
        "purchaseOrder": {"type": "string"},
        "lines": ITEMS,
    }

    found = found_in(properties, read_fields(page(*INVOICE)))

    assert {name: each.value for name, each in found.items()} == {
        "invoiceNumber": "INV-88",
        "invoiceDate": "2026-04-11",
        "dueDate": "2026-05-11",
        "billTo": "Harbour Freight\n4 Dock Road\nHull",
        "total": 1672.5,
        "subtotal": 1338.0,
        "iban": "NO93 8601 1117 947",
        "lines": [
            {"description": "Rope, thick and blue", "quantity": 4, "unitPrice": 12.5},
            {"description": "Anchor", "quantity": 1, "unitPrice": 1088.0},
            {"description": "Winch for small boats", "quantity": 2, "unitPrice": 100.0},
        ],
    }


def test_rows_that_do_not_fit_make_a_table_less_sure() -> None:
    good, bad = ["Rope, thick", "4", "12.50", "50.00"], ["Anchor", "some", "88.00", "88.00"]

    whole = found_in({"lines": ITEMS}, read_fields(page(*lines_of(good, good))))["lines"]
    part = found_in({"lines": ITEMS}, read_fields(page(*lines_of(good, bad))))["lines"]

    assert len(part.value) == 1
    assert part.confidence == pytest.approx(whole.confidence / 2, abs=0.001)


def test_a_table_goes_on_over_pages_that_repeat_its_header() -> None:
    pages = []
    for number in (1, 2):
        rows = [[f"part {number}a", "1", "2.50", "2.50"], [f"part {number}b", "2", "2.50", "5.00"]]
        pages.append(read_fields(page(*lines_of(*rows), number=number)))

    value = matched({"lines": ITEMS}, *pages)["lines"]

    assert [line["description"] for line in value] == ["part 1a", "part 1b", "part 2a", "part 2b"]


def test_a_table_of_something_else_is_left_out() -> None:
    rows = [["Port", "Tide", "Depth", "Wind"], ["Bergen", "2", "14", "3"], ["Hull", "6", "9", "5"]]

    assert matched({"lines": ITEMS}, read_fields(page(*table(50, 100, [0, 150, 300, 400], rows)))) == {}


@pytest.mark.parametrize(
    "schema", [{}, {"properties": 3}, {"properties": {"a": 3, "b": {"type": "array"}}}, {"$ref": "#"}]
)
def test_schemas_that_say_nothing_find_nothing(schema: dict[str, Any]) -> None:
    assert match_fields(schema, [form("Pallets: 4")]) == {}
