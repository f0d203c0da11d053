"""Quality and speed of matching alone: data sets with known duplicates through `domain.matching`, in one process.

One protocol for all sets, with default settings: an index made from field names (`datasets.field_type`), entities
prepared, candidates, a model trained on them, scores, verdicts, groups and the pairs that close them. One JSON line
for each set on standard output. Run it from the repository:

    python -m bench.matching                       # every set
    python -m bench.matching cora abt-buy          # some
    python -m bench.matching --size 100000         # persons from a seed, for speed and scale
    python -m bench.matching --tune abt-buy        # with 200 labels
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import datasets, invented, measures
from towpath.demo.persons import ordered
from towpath.entities.domain import matching as m
from towpath.entities.types import IndexConfig

CHUNK = 4_000
TRAINING_QUERIES = 20_000
Int64s = npt.NDArray[np.int64]


@dataclass
class Run:
    """One data set on its way through matching; `seconds` of processor time by stage: rates are for one core."""

    data: datasets.DataSet
    config: IndexConfig
    seconds: dict[str, float] = field(default_factory=dict)

    def prepare(self) -> None:
        """Normalise, make keys, number the entities."""
        started = time.process_time()
        self.prepared = [m.prepare(row, self.config) for row in self.data.rows]
        self.seconds["prepare"] = time.process_time() - started
        self.values = [entity.values for entity in self.prepared]
        self.uids = np.array([m.entity_uid(row["id"]) for row in self.data.rows], dtype=np.int64)
        self._number_sources([entity.source for entity in self.prepared])
        self.order = np.argsort(self.uids)

    def split_by(self, inferred: m.InferredStructure) -> None:
        """Take for sources what training has found them to be."""
        rows = zip(self.prepared, self.data.rows, strict=True)
        self._number_sources(
            [inferred.name_source(entity.source, str(row["id"]), None, entity.values) for entity, row in rows]
        )

    def _number_sources(self, sources: list[str | None]) -> None:
        self.source_names = sorted({source for source in sources if source is not None})
        number = {source: at for at, source in enumerate(self.source_names)}
        self.sources = np.array([number.get(source or "", -1) for source in sources], dtype=np.int32)

    def candidates(self) -> None:
        """Build the index and ask it for every entity, chunk by chunk."""
        keys = m.Csr.of([entity.keys for entity in self.prepared])
        posted = np.repeat(self.uids, np.diff(keys.starts))
        started = time.process_time()
        clean = self.config.clean_sources
        sources = (self.uids[self.order], self.sources[self.order]) if clean else None
        index = m.CandidateIndex.build(keys.keys, posted, len(self.uids), sources)
        self.seconds["index"] = time.process_time() - started
        self.index_bytes = index.nbytes
        started = time.process_time()
        rows: list[Int64s] = []
        blocks: list[Int64s] = []
        for start in range(0, len(self.uids), CHUNK):
            part = slice(start, start + CHUNK)
            queries = [entity.keys for entity in self.prepared[part]]
            top = index.top(self.uids[part], queries, self.sources[part] if clean else None)
            rows.append(top.rows + start)
            blocks.append(self.positions(top.uids))
        self.seconds["candidates"] = time.process_time() - started
        self.query, self.candidate = np.concatenate(rows), np.concatenate(blocks)

    def positions(self, uids: Int64s) -> Int64s:
        """Row numbers of uids."""
        return self.order[np.searchsorted(self.uids[self.order], uids)].astype(np.int64)

    def train(self) -> None:
        """Learn from the candidates of some entities."""
        started = time.process_time()
        sample = self.order[np.linspace(0, len(self.order) - 1, min(TRAINING_QUERIES, len(self.order))).astype(int)]
        is_query = np.zeros(len(self.uids), dtype=bool)
        is_query[sample] = True
        pairs = is_query[self.query]
        left, right = self.query[pairs], self.candidate[pairs]
        positions = np.unique(np.concatenate([sample, right]))
        self.model = m.train(
            m.Sample(
                uids=self.uids[positions],
                values=[self.values[i] for i in positions.tolist()],
                left=self.uids[left],
                right=self.uids[right],
                sources=self.sources[positions] if self.source_names else None,
                source_names=self.source_names,
                ids=[str(self.data.rows[i]["id"]) for i in positions.tolist()],
            ),
            self.config,
        )
        self.seconds["train"] = time.process_time() - started

    def judge(self) -> None:
        """Score the candidates, keep the likely ones, reach verdicts, close groups."""
        started = time.process_time()
        low, high = np.minimum(self.query, self.candidate), np.maximum(self.query, self.candidate)
        flat = np.unique(low * len(self.uids) + high)
        self.left, self.right = flat // len(self.uids), flat % len(self.uids)
        parts = []
        for start in range(0, len(flat), 12 * CHUNK):
            part = slice(start, start + 12 * CHUNK)
            left, right = self.left[part].tolist(), self.right[part].tolist()
            scores = m.score_pairs(self.model, [self.values[i] for i in left], [self.values[i] for i in right])
            parts.append(scores.similarity)
        self.similarity = np.concatenate(parts) if parts else np.empty(0)
        self.seconds["score"] = time.process_time() - started
        started = time.process_time()
        self.verdicts()
        self.seconds["resolve"] = time.process_time() - started

    def verdicts(self) -> None:
        """Decide from scores which pairs are duplicates, as row numbers in `self.duplicates`."""
        is_candidate = self.similarity >= self.config.candidate_threshold
        left, right = self.left[is_candidate], self.right[is_candidate]
        pairs = m.Pairs(self.uids[left], self.uids[right], self.similarity[is_candidate])
        clean = self.config.clean_sources
        sides = (self.sources[left], self.sources[right]) if clean else None
        is_duplicate = m.resolve(pairs, self.config, self.model, sides)
        if not clean:
            grouped = m.cluster(pairs, is_duplicate)
            label = dict(zip(grouped.uids.tolist(), grouped.labels.tolist(), strict=True))
            together = [
                label[first] == label[second]
                for first, second in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
            ]
            is_duplicate &= np.array(together, dtype=bool)
        self.duplicates = np.stack([left[is_duplicate], right[is_duplicate]], axis=1)
        if not clean:
            closing = m.find_closing_pairs(grouped, pairs, is_duplicate)
            first, second = self.positions(closing[0]), self.positions(closing[1])
            scores = m.score_pool(self.model, self.values, first, second, group_prior=True)
            passed = scores.similarity >= self.config.duplicate_threshold
            passed &= ~m.is_clear_conflict(self.model, scores.contributions)
            self.duplicates = np.concatenate([self.duplicates, np.stack([first[passed], second[passed]], axis=1)])

    def figures(self) -> dict[str, Any]:
        """Return the results against the truth."""
        row = {entity["id"]: number for number, entity in enumerate(self.data.rows)}
        truth = {tuple(sorted((row[a], row[b]))) for a, b in self.data.pairs}
        candidates = set(zip(self.left.tolist(), self.right.tolist(), strict=True))
        duplicates = {tuple(sorted(pair)) for pair in self.duplicates.tolist()}
        keys = [len(entity.keys) for entity in self.prepared]
        stages = {name: round(len(row) / max(spent, 1e-9)) for name, spent in self.seconds.items()}
        matching = sum(self.seconds[stage] for stage in ("prepare", "candidates", "score"))
        return {
            "data": self.data.name + ("+clean" if self.config.clean_sources else ""),
            "entities": len(row),
            "truePairs": len(truth),
            f"recallAt{m.TOP_K}": _ratio(len(truth & candidates), len(truth)),
            **_quality(len(truth & duplicates), len(duplicates), len(truth)),
            "saidPairs": len(duplicates),
            **self.ranking(),
            "keysMean": round(float(np.mean(keys)), 1),
            "keysMax": max(keys),
            "entitiesPerCoreSecond": stages | {"prepare+candidates+score": round(len(row) / matching)},
            "priorBits": self.model.prior_bits,
            "modelBytes": len(self.model.model_dump_json()),
            "indexMB": round(self.index_bytes / 2**20, 1),
            "peakMB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }

    def ranking(self) -> dict[str, Any]:
        """Return what `bench.f1` computes from scores and verdicts: the best threshold, calibration, kinds."""
        ids = [row["id"] for row in self.data.rows]
        pairs = zip(self.left.tolist(), self.right.tolist(), self.similarity.tolist(), strict=True)
        scores = {ordered(ids[left], ids[right]): similarity for left, right, similarity in pairs}
        called = {ordered(ids[left], ids[right]) for left, right in self.duplicates.tolist()}
        equal = measures.equal_records(self.data)
        figures: dict[str, Any] = {
            "bestF1": round(measures.best_threshold(scores, self.data).f1, 4),
            "falseAThousand": measures.false_a_thousand(measures.quality(called, self.data), self.data),
            "falseAThousandUnequal": measures.false_a_thousand(measures.quality(called - equal, self.data), self.data),
            "sureRight": measures.calibration(scores, self.data).right,
        }
        if self.data.named:
            figures["kinds"] = measures.named_verdicts(called, scores, self.data.named)
        return figures


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _quality(hits: int, predicted: int, true: int) -> dict[str, float | None]:
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, true),
        "f1": _ratio(2 * hits, predicted + true),
    }


def matched(data: datasets.DataSet, clean: bool) -> Run:
    """Take one data set through every stage; an entity without any value is refused by the API and left out here."""
    names = [field.name for field in data.fields]
    has_value = [any(row.get(name) not in (None, "") for name in names) for row in data.rows]
    data = replace(data, rows=list(compress(data.rows, has_value)))
    if not clean:
        data = replace(
            data, rows=[{name: value for name, value in row.items() if name != "source"} for row in data.rows]
        )
    run = Run(data, data.config(clean))
    run.prepare()
    run.candidates()
    run.train()
    if (inferred := run.model.inferred) is not None:
        # Candidates across sources alone are others than those that have shown the structure.
        run.split_by(inferred)
        run.config = run.config.model_copy(update={"clean_sources": True})
        run.candidates()
        run.train()
        run.model = run.model.model_copy(update={"inferred": inferred})
    run.judge()
    return run


def tuned(data: datasets.DataSet, labels: int = 200, seed: int = 1) -> dict[str, Any]:
    """Quality with labels: a person is shown pairs around the line, half of them likely and half unlikely."""
    run = matched(data, data.linked)
    before = run.figures()
    row = {entity["id"]: number for number, entity in enumerate(data.rows)}
    truth = {tuple(sorted((row[a], row[b]))) for a, b in data.pairs}
    best = np.zeros(len(run.uids))
    np.maximum.at(best, run.left, run.similarity)
    np.maximum.at(best, run.right, run.similarity)
    top = np.flatnonzero(run.similarity >= np.maximum(best[run.left], best[run.right]))
    rng = random.Random(seed)
    sample = rng.sample(top.tolist(), min(labels // 2, len(top)))
    likely = np.flatnonzero((run.similarity > 0.1) & (run.similarity < 0.999))
    sample += rng.sample(sorted(set(likely.tolist()) - set(sample)), min(labels - len(sample), len(likely)))
    pairs = [
        m.LabelledPair(
            run.values[run.left[i]], run.values[run.right[i]], (int(run.left[i]), int(run.right[i])) in truth
        )
        for i in sample
    ]
    run.model, report = m.tune(run.model, pairs, run.config)
    run.judge()
    # The labelled pairs are left out of the quality that is reported.
    labelled = {(int(run.left[i]), int(run.right[i])) for i in sample}
    duplicates = {pair for pair in (tuple(sorted(p)) for p in run.duplicates.tolist()) if pair not in labelled}
    rest = truth - labelled
    return {
        "data": f"{data.name} with {len(pairs)} labels",
        "before": before["f1"],
        **_quality(len(duplicates & rest), len(duplicates), len(rest)),
        "report": report.model_dump(),
    }


def main() -> None:
    """Run what the command line names, everything by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="data sets; all when none is named")
    parser.add_argument("--size", type=int, help="persons from a seed, that many")
    parser.add_argument("--tune", action="store_true", help="improve each named set with 200 labels")
    options = parser.parse_args()
    if options.size:
        _say(matched(invented.persons(options.size), False).figures())
        return
    data_sets = {**datasets.REAL, **datasets.PACKAGED, **datasets.LISTS, **invented.INVENTED}
    for name in options.names or data_sets:
        try:
            data = data_sets[name]()
        except (FileNotFoundError, ImportError) as missing:
            _say({"data": name, "skipped": f"not here: {missing}"})
            continue
        if options.tune:
            _say(tuned(data))
            continue
        for clean in (True, False) if data.linked and data.pairs else (False,):
            _say(matched(data, clean).figures())


def _say(figures: dict[str, Any]) -> None:
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
