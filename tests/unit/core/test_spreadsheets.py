"""What a spreadsheet would run is text in every CSV."""

from __future__ import annotations

import csv
import io

import pytest

from towpath.core.spreadsheets import escape_cell, escape_csv


@pytest.mark.parametrize(
    "text",
    ["\uff1d1+1", "=1+1", "=cmd|'/c calc'!A0", "+SUM(A1)", "-2+3", "\t=1", "\r=1", " =1", "\n=1", "-", "--5", "-5%"],
)  # fmt: skip
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert escape_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "-5", "+5", "-0.5", "1e-3", "-1.5E+7", "a=b", "2026-01-01", "'x", "Müller", " x"])
def test_numbers_and_other_texts_stay(text: str) -> None:
    assert escape_cell(text) == text


def test_a_whole_csv_keeps_its_form() -> None:
    given = '=Head,"a ""b"", c"\n-5,"=x\ny"\n,\n'
    assert escape_csv(given) == '\'=Head,"a ""b"", c"\n-5,"\'=x\ny"\n,\n'
    assert list(csv.reader(io.StringIO(escape_csv(given), newline="")))[1] == ["-5", "'=x\ny"]


def test_a_long_number_that_is_none_is_read_in_one_pass() -> None:
    assert escape_cell("-" + "1" * 100_000 + "x")[:2] == "'-"
