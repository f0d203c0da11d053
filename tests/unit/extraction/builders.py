"""Pages of words, placed as a typist would."""

from __future__ import annotations

from towpath.documents.types import PageContent, ReadMethod, Word

WIDTH, HEIGHT = 600.0, 800.0

Placed = tuple[float, float, str] | tuple[float, float, str, float]
"""Left, top, text and size, in points."""


def words(*lines: Placed, confidence: float = 1.0, slant: float = 0.0) -> list[Word]:
    """Words of lines in a font whose letters are half as wide as high.

    Args:
        slant: How much lines fall on their way to the right.
    """
    made = []
    for left, top, text, *rest in lines:
        size = rest[0] if rest else 10.0
        x = left
        for word in text.split(" "):
            wide = len(word) * size / 2
            y = top + slant * (x + wide / 2)
            box = (x / WIDTH, y / HEIGHT, (x + wide) / WIDTH, (y + size) / HEIGHT)
            made.append(Word(word, box, confidence))
            x += wide + 0.3 * size
    return made


def page(*lines: Placed, number: int = 1, confidence: float = 1.0) -> PageContent:
    """A page of such lines."""
    return PageContent(
        page=number,
        content="",
        words=words(*lines, confidence=confidence),
        width=WIDTH,
        height=HEIGHT,
        method=ReadMethod.TEXT,
    )


def table(left: float, top: float, columns: list[float], rows: list[list[str]]) -> list[Placed]:
    """The cells of a table; columns are distances from its left, rows are 16 points apart."""
    return [
        (left + columns[column], top + 16 * row, text)
        for row, cells in enumerate(rows)
        for column, text in enumerate(cells)
        if text
    ]


INVOICE: list[Placed] = [
    (50, 40, "ACME Ropes Ltd", 18), (400, 42, "INVOICE", 18),
    (50, 70, "12 Quay Street"), (400, 70, "Invoice No.:"), (480, 70, "INV-88"),
    (50, 82, "Bergen 5003"), (400, 82, "Invoice date:"), (480, 82, "11 April 2026"),
    (50, 94, "Norway"), (400, 94, "Due date:"), (480, 94, "11 May 2026"),
    (50, 130, "Bill to:"), (300, 130, "Ship to:"),
    (50, 142, "Harbour Freight"), (300, 142, "Harbour Depot"),
    (50, 154, "4 Dock Road"), (300, 154, "9 Pier Road"),
    (50, 166, "Hull"), (300, 166, "Leeds"),
    *table(50, 200, [0, 200, 300, 400], [
        ["Description", "Qty", "Unit price", "Amount"], ["Rope, thick and blue", "4", "12.50", "50.00"],
        ["Anchor", "1", "1,088.00", "1,088.00"], ["Winch for small boats", "2", "100.00", "200.00"],
    ]),
    (350, 270, "Subtotal"), (450, 270, "1,338.00"),
    (350, 284, "VAT 25%"), (450, 284, "334.50"),
    (350, 298, "Total"), (450, 298, "1,672.50 EUR"),
    (50, 330, "Please pay within thirty days to the account that is named below, with the number"),
    (50, 342, "of this invoice as the reference. Thank you for buying from us again."),
    (50, 370, "IBAN: NO93 8601 1117 947"),
]  # fmt: skip
"""A page as they come: blocks beside each other, a table, totals, small print."""
