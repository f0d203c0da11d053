"""The bench of matching measures a running system."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import f1, invented
from bench.datasets import DataSet, NamedPair
from tests.support.builders import Organization
from towpath.demo.client import Towpath


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_link_is_measured_with_what_is_known_of_its_sources(
    org: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    data = invented.restaurants(linked=True)
    board = f1.Board()
    towpath = Towpath(str(org.http.base_url), org.key)

    f1.measure(towpath, data, board, is_declared=True, with_splink=False)
    f1.measure(towpath, data, board, is_declared=False, with_splink=False)
    board.tell()

    told = lines(capsys)
    ours = {line["knowledge"]: line for line in told if line.get("method") == "towpath"}
    assert set(ours) == {"declared", "undeclared"}
    for line in ours.values():
        assert line["protocol"] == "end-to-end"
        assert line["called"] - line["false"] == round(line["recall"] * len(data.pairs))
        assert line["false_a_thousand"] == pytest.approx(1000 * line["false"] / len(data.rows), abs=0.01)
        assert line["listed_recall"] >= line["recall"]
        assert line["best_f1"] > 0.9
    means = {(line["knowledge"], line["of"]): line for line in told if line["figure"] == "mean"}
    assert means["declared", f1.F1]["worst_set"] == data.name
    assert means["undeclared", f1.TFIDF_BEST]["sets"] == 1
    assert towpath.call("GET", "/v1/indexes")["indexes"] == []


def test_kinds_are_answered_on_both_sides(org: Organization, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    persons = invented.persons(600)
    same = NamedPair("mistyped", min(persons.pairs), True)
    apart = NamedPair("strangers", (persons.rows[0]["id"], persons.rows[-1]["id"]), False)
    data = DataSet(persons.name, persons.rows, persons.pairs, named=(same, apart))

    f1.measure(Towpath(str(org.http.base_url), org.key), data, f1.Board(), is_declared=False, with_splink=False)

    [kinds] = [line for line in lines(capsys) if line["figure"] == "kinds" and line["method"] == "towpath"]
    assert (kinds["duplicates"], kinds["different"], kinds["different_right"]) == (1, 1, 1)
    assert kinds["merged"] == {}
