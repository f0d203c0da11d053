"""CSV that a person may open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re

NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,4})?")
FORMULA = frozenset("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


def safe_cell(text: str) -> str:
    """A cell's text, with an apostrophe before what a spreadsheet would run as a formula; a number stays one."""
    begin = text[:1] if text[:1] in FORMULA else text.lstrip()[:1]
    return f"'{text}" if begin in FORMULA and begin and not NUMBER.fullmatch(text) else text


def safe_csv(text: str) -> str:
    """The same for each cell of a CSV that `csv` has written, its head too."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([safe_cell(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline="")))
    return out.getvalue()
