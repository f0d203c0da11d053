"""What a form says: labels with their values, tables with their headers."""

from __future__ import annotations

import pytest

from tests.unit.extraction.builders import HEIGHT, WIDTH, Placed, page, table
from towpath.documents.types import PageContent, ReadMethod
from towpath.extraction.domain.fields import PageFields, read_fields


def said(read: PageFields) -> dict[str, str]:
    return {pair.label: pair.value for pair in read.pairs}


def markdown_page(content: str) -> PageContent:
    return PageContent(page=3, content=content, method=ReadMethod.OFFICE)


def test_a_value_behind_its_label_in_the_same_line() -> None:
    read = read_fields(
        page((50, 100, "Invoice number: INV-88"), (50, 116, "Paid:yes"), (50, 140, "Total due: 1,234.50"))
    )

    assert said(read) == {"Invoice number": "INV-88", "Paid": "yes", "Total due": "1,234.50"}
    assert all(pair.confidence > 0.9 and pair.page == 1 for pair in read.pairs)


def test_a_pair_knows_where_its_value_stands() -> None:
    (pair,) = read_fields(page((60, 100, "Note number: 88"))).pairs

    (box,) = pair.boxes
    assert box[0] == pytest.approx((60 + 20 + 3 + 35 + 3) / WIDTH)
    assert box[1] == pytest.approx(100 / HEIGHT)
    assert box[3] == pytest.approx(110 / HEIGHT)


def test_a_value_right_of_its_label_across_a_gap() -> None:
    rows = [["Invoice number:", "88"], ["Date:", "11 April 2026"]]

    assert said(read_fields(page(*table(50, 100, [0, 150], rows)))) == {"Invoice number": "88", "Date": "11 April 2026"}


def test_a_value_of_several_lines() -> None:
    lines: list[Placed] = [
        (50, 100, "Ship to:"), (200, 100, "Harbour Freight"), (200, 112, "12 Quay Street"), (200, 124, "Bergen"),
        (50, 148, "Weight:"), (200, 148, "88 kg"),
    ]  # fmt: skip

    read = read_fields(page(*lines))

    assert said(read) == {"Ship to": "Harbour Freight\n12 Quay Street\nBergen", "Weight": "88 kg"}
    assert len(read.pairs[0].boxes) == 3


def test_a_value_below_its_label() -> None:
    lines: list[Placed] = [(50, 100, "Surname:"), (300, 100, "Given name:"), (50, 114, "Lovelace"), (300, 114, "Ada")]

    assert said(read_fields(page(*lines))) == {"Surname": "Lovelace", "Given name": "Ada"}


def test_a_form_of_two_columns_pairs_each_side() -> None:
    rows = [["Name:", "Ada", "Born:", "1815"], ["Town:", "London", "Left:", "1852"]]

    read = read_fields(page(*table(50, 100, [0, 60, 200, 260], rows)))

    assert said(read) == {"Name": "Ada", "Born": "1815", "Town": "London", "Left": "1852"}


def test_labels_without_colons_have_figures_right_or_below() -> None:
    right = read_fields(page(*table(50, 100, [0, 150], [["Pallets", "4"], ["Weight", "88 kg"]])))
    below = read_fields(page(*table(50, 100, [0, 150], [["Invoice number", "Invoice date"], ["88", "2026-04-11"]])))

    assert said(right) == {"Pallets": "4", "Weight": "88 kg"}
    assert said(below) == {"Invoice number": "88", "Invoice date": "2026-04-11"}


def test_where_nobody_can_tell_both_are_unsure() -> None:
    read = read_fields(page(*table(50, 100, [0, 150], [["Carrier", "Status"], ["Northern", "Open"]])))

    carrier = [pair for pair in read.pairs if pair.label == "Carrier"]
    assert {pair.value for pair in carrier} == {"Status", "Northern"}
    assert all(pair.confidence < 0.6 for pair in carrier)


def test_ticked_boxes_are_yes_and_others_no() -> None:
    assert said(read_fields(page((50, 100, "[x] Fragile"), (50, 120, "☐ Express")))) == {
        "Fragile": "yes",
        "Express": "no",
    }


def test_two_labels_in_one_run_of_text_are_left_out() -> None:
    assert read_fields(page((50, 100, "Name: Ada Born: 1815"))).pairs == []


@pytest.mark.parametrize("line", ["See http://host/path for more", "The train leaves at 12:30 today", "1: 2", ": x"])
def test_colons_that_label_nothing(line: str) -> None:
    assert read_fields(page((50, 100, line))).pairs == []


def test_a_table_has_a_header_and_rows_and_totals_are_pairs() -> None:
    rows = [["Item", "Quantity", "Price"], ["Rope", "4", "12.50"], ["Anchor", "1", "88.00"], ["Total", "", "100.50"]]

    read = read_fields(page(*table(50, 100, [0, 150, 300], rows), number=2))

    (grid,) = read.grids
    assert grid.header == ("Item", "Quantity", "Price")
    assert [[entry.text for entry in row] for row in grid.rows] == rows[1:]
    assert grid.page == 2
    assert said(read) == {"Total": "100.50"}


def test_a_pair_is_as_sure_as_the_words_of_its_value() -> None:
    (sure,) = read_fields(page((50, 100, "Note number: 88"))).pairs
    (unsure,) = read_fields(page((50, 100, "Note number: 88"), confidence=0.5)).pairs

    assert unsure.confidence == pytest.approx(sure.confidence / 2)


def test_a_page_without_places_is_read_by_its_markdown() -> None:
    content = (
        "# Delivery note\n\n- **Note number:** 88\n- See http://host/\n\n"
        "| Carrier | Northern \\| Co |\n| --- | --- |\n| Weight | 88 kg |\n\n"
        "| Item | Quantity | Price |\n| --- | --- | --- |\n| Rope | 4 | 12.50 |\n| Anchor |\n"
    )

    read = read_fields(markdown_page(content))

    assert said(read) == {"Note number": "88", "Carrier": "Northern | Co", "Weight": "88 kg"}
    assert all(pair.page == 3 and pair.boxes == () for pair in read.pairs)
    assert [grid.header for grid in read.grids] == [("Carrier", "Northern | Co"), ("Item", "Quantity", "Price")]
    assert [entry.text for entry in read.grids[1].rows[1]] == ["Anchor", "", ""]
