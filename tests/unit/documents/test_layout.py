"""Words with boxes become Markdown in the order in which a person reads them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.extraction.builders import HEIGHT, INVOICE, WIDTH, Placed, table, words
from towpath.documents.layout import write_markdown
from towpath.documents.types import Word

LEFT = [
    "Tides rise and fall twice a day",
    "because the moon pulls the water",
    "towards it and the earth away",
    "from the water on the far side",
]
RIGHT = [
    "Locks lift boats over a hill by",
    "letting water in from above and",
    "out below which takes a quarter",
    "of an hour for each of them now",
]


def markdown(*lines: Placed) -> str:
    return write_markdown(words(*lines), WIDTH, HEIGHT)


def test_an_empty_page_is_an_empty_text() -> None:
    assert write_markdown([], WIDTH, HEIGHT) == ""


def test_lines_come_from_the_top_and_paragraphs_are_apart() -> None:
    text = markdown((50, 140, "Third line"), (50, 100, "First line"), (50, 112, "Second line"))

    assert text == "First line\nSecond line\n\nThird line"


def test_taller_lines_are_headings_by_how_much_taller() -> None:
    lines: list[Placed] = [(50, 150 + 12 * row, "some text of the usual height") for row in range(6)]

    text = markdown((50, 50, "Delivery note 88", 20), (50, 100, "What came", 14.5), (50, 130, "When", 12), *lines)

    assert text.startswith("# Delivery note 88\n\n## What came\n\n### When\n\nsome text")


def test_a_heading_of_two_lines_is_one() -> None:
    lines: list[Placed] = [(50, 150 + 12 * row, "some text of the usual height") for row in range(6)]

    text = markdown((50, 50, "On the tides", 20), (50, 72, "of Iceland", 20), *lines)

    assert text.startswith("# On the tides of Iceland\n\nsome text")


def test_numbers_alone_are_no_heading() -> None:
    text = markdown((50, 50, "88", 20), (50, 100, "some text of the usual height"))

    assert text.startswith("88\n\n")


def test_columns_are_read_one_after_the_other() -> None:
    left: list[Placed] = [(50, 100 + 12 * row, line) for row, line in enumerate(LEFT)]
    right: list[Placed] = [(320, 103 + 12 * row, line) for row, line in enumerate(RIGHT)]

    text = markdown((50, 60, "Water and what it does to boats over the years", 18), *right, *left)

    assert text == "# Water and what it does to boats over the years\n\n" + "\n".join(LEFT) + "\n\n" + "\n".join(RIGHT)


def test_cells_that_align_are_a_table() -> None:
    rows = [["Item", "Quantity", "Price"], ["Rope | thick", "4", "12.50"], ["Anchor", "", "88.00"]]

    text = markdown((50, 60, "What was ordered is listed below"), *table(50, 100, [0, 150, 300], rows))

    assert text == (
        "What was ordered is listed below\n\n"
        "| Item | Quantity | Price |\n| --- | --- | --- |\n| Rope \\| thick | 4 | 12.50 |\n| Anchor |  | 88.00 |"
    )


def test_two_rows_are_no_table() -> None:
    text = markdown(*table(50, 100, [0, 150], [["Item", "Price"], ["Rope", "12.50"]]))

    assert text == "Item   Price\nRope   12.50"


def test_labels_keep_their_values_beside_them() -> None:
    rows = [["Invoice number:", "88"], ["Date:", "11 April 2026"], ["Total:", "1,234.50 EUR"]]

    text = markdown(*table(50, 100, [0, 150], rows))

    assert text == "Invoice number: 88\nDate: 11 April 2026\nTotal: 1,234.50 EUR"


def test_a_form_of_two_columns_is_read_pair_by_pair() -> None:
    rows = [["Name:", "Ada", "Born:", "1815"], ["Town:", "London", "Left:", "1852"]]

    text = markdown(*table(50, 100, [0, 60, 200, 260], rows))

    assert text == "Name: Ada\nBorn: 1815\nTown: London\nLeft: 1852"


def test_a_line_above_a_table_does_not_hide_its_columns() -> None:
    rows = [["Item", "Quantity", "Unit", "Price"], *[[f"part{row}", str(row), "kg", f"{row}.50"] for row in range(5)]]

    text = markdown((50, 84, "Sheet 4"), (400, 84, "April"), *table(50, 100, [0, 120, 240, 360], rows))

    assert "| Item | Quantity | Unit | Price |" in text
    assert "| part4 | 4 | kg | 4.50 |" in text


def test_what_stands_sideways_comes_last() -> None:
    stamp = Word("RECEIVED", (0.01, 0.2, 0.025, 0.4))

    text = write_markdown([stamp, *words((50, 200, "First line"), (50, 212, "Second line"))], WIDTH, HEIGHT)

    assert text == "First line\nSecond line\n\nRECEIVED"


def test_lines_of_a_slanted_scan_stay_lines() -> None:
    lines: list[Placed] = [(50, 100 + 13 * row, f"line {row} goes on to the far end of the page") for row in range(20)]
    slanted = words(*lines, confidence=0.98, slant=0.035)

    text = write_markdown(slanted, WIDTH, HEIGHT)

    assert text.splitlines() == [text for _, _, text in lines]


def test_writing_from_right_to_left_keeps_its_order() -> None:
    one, two = "שלום", "עולם"
    placed = [Word(one, (0.6, 0.1, 0.7, 0.12)), Word(two, (0.49, 0.1, 0.59, 0.12))]

    assert write_markdown(placed, WIDTH, HEIGHT) == f"{one} {two}"


@pytest.mark.parametrize(
    ("line", "wanted"), [("# 5 of 7", r"\# 5 of 7"), ("• ropes", "- ropes"), ("> 3 kg", r"\> 3 kg")]
)
def test_marks_of_the_page_are_not_marks_of_markdown(line: str, wanted: str) -> None:
    assert markdown((50, 100, line)) == wanted


def test_an_invoice_is_read_block_by_block() -> None:
    blocks = markdown(*INVOICE).split("\n\n")

    assert blocks == [
        "# ACME Ropes Ltd   INVOICE",
        "12 Quay Street\nBergen 5003\nNorway",
        "Invoice No.: INV-88\nInvoice date: 11 April 2026\nDue date: 11 May 2026",
        "Bill to:\nHarbour Freight\n4 Dock Road\nHull",
        "Ship to:\nHarbour Depot\n9 Pier Road\nLeeds",
        "| Description | Qty | Unit price | Amount |\n| --- | --- | --- | --- |\n"
        "| Rope, thick and blue | 4 | 12.50 | 50.00 |\n| Anchor | 1 | 1,088.00 | 1,088.00 |\n"
        "| Winch for small boats | 2 | 100.00 | 200.00 |\n|  |  | Subtotal | 1,338.00 |\n"
        "|  |  | VAT 25% | 334.50 |\n|  |  | Total | 1,672.50 EUR |",
        "Please pay within thirty days to the account that is named below, with the number\n"
        "of this invoice as the reference. Thank you for buying from us again.",
        "IBAN: NO93 8601 1117 947",
    ]


def test_a_note_below_a_table_is_no_row_of_it() -> None:
    rows = [["Item", "Price"], ["Rope", "12.50"], ["Anchor", "88.00"], ["Thank you"]]

    assert markdown(*table(50, 100, [0, 150], rows)).endswith("| Anchor | 88.00 |\n\nThank you")


@given(st.integers(0, 10_000), st.integers(0, 80))
def test_no_word_is_lost_and_none_is_made_up(seed: int, count: int) -> None:
    """Wherever words are, even over each other or of no size."""
    rng = random.Random(seed)
    placed = []
    for number in range(count):
        x, y = rng.random(), rng.choice([rng.random(), rng.randrange(20) / 20])
        placed.append(Word(f"w{number}", (x, y, min(1, x + rng.random() * 0.2), min(1, y + rng.random() * 0.05))))

    text = write_markdown(placed, WIDTH, HEIGHT)

    read = [part for part in text.replace("|", " ").replace("#", " ").split() if part.strip("-")]
    assert sorted(read) == sorted(word.text for word in placed)
