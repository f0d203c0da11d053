"""Splink 5 with one generic set-up for all data: what one gets who knows names and types of fields and no more.

No labels, no tuning, no rule for a data set: Jaro-Winkler levels for strings and texts, equality for numbers and
dates, pairs that agree in the first five letters of any field.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bench.datasets import DataSet
from bench.figures import tell
from towpath.demo.client import Towpath
from towpath.demo.persons import Pair, ordered
from towpath.entities.types import FieldType, IndexField

VERDICT = 0.9
"""Probability from which a pair counts as a duplicate."""
MAX_TEXT = 200
START = 5
"""Letters of a value by which records become candidates."""
TRAINING_PASSES = 3
MAX_PAIRS_A_RECORD = 20
"""Candidates that one rule may bring for each record of a large list."""


@dataclass(frozen=True)
class SplinkRun:
    """What Splink answered.

    Attributes:
        scores: Probabilities of the pairs at or above the lowest that was requested.
        seconds: From the records as a table to the pairs as a table.
        failed_passes: Training passes that broke off; the parameters of their fields keep the defaults.
        rules: By what candidates were found.
    """

    scores: dict[Pair, float]
    seconds: float
    failed_passes: int
    rules: list[str]

    @property
    def duplicates(self) -> set[Pair]:
        """Pairs at `VERDICT` or above."""
        return {pair for pair, score in self.scores.items() if score >= VERDICT}


def run_splink(data: DataSet, *, is_declared: bool, lowest: float = 0.01, max_pairs: float | None = None) -> SplinkRun:
    """Train and predict.

    Args:
        data: The records.
        is_declared: Link across sources only.
        lowest: Probability below which no pair is listed.
        max_pairs: Most candidates that one rule may bring; fields above it are joined. For
            large data, on which the small ones' rules would compare everybody with everybody in a state.
    """
    import pandas as pd
    import splink.comparison_library as cl
    from splink import Linker, SettingsCreator, block_on
    from splink.internals.duckdb.database_api import DuckDBAPI

    fields = data.fields
    table = pd.DataFrame(
        [
            {"unique_id": row["id"], "source_dataset": row.get("source", "")}
            | {field.name: _value(row.get(field.name)) for field in fields}
            for row in data.rows
        ]
    )
    comparisons: list[Any] = [
        cl.ExactMatch(field.name) if field.type in {FieldType.NUMBER, FieldType.DATE}
        else cl.JaroWinklerAtThresholds(field.name, [0.95, 0.88, 0.7])
        for field in fields
    ]  # fmt: skip
    blocks = blocking_rules(table, fields, max_pairs)
    began = time.perf_counter()
    rules: list[Any] = [block_on(*block) for block in blocks]
    api = DuckDBAPI()
    is_linked = is_declared and data.linked
    if is_linked:
        halves = [half.drop(columns="source_dataset") for _, half in table.groupby("source_dataset")]
        inputs: Any = [api.register(half) for half in halves]
    else:
        inputs = api.register(table.drop(columns="source_dataset"))
    settings = SettingsCreator(
        link_type="link_only" if is_linked else "dedupe_only",
        comparisons=comparisons,
        blocking_rules_to_generate_predictions=rules,
    )
    linker = Linker(inputs, settings, log_level=50)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
    failed = 0
    for rule in rules[:TRAINING_PASSES]:
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(rule)
        except Exception:
            # A pass that cannot be trained on this data is left out, as a user would; the line counts it.
            failed += 1
    answer: Any = linker.inference.predict(threshold_match_probability=lowest)
    pairs = answer.as_pandas_dataframe()
    seconds = time.perf_counter() - began
    columns = (pairs["unique_id_l"], pairs["unique_id_r"], pairs["match_probability"])
    scores = {ordered(str(left), str(right)): float(score) for left, right, score in zip(*columns, strict=True)}
    return SplinkRun(scores, seconds, failed, [" and ".join(block) for block in blocks])


def blocking_rules(table: Any, fields: list[IndexField], max_pairs: float | None) -> list[list[str]]:
    """Return by what records become candidates: the first letters of a field; if too common, its whole value.

    Args:
        table: A frame with a column for each field.
        fields: The fields.
        max_pairs: Most pairs that a rule may bring; fields beyond it are joined with each other. None: no limit.
    """
    rules: list[list[str]] = []
    common: list[str] = []
    for field in fields:
        if rule := _rule(table, [field.name], max_pairs):
            rules.append(rule)
            continue
        common.append(field.name)
        if rule := _rule(table, common, max_pairs):
            rules.append(rule)
            common = []
    return rules


def _rule(table: Any, names: list[str], max_pairs: float | None) -> list[str] | None:
    if max_pairs is None or _pairs_within(table, names, START) <= max_pairs:
        return [f"substr({name}, 1, {START})" for name in names]
    return names.copy() if _pairs_within(table, names, MAX_TEXT) <= max_pairs else None


def _pairs_within(table: Any, names: list[str], letters: int) -> float:
    known = table.dropna(subset=names)
    sizes = known.groupby([known[name].str.slice(0, letters) for name in names]).size().astype("float64")
    return float((sizes * (sizes - 1) / 2).sum())


def tell_beside(towpath: Towpath, index: str, people: list[dict[str, Any]], seconds: float) -> None:
    """Print how fast Splink matches the same records, beside a durable batch that also stores everything.

    Args:
        towpath: Where the batch ran.
        index: Into which index.
        people: The records.
        seconds: What the batch took, from the upload to the last verdict.
    """
    run = run_splink(
        DataSet("persons", people, set()),
        is_declared=False,
        lowest=VERDICT,
        max_pairs=MAX_PAIRS_A_RECORD * len(people),
    )
    query = {"indexName": index, "duplicatesOnly": True, "limit": 1}
    tell(
        "durable batch against splink", entities=len(people), splink_seconds=round(run.seconds, 2),
        splink_entities_a_second=round(len(people) / run.seconds), ratio=round(run.seconds / seconds, 3),
        duplicates=towpath.call("GET", "/v1/duplicates", params=query)["total"],
        splink_duplicates=len(run.duplicates), splink_rules=run.rules, splink_failed_passes=run.failed_passes,
    )  # fmt: skip


def _value(value: object) -> str | None:
    text = str(value).strip().lower()[:MAX_TEXT] if value is not None else ""
    return text or None
