"""Quality of matching on every data set with ground truth, through the public API with default settings.

    python -m bench.f1                     # all sets, all methods
    python -m bench.f1 --no-splink         # Splink takes the longest
    python -m bench.f1 --set cora          # one; may be given several times

One protocol for all, `end-to-end`: an index made from names and types of fields, one batch of all records, the pairs
that `GET /v1/duplicates` calls duplicates, against the true pairs. A linking task is measured `declared`, with
`sourceField` and `cleanSources`, and `undeclared`, one list whose records name no source; and once more with `plain
ids`, shuffled and numbered, for ids like `abt-1` and `buy-1` still hint at the sources. A second index with
`candidateThreshold` 0 lists every pair that was scored; the best threshold on these scores tells ranking apart from
calibration. The peers run on the same rows in the same process: cosine of TF-IDF over letters (`bench.tfidf`) with
its best threshold, the same between mutual neighbours, and Splink (`bench.splink`).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import datasets, measures
from bench.datasets import DataSet
from bench.figures import tell
from bench.splink import VERDICT, run_splink
from bench.tfidf import cosines
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.demo.persons import Pair, ordered
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

PAGE = 1000
LINK_MODES = ({"is_declared": True}, {"is_declared": False}, {"is_declared": False, "has_plain_ids": True})
PROTOCOL = "end-to-end"
F1, BEST, MUTUAL = "towpath: f1", "towpath: best f1", "towpath: best f1, mutual best"
FALSE, FALSE_ON_LISTS = "towpath: false pairs a thousand", "towpath: false pairs a thousand, lists without duplicates"
FALSE_DIFFERENT = f"{FALSE_ON_LISTS}, records that differ"
SURE_RIGHT = "towpath: right of the pairs from 0.9 on"
KINDS_SAME, KINDS_DIFFERENT = "towpath: kinds of duplicates found", "towpath: kinds of different records kept apart"
TFIDF_BEST, TFIDF_MUTUAL, SPLINK = "tfidf: best f1", "tfidf: best f1, mutual best", "splink: f1"
SETS: dict[str, Callable[[], DataSet]] = {**datasets.REAL, **datasets.PACKAGED, **datasets.LISTS}


@dataclass
class Listing:
    """Pairs that an index lists: the similarity of each, and those that are called duplicates."""

    scores: dict[Pair, float] = field(default_factory=dict)
    duplicates: set[Pair] = field(default_factory=set)


@dataclass
class Board:
    """Figures of the whole run, by what is known of the sources, for means and the worst."""

    figures: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    def note(self, knowledge: str, figure: str, data: str, value: float | None) -> None:
        """Remember a figure of a data set; None is none."""
        if value is not None:
            self.figures.setdefault((knowledge, figure), {})[data] = value

    def tfidf_told(self, data: str) -> float | None:
        """Return what TF-IDF reached on a data set when it compared across sources only."""
        return self.figures.get(("declared", TFIDF_BEST), {}).get(data)

    def tell(self) -> None:
        """Print mean and worst of each figure, and where the ranking is behind that of TF-IDF."""
        for (knowledge, figure), values in sorted(self.figures.items()):
            is_high_good = figure not in {FALSE, FALSE_ON_LISTS, FALSE_DIFFERENT}
            tell("mean", protocol=PROTOCOL, knowledge=knowledge, of=figure,
                 **measures.mean_and_worst(values, is_high_good=is_high_good))  # fmt: skip
        for knowledge in ("declared", "undeclared", "undeclared, plain ids"):
            ours, theirs = (self.figures.get((knowledge, name), {}) for name in (BEST, TFIDF_BEST))
            behind = {name: measures.ratio(value, theirs[name]) for name, value in ours.items() if value < theirs[name]}
            tell("ranking behind TF-IDF", protocol=PROTOCOL, knowledge=knowledge, sets=len(ours), behind=behind)


def load(names: Collection[str]) -> Iterator[DataSet]:
    """Yield the requested data sets, all when none is named; say which are not here."""
    for name in names or SETS:
        try:
            yield SETS[name]()
        except (FileNotFoundError, ImportError) as error:
            tell("skipped", data=name, why=str(error))


def match(towpath: Towpath, data: DataSet, index: str, *, is_declared: bool, **options: Any) -> Listing:
    """Send a data set as one batch to an index of its own, list the pairs, and drop the index.

    Args:
        towpath: Where.
        data: What.
        index: The index's name.
        is_declared: Say which source each record is from and that these are clean; else the records do not even say it.
        options: More of the index's configuration.
    """
    body = data.config(is_declared).model_dump(mode="json", by_alias=True, exclude_none=True)
    towpath.call("POST", "/v1/indexes", json=body | {"indexName": index} | options)
    rows = data.rows
    if not is_declared:
        rows = [{name: value for name, value in row.items() if name != "source"} for row in rows]
    job_id = towpath.submit(rows, index)
    for event in towpath.events(job_id):
        if event.type in {"job.failed", "job.cancelled"}:
            raise RuntimeError(str(event.data))
    listing = Listing()
    for pair in _pairs(towpath, index):
        between = ordered(pair["entityId"], pair["duplicateId"])
        listing.scores[between] = pair["similarity"]
        if pair["duplicate"]:
            listing.duplicates.add(between)
    towpath.call("DELETE", f"/v1/indexes/{index}")
    return listing


def _pairs(towpath: Towpath, index: str) -> Iterator[dict[str, Any]]:
    offset = 0
    # Without an explanation the similarity is rounded, and whatever is nearly certain looks equal.
    query = {"indexName": index, "explain": True, "limit": PAGE}
    while True:
        page = towpath.call("GET", "/v1/duplicates", params=query | {"offset": offset})["duplicates"]
        yield from page
        offset += len(page)
        if len(page) < PAGE:
            return


def measure(
    towpath: Towpath, data: DataSet, board: Board, *, is_declared: bool, with_splink: bool, has_plain_ids: bool = False
) -> None:
    """Print the figures of one data set with one state of knowledge."""
    knowledge = "declared" if is_declared else "undeclared, plain ids" if has_plain_ids else "undeclared"
    if has_plain_ids:
        data = datasets.renumbered(data)
    common = {"protocol": PROTOCOL, "data": data.name, "knowledge": knowledge}
    cosine = cosines(data, is_declared=is_declared) if data.pairs else {}
    peer = _tell_tfidf(cosine, data, board, common) if data.pairs else None
    index = f"{data.name}-{knowledge}".replace(", ", "-").replace(" ", "-")
    began = time.perf_counter()
    listing = match(towpath, data, index, is_declared=is_declared)
    verdicts = _verdicts(listing, data) | {"seconds": round(time.perf_counter() - began, 1)}
    if not data.pairs:
        board.note(knowledge, FALSE_ON_LISTS, data.name, verdicts["false_a_thousand"])
        # A person could not tell such records apart either; they are wrong all the same, and counted on both lines.
        equal = len((listing.duplicates - data.undecided) & measures.equal_records(data))
        different = round(1000 * (verdicts["false"] - equal) / len(data.rows), 2)
        board.note(knowledge, FALSE_DIFFERENT, data.name, different)
        tell(
            "list without duplicates", **common, method="towpath", entities=len(data.rows), **verdicts,
            false_between_equal=equal, false_between_different_a_thousand=different,
        )  # fmt: skip
    else:
        ranked = match(towpath, data, f"{index}-all", is_declared=is_declared, candidateThreshold=0)
        result = measures.quality(listing.duplicates, data)
        ratios = {"f1_of_tfidf_best": measures.ratio(result.f1, peer)}
        if data.linked and not is_declared:
            # Who compares across sources knows more than we are told here.
            ratios["f1_of_tfidf_best_told_the_sources"] = measures.ratio(result.f1, board.tfidf_told(data.name))
        if data.is_cross_only and not is_declared:
            across = measures.across_sources(listing.duplicates, data)
            ratios["f1_across_sources"] = round(measures.quality(across, data).f1, 4)
        ranking = _ranking(ranked.scores, data, board, knowledge)
        ratios["best_f1_of_tfidf_best"] = measures.ratio(ranking["best_f1"], peer)
        tell("f1", **common, method="towpath", **result.figures(), **ranking, **ratios, **verdicts)
        board.note(knowledge, F1, data.name, result.f1)
        board.note(knowledge, FALSE, data.name, verdicts["false_a_thousand"])
        board.note(knowledge, SURE_RIGHT, data.name, verdicts["sure_right"])
    if data.named:
        kinds = measures.named_verdicts(listing.duplicates, ranked.scores, data.named)
        tell("kinds", **common, method="towpath", **kinds)
        board.note(knowledge, KINDS_SAME, data.name, measures.ratio(kinds["duplicates_right"], kinds["duplicates"]))
        board.note(knowledge, KINDS_DIFFERENT, data.name, measures.ratio(kinds["different_right"], kinds["different"]))
        line = measures.best_threshold(cosine, data).threshold
        called = {pair for pair, score in cosine.items() if score >= line}
        tell("kinds", **common, method="tfidf, best threshold", **measures.named_verdicts(called, cosine, data.named))
    if with_splink:
        _tell_splink(data, board, common, is_declared=is_declared)


def _verdicts(listing: Listing, data: DataSet) -> dict[str, Any]:
    result = measures.quality(listing.duplicates, data)
    return {
        "called": result.hits + result.wrong,
        "false": result.wrong,
        "false_a_thousand": measures.false_a_thousand(result, data),
        **measures.calibration(listing.scores, data).figures(),
    }


def _ranking(scores: dict[Pair, float], data: DataSet, board: Board, knowledge: str) -> dict[str, float]:
    best = measures.best_threshold(scores, data)
    mutual = measures.best_threshold(measures.mutual_best(scores), data)
    board.note(knowledge, BEST, data.name, best.f1)
    board.note(knowledge, MUTUAL, data.name, mutual.f1)
    return {
        "best_f1": round(best.f1, 4),
        "best_threshold": round(best.threshold, 6),
        "mutual_best_f1": round(mutual.f1, 4),
        "listed_recall": round(measures.quality(scores, data).recall, 4),
    }


def _tell_tfidf(scores: dict[Pair, float], data: DataSet, board: Board, common: dict[str, str]) -> float:
    best = measures.best_threshold(scores, data)
    mutual = measures.best_threshold(measures.mutual_best(scores), data)
    for method, figure, peer in (
        ("tfidf, best threshold", TFIDF_BEST, best),
        ("tfidf, mutual best, best threshold", TFIDF_MUTUAL, mutual),
    ):
        tell("f1", **common, method=method, best_f1=round(peer.f1, 4), best_threshold=round(peer.threshold, 4))
        board.note(common["knowledge"], figure, data.name, peer.f1)
    return best.f1


def _tell_splink(data: DataSet, board: Board, common: dict[str, str], *, is_declared: bool) -> None:
    method = f"splink at {VERDICT}"
    try:
        run = run_splink(data, is_declared=is_declared)
    except Exception as error:
        # A peer that cannot be trained on a data set is a finding, not the end of the run.
        tell("f1", **common, method=method, failed=str(error).splitlines()[0][:200])
        return
    result = measures.quality(run.duplicates, data)
    more = {"failed_passes": run.failed_passes, "seconds": round(run.seconds, 1)}
    false = measures.false_a_thousand(result, data)
    if not data.pairs:
        tell("list without duplicates", **common, method=method, false=result.wrong, false_a_thousand=false, **more)
        return
    best = measures.best_threshold(run.scores, data)
    board.note(common["knowledge"], SPLINK, data.name, result.f1)
    tell(
        "f1", **common, method=method, **result.figures(), best_f1=round(best.f1, 4), false_a_thousand=false,
        **measures.calibration(run.scores, data).figures(), **more,
    )  # fmt: skip


async def run(names: Collection[str], *, with_splink: bool) -> bool:
    """Measure every data set with every method, then print means and the worst.

    Returns:
        Whether all could be measured.
    """
    board = Board()
    is_whole = True
    tell(
        "skipped", protocol="published pair splits",
        why="none of the data sets here comes with the literature's candidate pairs and test split",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", port=0, ui_port=0, workers=2)
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)
            for data in load(names):
                for options in LINK_MODES if data.linked else ({"is_declared": False},):
                    try:
                        await asyncio.to_thread(measure, towpath, data, board, with_splink=with_splink, **options)
                    except RuntimeError as error:
                        # The other sets are still worth measuring; the exit status tells.
                        is_whole = False
                        tell("failed", data=data.name, **options, why=str(error)[:500])
    board.tell()
    return is_whole


def main() -> None:
    """Entry of `python -m bench.f1`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", dest="names", action="append", choices=list(SETS), metavar="NAME", help="a data set")
    parser.add_argument("--no-splink", action="store_true", help="leave Splink out")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.exit(0 if asyncio.run(run(arguments.names or [], with_splink=not arguments.no_splink)) else 1)


if __name__ == "__main__":
    main()
