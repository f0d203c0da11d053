"""Makes the table of months from the CLDR data of babel: `python -m tests.support.months`."""

from __future__ import annotations

import json

from babel import Locale, localedata

from towpath.core.months import TABLE, split_words

WELL_COVERED = 300
"""Names of languages that the data of a language has, from which on CLDR counts it as well covered, or nearly."""


FIRST = ("de", "es", "fr", "it", "nl")
"""Languages whose names count although another language calls another month so."""


def make_table() -> dict[str, int]:
    """Make the table: what is a month in English, then in the languages that go first, as far as these agree.

    Of the rest, what is no weekday; 0: what is several months. Countries have names of their own, such as the Jänner of
    Austria: those count that no language has.
    """
    english = _names("en", "months") | {"sept": {9}}
    first: dict[str, set[int]] = {}
    first_weekdays = {name for identifier in FIRST for name in _names(identifier, "days")}
    for identifier in FIRST:
        for name, numbers in _names(identifier, "months").items():
            if name not in first_weekdays:
                first.setdefault(name, set()).update(numbers)
    first = {name: numbers for name, numbers in first.items() if len(numbers) == 1}
    others: dict[str, set[int]] = {}
    of_countries: dict[str, set[int]] = {}
    weekdays: set[str] = set()
    for identifier in localedata.locale_identifiers():
        locale = Locale.parse(identifier)
        # Hindi in Latin letters has `das` for December.
        if locale.script != "Latn" and len(locale.languages) >= WELL_COVERED:
            weekdays.update(_names(identifier, "days"))
            known = of_countries if "_" in identifier else others
            for name, numbers in _names(identifier, "months").items():
                known.setdefault(name, set()).update(numbers)
    others = {name: numbers for name, numbers in (of_countries | others).items() if name not in weekdays}
    every = others | first | english
    table = {name: min(numbers) if len(numbers) == 1 else 0 for name, numbers in every.items()}
    return dict(sorted(table.items(), key=lambda item: (item[1], item[0])))


def _names(identifier: str, kind: str) -> dict[str, set[int]]:
    names: dict[str, set[int]] = {}
    for context in ("format", "stand-alone"):
        for width in ("wide", "abbreviated"):
            for number, name in getattr(Locale.parse(identifier), kind)[context][width].items():
                words = split_words(name)
                # A name of several words is none; `de març` is `març`.
                if len(words) == 1:
                    names.setdefault(words[0], set()).add(number)
    return names


if __name__ == "__main__":
    TABLE.write_text(json.dumps(make_table(), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
