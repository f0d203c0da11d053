"""F1 on every data set with ground truth, through the public API with default settings, beside Splink.

    python -m bench.f1

One protocol for all: an index made from field names and types only; one batch; the pairs that
`GET /v1/duplicates?duplicatesOnly=true` answers; precision, recall and F1 against the true pairs. Linking sets
are measured with `cleanSources` and without. Splink runs in the same process on the same rows with one generic
set-up, its verdict at a probability of 0.9.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import datasets
from bench.figures import tell
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.demo.persons import Score, ordered, score
from towpath.entities.types import FieldType
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

SPLINK_THRESHOLD = 0.9
SPLINK_MAX_TEXT = 200


def all_sets() -> Iterator[datasets.DataSet]:
    """Return the real data sets that exist here; print which do not."""
    makers = [datasets.abt_buy, datasets.abt_buy_half, datasets.dblp_acm, datasets.cora]
    for maker in makers:
        try:
            yield maker()
        except FileNotFoundError as error:
            print(json.dumps({"skipped": maker.__name__, "why": str(error)}), flush=True)
    for number in (3, 4):
        yield datasets.febrl(number)


def towpath_score(towpath: Towpath, data: datasets.DataSet, *, clean: bool) -> Score:
    """Run a batch through the API and score its pairs."""
    config = data.config(clean)
    name = f"{data.name}-{'clean' if clean else 'dirty'}".lower().replace(" ", "-")
    body = config.model_dump(mode="json", by_alias=True, exclude_none=True) | {"indexName": name}
    towpath.call("POST", "/v1/indexes", json=body)
    job_id = towpath.submit(data.rows, name)
    for event in towpath.events(job_id):
        if event.type in {"job.failed", "job.cancelled"}:
            raise RuntimeError(str(event.data))
    pairs = {ordered(pair["entityId"], pair["duplicateId"]) for pair in towpath.pairs(name)}
    return score(pairs, frozenset(ordered(*pair) for pair in data.pairs))


def splink_score(data: datasets.DataSet) -> Score:
    """Splink with the same knowledge: names and types of fields, no labels, no tuning."""
    import pandas as pd
    import splink.comparison_library as cl
    from splink import Linker, SettingsCreator, block_on
    from splink.internals.duckdb.database_api import DuckDBAPI

    fields = data.config(clean=False).fields
    frame = pd.DataFrame(
        [
            {"unique_id": row["id"], "source_dataset": row.get("source", "")}
            | {field.name: _splink_value(row.get(field.name)) for field in fields}
            for row in data.rows
        ]
    )
    comparisons: list[Any] = [
        cl.ExactMatch(field.name) if field.type in {FieldType.NUMBER, FieldType.DATE}
        else cl.JaroWinklerAtThresholds(field.name, [0.95, 0.88, 0.7])
        for field in fields
    ]  # fmt: skip
    firsts = [f"substr({field.name}, 1, 5)" for field in fields]
    rules: list[Any] = [block_on(first) for first in firsts]
    api = DuckDBAPI()
    if data.linked:
        halves = [half.drop(columns="source_dataset") for _, half in frame.groupby("source_dataset")]
        inputs: Any = [api.register(half) for half in halves]
    else:
        inputs = api.register(frame.drop(columns="source_dataset"))
    settings = SettingsCreator(
        link_type="link_only" if data.linked else "dedupe_only",
        comparisons=comparisons,
        blocking_rules_to_generate_predictions=rules,
    )
    linker = Linker(inputs, settings, log_level=50)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
    for rule in rules[:3]:
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    answer: Any = linker.inference.predict(threshold_match_probability=SPLINK_THRESHOLD)
    table = answer.as_pandas_dataframe()
    pairs = zip(table["unique_id_l"], table["unique_id_r"], strict=True)
    predicted = {ordered(str(left), str(right)) for left, right in pairs}
    return score(predicted, frozenset(ordered(*pair) for pair in data.pairs))


def _splink_value(value: object) -> str | None:
    text = str(value).strip().lower()[:SPLINK_MAX_TEXT] if value is not None else ""
    return text or None


def _tell(data: datasets.DataSet, who: str, result: Score, seconds: float) -> None:
    tell(
        "f1", data=data.name, method=who, precision=round(result.precision, 4), recall=round(result.recall, 4),
        f1=round(result.f1, 4), seconds=round(seconds, 1),
    )  # fmt: skip


async def run() -> None:
    """Every data set, every method."""
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", port=0, ui_port=0, workers=2)
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)
            for data in all_sets():
                for clean in (True, False) if data.linked else (False,):
                    began = time.perf_counter()
                    result = await asyncio.to_thread(towpath_score, towpath, data, clean=clean)
                    method = "towpath, clean sources" if clean else "towpath"
                    _tell(data, method, result, time.perf_counter() - began)
                began = time.perf_counter()
                try:
                    result = await asyncio.to_thread(splink_score, data)
                except Exception as error:
                    # A peer that cannot be trained on a data set is a finding, not the end of the run.
                    tell("f1", data=data.name, method="splink", failed=str(error).splitlines()[0][:200])
                    continue
                _tell(data, "splink at 0.9", result, time.perf_counter() - began)


def main() -> None:
    """Entry of `python -m bench.f1`."""
    warnings.simplefilter("ignore")
    asyncio.run(run())


if __name__ == "__main__":
    main()
