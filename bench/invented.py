"""Invented data sets for the matching bench, each made from a seed, and lists without any duplicate."""

from __future__ import annotations

import random
from collections.abc import Callable

from bench.datasets import DataSet, Row, abt_buy, dblp_acm
from towpath.demo.persons import Pair, ordered


def _typo(rng: random.Random, text: str) -> str:
    if len(text) < 3:
        return text
    at = rng.randrange(len(text) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == 1:
        return text[:at] + text[at + 1 :]
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return text[:at] + letter + text[at + (kind == 2) :]


def _pool(rng: random.Random, size: int, syllables: tuple[int, int] = (2, 3)) -> list[str]:
    """Invented words with the frequencies of real names: few common ones, many rare ones."""
    starts = [
        "b",
        "c",
        "d",
        "f",
        "g",
        "h",
        "j",
        "k",
        "l",
        "m",
        "n",
        "p",
        "r",
        "s",
        "t",
        "v",
        "w",
        "br",
        "ch",
        "cl",
        "cr",
        "dr",
        "fr",
        "gr",
        "kr",
        "ph",
        "pl",
        "sh",
        "sl",
        "st",
        "th",
        "tr",
    ]
    middles = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ie", "oo", "ou"]
    ends = ["", "", "n", "r", "s", "l", "t", "ck", "nd", "rt", "ng", "m"]
    words: dict[str, None] = {}
    while len(words) < size:
        count = rng.randint(*syllables)
        words["".join(rng.choice(starts) + rng.choice(middles) for _ in range(count)) + rng.choice(ends)] = None
    return list(words)


def _pick(rng: random.Random, pool: list[str]) -> str:
    """Zipf-like choice."""
    return pool[min(int(len(pool) ** rng.random()) - 1, len(pool) - 1)]


def persons(size: int, duplicates: float = 0.2, seed: int = 1) -> DataSet:
    """Persons; a share of them comes twice, with one to three errors, moves and missing values."""
    rng = random.Random(seed)
    firsts, lasts = _pool(rng, 800), _pool(rng, 12_000)
    cities, streets = _pool(rng, 900), _pool(rng, 6_000)
    rows: list[Row] = []
    pairs: set[Pair] = set()
    while len(rows) < size:
        city = rng.randrange(len(cities))
        row: Row = {
            "id": str(len(rows)),
            "given_name": _pick(rng, firsts),
            "surname": _pick(rng, lasts),
            "address": f"{rng.randint(1, 300)} {_pick(rng, streets)} "
            + rng.choice(["street", "road", "avenue", "lane"]),
            "city": cities[int(city * rng.random())],
            "postcode": f"{rng.randint(10, 99)}{int(city * rng.random()):03d}",
            "date_of_birth": f"{rng.randint(1930, 2005)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
            "phone": f"0{rng.randint(10, 99)} {rng.randint(100000, 9999999)}",
        }
        rows.append(row)
        if rng.random() < duplicates and len(rows) < size:
            copy = {**row, "id": str(len(rows))}
            for _ in range(rng.randint(1, 3)):
                name = rng.choice([name for name in copy if name != "id"])
                if rng.random() < 0.25:
                    copy[name] = None
                elif copy[name]:
                    copy[name] = _typo(rng, str(copy[name]))
            if rng.random() < 0.15:
                copy.update(address=f"{rng.randint(1, 300)} {_pick(rng, streets)} street", city=_pick(rng, cities))
                copy["postcode"] = f"{rng.randint(10, 99)}{rng.randint(0, 899):03d}"
            rows.append(copy)
            pairs.add(ordered(row["id"], copy["id"]))
    return DataSet(f"persons-{size}", rows, pairs)


def restaurants(duplicates: float = 0.2, seed: int = 2, linked: bool = False) -> DataSet:
    """Restaurants of two guides: names with and without `cafe`, abbreviated streets, branches of chains."""
    rng = random.Random(seed)
    words, streets, cities = _pool(rng, 700), _pool(rng, 300), _pool(rng, 25)
    kinds = ["cafe", "grill", "restaurant", "bistro", "house", "kitchen", "pizza", "bar"]
    cuisines = ["italian", "french", "american", "american (new)", "chinese", "seafood", "steakhouses", "delis"]
    rows: list[Row] = []
    pairs: set[Pair] = set()
    for number in range(800):
        chain = number % 12 == 0 and rows
        name = f"{_pick(rng, words)} {rng.choice([*kinds, _pick(rng, words)])}"
        if chain:
            name = rng.choice(rows)["name"]
        row: Row = {
            "id": f"a{number}",
            "name": name,
            "address": f"{rng.randint(1, 9999)} {rng.choice(['', 'n. ', 's. ', 'w. '])}{_pick(rng, streets)} "
            + rng.choice(["st.", "ave.", "blvd.", "rd."]),
            "city": _pick(rng, cities),
            "phone": f"{rng.randint(201, 989)}/{rng.randint(200, 999)}-{rng.randint(0, 9999):04d}",
            "type": rng.choice(cuisines),
            "source": "a",
        }
        rows.append(row)
        if rng.random() >= duplicates:
            continue
        copy = {**row, "id": f"b{number}", "source": "b", "phone": str(row["phone"]).replace("/", "-")}
        for short, long in (("st.", "street"), ("ave.", "avenue"), ("blvd.", "boulevard"), ("n. ", "north ")):
            if rng.random() < 0.6:
                copy["address"] = copy["address"].replace(short, long)
        if rng.random() < 0.4:
            copy["name"] = rng.choice([f"the {name}", f"{name} restaurant", name.split()[0] + "'s", _typo(rng, name)])
        if rng.random() < 0.5:
            copy["type"] = rng.choice(cuisines)
        if rng.random() < 0.2:
            copy["phone"] = None
        rows.append(copy)
        pairs.add(ordered(row["id"], copy["id"]))
    if linked:
        rows.extend({**row, "id": "c" + row["id"], "source": "b"} for row in restaurants(0.0, seed + 100).rows[:300])
    else:
        rows = [{k: v for k, v in row.items() if k != "source"} for row in rows]
    return DataSet("restaurants-invented-link" if linked else "restaurants-invented", rows, pairs, linked=linked)


def movies(duplicates: float = 0.5, seed: int = 3) -> DataSet:
    """Films of two catalogues: sequels and remakes beside typing errors, different fields filled."""
    rng = random.Random(seed)
    words, people = _pool(rng, 900), _pool(rng, 500)
    rows: list[Row] = []
    pairs: set[Pair] = set()
    title, director = "", ""
    for number in range(1500):
        again = number % 9 == 1
        if again:
            title = title.removesuffix(" II") + rng.choice([" II", " II", ""])
        else:
            title = " ".join(_pick(rng, words) for _ in range(rng.randint(1, 4))).title()
        if not again or rng.random() < 0.5:
            director = f"{_pick(rng, people)} {_pick(rng, people)}".title()
        row: Row = {
            "id": f"m{number}",
            "title": title,
            "director": director,
            "year": str(rng.randint(1950, 2020)),
            "actors": ", ".join(f"{_pick(rng, people)} {_pick(rng, people)}".title() for _ in range(3)),
            "duration": str(rng.randint(80, 160)),
            "genre": rng.choice(["Drama", "Comedy", "Action", "Horror"]),
            "source": "m",
        }
        rows.append(row)
        if rng.random() >= duplicates:
            continue
        copy = {**row, "id": f"n{number}", "source": "n"}
        if rng.random() < 0.3:
            copy["title"] = rng.choice([f"The {title}", _typo(rng, title), f"{title} ({row['year']})"])
        if rng.random() < 0.3:
            copy["year"] = str(int(row["year"]) + rng.choice([-1, 1]))
        cast = str(row["actors"]).split(", ")
        rng.shuffle(cast)
        copy["actors"] = ", ".join(cast[: rng.randint(1, 3)])
        copy["duration"] = f"{int(row['duration']) + rng.randint(-2, 2)} min"
        for name in ("director", "actors", "duration", "genre"):
            if rng.random() < 0.25:
                copy[name] = None
        rows.append(copy)
        pairs.add(ordered(row["id"], copy["id"]))
    return DataSet("movies", rows, pairs, linked=True)


def companies(duplicates: float = 0.3, seed: int = 4) -> DataSet:
    """Companies of one dirty list: legal forms, abbreviations, groups of up to four copies."""
    rng = random.Random(seed)
    words, cities, streets = _pool(rng, 1500), _pool(rng, 60), _pool(rng, 400)
    trades = ["Consulting", "Technologies", "Logistics", "Foods", "Systems", "Partners", "Construction", "Energy"]
    forms = ["Inc.", "Incorporated", "Ltd", "Limited", "LLC", "GmbH", "Corp.", "Corporation", ""]
    rows: list[Row] = []
    pairs: set[Pair] = set()
    for _ in range(1500):
        name = f"{_pick(rng, words)} {rng.choice([*trades, _pick(rng, words)])}".title()
        base: Row = {
            "name": f"{name} {rng.choice(forms)}".strip(),
            "address": f"{_pick(rng, streets).title()} {rng.randint(1, 200)}",
            "city": _pick(rng, cities).title(),
            "website": f"www.{name.lower().replace(' ', '')}.com" if rng.random() < 0.6 else "",
        }
        copies = 1 if rng.random() >= duplicates else rng.randint(2, 4)
        ids: list[str] = []
        for which in range(copies):
            row = dict(base)
            if which:
                row["name"] = f"{name} {rng.choice(forms)}".strip()
                if rng.random() < 0.4:
                    row["name"] = _typo(rng, row["name"])
                if rng.random() < 0.3:
                    row["name"] = row["name"].upper()
                for field in ("address", "city", "website"):
                    if rng.random() < 0.25:
                        row[field] = ""
                if rng.random() < 0.3:
                    row["address"] = _typo(rng, row["address"])
            ids.append(str(len(rows)))
            rows.append({"id": ids[-1], **row})
        pairs.update(ordered(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :])
    return DataSet("companies", rows, pairs)


def products(seed: int = 5) -> DataSet:
    """Products of two shops with lines of near-equal models: same words, another model code or size."""
    rng = random.Random(seed)
    words, brands = _pool(rng, 150), [word.title() for word in _pool(rng, 40)]
    kinds = ["Camera", "Headphones", "Router", "Printer", "Monitor", "Speaker", "Drill", "Washer"]
    colours = ["Black", "White", "Silver", "Red"]
    rows: list[Row] = []
    pairs: set[Pair] = set()
    for line in range(350):
        brand, kind = rng.choice(brands), rng.choice(kinds)
        series, letters = _pick(rng, words).title(), "".join(rng.choices("ABCDEFGHKLMNPRSTVWX", k=rng.randint(1, 3)))
        for member in range(rng.randint(1, 4)):
            code, colour = f"{letters}{rng.randint(10, 9999)}", rng.choice(colours)
            size, price = rng.randint(5, 60), round(rng.lognormvariate(5, 1), 2)
            number = f"{line}x{member}"
            left: Row = {
                "id": "p" + number,
                "name": f"{brand} {series} {size}' {colour} {kind} - {letters}-{code[len(letters) :]}",
                "description": f"{brand} {series} {kind}/ {colour} Finish/ "
                + "/ ".join(_pick(rng, words).title() for _ in range(rng.randint(2, 8))),
                "price": f"${price}" if rng.random() < 0.6 else None,
                "source": "p",
            }
            rows.append(left)
            if rng.random() < 0.5:
                continue
            right: Row = {
                "id": "q" + number,
                "name": f"{brand} {code if rng.random() < 0.75 else ''} {series if rng.random() < 0.5 else ''} {kind}",
                "description": f"{size} inch {colour} {_pick(rng, words)}" if rng.random() < 0.6 else None,
                "price": f"{price * rng.uniform(0.85, 1.1):.2f}" if rng.random() < 0.6 else None,
                "source": "q",
            }
            rows.append(right)
            pairs.add(ordered(left["id"], right["id"]))
    return DataSet("products", rows, pairs, linked=True)


def renamed(data: DataSet, **names: str) -> DataSet:
    """Return the same with some fields called otherwise in the second source."""
    second = data.rows[-1]["source"]
    fields = [name for name in data.rows[0] if name not in ("id", "source")]
    every = dict.fromkeys([*fields, *names.values()])
    rows = [
        {
            "id": row["id"],
            **every,
            **{names.get(f, f) if row["source"] == second else f: row[f] for f in fields},
            "source": row["source"],
        }
        for row in data.rows
    ]
    return DataSet(data.name + "-renamed", rows, data.pairs, linked=True)


def without_duplicates(data: DataSet) -> DataSet:
    """Return the same list with one entity of every true pair left out: every verdict on it is wrong."""
    gone = {max(pair) for pair in data.pairs}
    rows = [row for row in data.rows if row["id"] not in gone]
    return DataSet(data.name + "-none", rows, set(), linked=data.linked)


INVENTED: dict[str, Callable[[], DataSet]] = {
    "persons": lambda: persons(10_000),
    "restaurants-invented": restaurants,
    "restaurants-invented-link": lambda: restaurants(linked=True),
    "movies": movies,
    "companies": companies,
    "products": products,
    "movies-renamed": lambda: renamed(movies(), title="name", director="directed_by", actors="starring"),
    "products-renamed": lambda: renamed(products(), name="title", description="features"),
    "abt-buy-renamed": lambda: renamed(abt_buy(), name="title"),
    "restaurants-none": lambda: without_duplicates(restaurants()),
    "movies-none": lambda: without_duplicates(movies()),
    "companies-none": lambda: without_duplicates(companies()),
    "products-none": lambda: without_duplicates(products()),
    "persons-none": lambda: persons(5_000, duplicates=0.0),
    "abt-none": lambda: without_duplicates(abt_buy()),
    "dblp-none": lambda: without_duplicates(dblp_acm()),
}
"""Data sets made from a seed, and lists in which nothing is a duplicate."""
