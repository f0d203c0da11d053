"""The lines of `bench.f1` as tables in Markdown, as `docs/explanation/performance.md` shows them.

python -m bench.f1 > lines.jsonl
python -m bench.tables lines.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]
NONE = "-"


def quality_table(lines: Iterable[Line]) -> Iterator[str]:
    """Yield a row for each data set and state of knowledge: ours at the verdict and at best, the peers beside it."""
    rows: dict[tuple[str, str], Line] = {}
    for line in lines:
        if line["figure"] == "f1":
            row = rows.setdefault((line["data"], line["knowledge"]), {})
            row["splink" if line["method"].startswith("splink") else line["method"]] = line
    titles = (
        "Data", "Sources", "Precision", "Recall", "F1", "best F1", "TF-IDF best", "TF-IDF mutual best", "Splink at 0.9",
        "right from 0.9 on",
    )  # fmt: skip
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for (data, knowledge), row in rows.items():
        ours = row.get("towpath", {})
        figures = [
            ours.get("precision"), ours.get("recall"), ours.get("f1"), ours.get("best_f1"),
            row.get("tfidf, best threshold", {}).get("best_f1"),
            row.get("tfidf, mutual best, best threshold", {}).get("best_f1"),
            row.get("splink", {}).get("f1"), ours.get("sure_right"),
        ]  # fmt: skip
        yield f"| {data} | {knowledge} | " + " | ".join(map(_share, figures)) + " |"


def list_table(lines: Iterable[Line]) -> Iterator[str]:
    """Yield a row for each list without duplicates: false pairs for every thousand entities."""
    rows: dict[str, dict[str, Line]] = {}
    for line in lines:
        if line["figure"] == "list without duplicates":
            rows.setdefault(line["data"], {})["towpath" if line["method"] == "towpath" else "splink"] = line
    yield "| List | Entities | False pairs a thousand | of records that differ | Splink at 0.9 |"
    yield "|---|---|---|---|---|"
    for data, row in rows.items():
        ours = row.get("towpath", {})
        figures = [
            ours.get("false_a_thousand"), ours.get("false_between_different_a_thousand"),
            row.get("splink", {}).get("false_a_thousand"),
        ]  # fmt: skip
        yield f"| {data} | {ours.get('entities', NONE)} | " + " | ".join(map(_number, figures)) + " |"


def kind_table(lines: Iterable[Line]) -> Iterator[str]:
    """Yield a row for each set of pairs of a named kind: right answers on both sides, and the wrong ones."""
    yield "| Pairs | Same, right | Different, right | Missed | Merged |"
    yield "|---|---|---|---|---|"
    for line in lines:
        if line["figure"] == "kinds" and line["method"] == "towpath":
            yield (
                f"| {line['data']} | {line['duplicates_right']} of {line['duplicates']} "
                f"| {line['different_right']} of {line['different']} "
                f"| {'; '.join(line['missed']) or NONE} | {'; '.join(line['merged']) or NONE} |"
            )


def mean_table(lines: Iterable[Line]) -> Iterator[str]:
    """Yield a row for each mean over data sets, with the worst."""
    yield "| Figure | Sources | Sets | Mean | Worst | on |"
    yield "|---|---|---|---|---|---|"
    for line in lines:
        if line["figure"] == "mean" and line["sets"]:
            write = _number if "thousand" in line["of"] else _share
            yield (
                f"| {line['of']} | {line['knowledge']} | {line['sets']} | {write(line['mean'])} "
                f"| {write(line['worst'])} | {line['worst_set']} |"
            )


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}".removeprefix("0")


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.1f}"


def main() -> None:
    """Entry of `python -m bench.tables`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="what bench.f1 printed")
    text = parser.parse_args().file.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    for table in (quality_table, list_table, kind_table, mean_table):
        print("\n".join(table(lines)), end="\n\n")


if __name__ == "__main__":
    main()
