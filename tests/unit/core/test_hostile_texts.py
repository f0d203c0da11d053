"""Forms that read clients' texts take time in proportion to them: with backtracking each of these takes minutes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from towpath.enrichment.domain.drafts import FORMATS
from towpath.entities.domain.matching.dates import normalise_date
from towpath.entities.domain.matching.normalise import _join_codes
from towpath.entities.domain.matching.numbers import normalise_number
from towpath.extraction.domain.dates import parse_date, parse_datetime
from towpath.extraction.domain.numbers import parse_number
from towpath.extraction.domain.values import ADDRESS, MAIL

LONG = 100_000
HOSTILE = [
    " " * LONG + "x", "x" + " " * LONG + "x", "-" * LONG + "!", "1" + "-" * LONG + "!", "a-" * LONG, "a." * LONG + "@",
    "a@" + "." * LONG + " ", "a@" + "a." * LONG + "@", "1 " * LONG, "1.1" * LONG, ", " * LONG + "12:", "aA" * LONG,
]  # fmt: skip


@pytest.mark.parametrize(
    "read",
    [parse_date, parse_datetime, parse_number, MAIL.match, ADDRESS.match, _join_codes, normalise_date, normalise_number]
    + [form.fullmatch for form in FORMATS.values()],
)  # fmt: skip
def test_a_hostile_text_is_read_in_time(read: Callable[[str], object]) -> None:
    for text in HOSTILE:
        read(text)


def test_a_code_is_joined_as_before() -> None:
    given = "dsc-w55 kx-tg6700b 2020-01-02 a-b--1 a-b c 8-port"
    assert _join_codes(given) == "dscw55 kxtg6700b 2020 01 02 ab--1 a-b c 8 port"


@pytest.mark.parametrize("text", ["a@b.example", "first.last@b.co.example"])
def test_an_address_is_still_one(text: str) -> None:
    assert FORMATS["email"].fullmatch(text)
    assert not FORMATS["email"].fullmatch(text.replace("@", ""))
