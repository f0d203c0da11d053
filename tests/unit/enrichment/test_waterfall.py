"""Which model of a waterfall is asked for what, and whose value stands."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.enrichment.domain.estimate import estimate
from towpath.enrichment.domain.fusion import fuse
from towpath.enrichment.domain.known import find_known
from towpath.enrichment.domain.schema import read_content
from towpath.enrichment.domain.waterfall import find_open_fields, plan_rounds, settle_by_last
from towpath.enrichment.types import ModelStrategy, Plan, Strategy

FIRM = read_content(
    {
        "root": {
            "name": "Firm",
            "properties": {
                "name": {"type": "string", "identifying": True},
                "founded": {"type": "integer", "nullable": True},
                "slogan": {"type": "string", "nullable": True},
                "tags": {"type": "array", "items": {"type": "string"}},
                "seat": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "zip": {"type": "string", "nullable": True}},
                },
            },
        }
    }
)
ENTITY = {"name": "Orion"}
WHOLE: dict[str, Any] = {
    "name": "Orion", "founded": 1998, "slogan": "Light", "tags": ["a"], "seat": {"city": "Faro", "zip": "8000"},
}  # fmt: skip
PRICES = {"p::cheap": 1.0, "p::middle": 2.0, "p::dear": 9.0}


def test_models_are_taken_in_order_of_price_and_of_three_two_begin() -> None:
    assert plan_rounds(["p::dear", "p::cheap"], PRICES) == [["p::cheap"], ["p::dear"]]
    assert plan_rounds(list(PRICES)[::-1], PRICES) == [["p::cheap", "p::middle"], ["p::dear"]]
    assert plan_rounds(["p::x"], PRICES) == [["p::x"]]


@pytest.mark.parametrize(
    ("first", "second", "fields"),
    [
        (WHOLE, None, []),
        ({**WHOLE, "slogan": None}, None, ["slogan"]),
        ({**WHOLE, "seat": {"city": "Faro", "zip": None}}, None, ["seat"]),
        ({name: WHOLE[name] for name in ("name", "founded")}, None, ["slogan", "tags", "seat"]),
        (WHOLE, {**WHOLE, "founded": 2000}, ["founded"]),
        (WHOLE, {**WHOLE, "founded": None, "slogan": " LIGHT"}, []),
        (WHOLE, {**WHOLE, "tags": ["b"]}, []),
        (WHOLE, {**WHOLE, "seat": {"city": "Porto", "zip": None}}, ["seat"]),
    ],
)
def test_a_dearer_model_is_asked_for_what_is_null_or_disputed(
    first: dict[str, Any], second: dict[str, Any] | None, fields: list[str]
) -> None:
    results = {"p::cheap": first, **({"p::middle": second} if second else {})}
    assert find_open_fields(FIRM, results, find_known(FIRM, ENTITY)) == fields


def test_after_nothing_everything_is_open() -> None:
    assert find_open_fields(FIRM, {}, {}) == list(FIRM["root"]["properties"])


@pytest.mark.parametrize(
    ("values", "value", "models"),
    [
        ([1998, 2000, 2000], 2000, ["p::middle", "p::dear"]),
        ([1998, 2000, 1998], 1998, ["p::cheap", "p::dear"]),
        ([1998, 2000, 2007], 2007, ["p::dear"]),
        ([1998, 2000, None], 2000, ["p::middle"]),
    ],
)
def test_a_majority_decides_and_else_the_dearest_that_was_asked(
    values: list[int | None], value: int, models: list[str]
) -> None:
    results = {model: {"founded": value} for model, value in zip(PRICES, values, strict=True)}
    settled = settle_by_last(fuse(FIRM, results, PRICES), list(PRICES))
    assert settled.merged["founded"] == value
    source = next(source for source in settled.provenance if source.path == "founded")
    assert sorted(source.models) == sorted(models)
    assert source.rule == ("majority" if len(models) > 1 else "dearest model asked")


def test_an_estimate_does_not_count_on_the_dearer_models() -> None:
    plan = Plan(
        content=FIRM, models=list(PRICES), strategy=Strategy.SINGLE_PASS, model_strategy=ModelStrategy.WATERFALL
    )
    found = estimate(plan, [ENTITY], lambda model, inputs, outputs: PRICES[model] * (inputs + outputs) / 1e6)
    dear = next(row for row in found["by_model"] if row["model"] == "p::dear")
    assert dear["if_needed"] is True
    assert dear["cost_usd"]["low"] == 0 < dear["cost_usd"]["expected"] < dear["cost_usd"]["high"]
    assert not any("if_needed" in row for row in found["by_model"] if row is not dear)
    plan.model_strategy = ModelStrategy.PARALLEL
    everything = estimate(plan, [ENTITY], lambda model, inputs, outputs: PRICES[model] * (inputs + outputs) / 1e6)
    assert everything["cost_usd"]["high"] == found["cost_usd"]["high"]
    assert everything["cost_usd"]["expected"] > found["cost_usd"]["expected"]
