"""Names of months in the languages that CLDR covers well, of the Gregorian calendar, in full and abbreviated.

The table is made by `python -m tests.support.months` from the CLDR data of babel. It is kept as a file, because babel
takes 150 MB to look through its languages, and because what an index has stored must not change with an update of it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("months.json")
MIN_PART = 4
MIN_CHARS = 3
"""Shorter names in Latin letters are words of other meanings."""
_BETWEEN = re.compile(r"[\s\d.,/\\'’()_-]+")


def month_in(text: str) -> int:
    """Return the month that is named in a text: by its longest such name, the last one of those; 0: none is.

    Names that different languages give to different months are none: `listopad` is October in Zagreb and November in
    Prague. Those of English and of a few other languages of Western Europe go before.
    """
    names = month_names()
    known = [word for word in split_words(text) if names.get(word)]
    return names[max(reversed(known), key=len)] if known else 0


def month_called(word: str) -> int:
    """Return the month that a single word names, also cut off: `Janu` is January; 0: none.

    A part of a name counts from four letters on, and if all names that begin so are of one month.
    """
    words = split_words(word)
    if len(words) != 1:
        return 0
    names = month_names()
    if words[0] in names or len(words[0]) < MIN_PART:
        return names.get(words[0], 0)
    numbers = {number for name, number in names.items() if name.startswith(words[0])}
    return numbers.pop() if len(numbers) == 1 else 0


def split_words(text: str) -> list[str]:
    """Split a text into the words that the table is asked for: without case, accents, marks and numbers."""
    plain = text.casefold()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    return [word for word in _BETWEEN.split(plain) if len(word) >= MIN_CHARS or (word and not word.isascii())]


@cache
def month_names() -> dict[str, int]:
    """Return the table: the number of the month by its name; 0: different languages call different months so."""
    names: dict[str, int] = json.loads(TABLE.read_text(encoding="utf-8"))
    return names
