"""What a quality report estimates and advises, from counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from towpath.entities.domain.advice import Facts, give_advice
from towpath.entities.domain.matching.quality import BIN_EDGES, Strata, bin_of, estimate_precision, examine_fields
from towpath.entities.quality_types import (
    AdviceCode,
    FieldEvidence,
    FieldQuality,
    GreyZone,
    GroupSummary,
    LabelPrecision,
    LargeGroup,
    PairCounts,
    PrecisionView,
    QualityView,
)
from towpath.entities.types import InferredView


def strata(**by_name: dict[float, float]) -> Strata:
    """Counts by a similarity of each bin."""
    columns = {name: np.zeros(len(BIN_EDGES)) for name in Strata._fields}
    for name, counts in by_name.items():
        for similarity, count in counts.items():
            columns[name][bin_of(similarity)] = count
    return Strata(**columns)


def test_without_labels_the_estimate_is_the_mean_probability() -> None:
    assert estimate_precision(strata(verdicts={0.9: 10, 0.999: 90}, probability={0.9: 9.1, 0.999: 89.9})) == 0.99


def test_nothing_is_estimated_where_nothing_is_called_a_duplicate() -> None:
    assert estimate_precision(strata(labelled={0.9: 5}, right={0.9: 5})) is None


def test_labels_correct_the_bin_that_they_are_of_and_no_other() -> None:
    sure = {"verdicts": {0.9: 10.0, 0.9995: 990.0}, "probability": {0.9: 9.0, 0.9995: 990.0}}

    doubtful_are_wrong = estimate_precision(strata(**sure, labelled={0.9: 36}, right={0.9: 0}))
    certain_are_wrong = estimate_precision(strata(**sure, labelled={0.9995: 36}, right={0.9995: 0}))

    assert doubtful_are_wrong == pytest.approx((10 * 0.09 + 990) / 1000)
    assert certain_are_wrong == pytest.approx((9 + 990 * 0.1) / 1000)


def test_each_edge_begins_a_bin() -> None:
    assert [bin_of(edge) for edge in BIN_EDGES] == list(range(len(BIN_EDGES)))
    assert bin_of(1.0) == len(BIN_EDGES) - 1


def test_fields_that_cannot_tell_entities_apart_are_named() -> None:
    rows = [
        ("IE", "x" if n else "y", f"city {n % 4}", f"name {n}", None, None if n % 2 else f"code {n}") for n in range(40)
    ]

    facts = examine_fields(rows, 6)

    assert [fact.evidence for fact in facts] == [
        FieldEvidence.CONSTANT,
        FieldEvidence.NEAR_CONSTANT,
        FieldEvidence.FEW_VALUES,
        FieldEvidence.GOOD,
        FieldEvidence.EMPTY,
        FieldEvidence.GOOD,
    ]
    assert (facts[2].distinct, facts[2].top_share, facts[5].filled) == (4, 0.25, 0.5)


def test_two_equal_rows_are_no_constant_column() -> None:
    assert [fact.evidence for fact in examine_fields([("a", None), ("a", None)], 2)] == [FieldEvidence.GOOD] * 2


def report(**more: Any) -> QualityView:
    """A report of an index about which there is nothing to say."""
    return QualityView(
        index_name="people",
        measured_at=datetime(2026, 1, 1, tzinfo=UTC),
        entity_count=1000,
        model_version=1,
        trained_on=1000,
        **{
            "labels": 0,
            "precision": precision(0.99),
            "pairs": counts(),
            "groups": groups(2),
            "fields": [field(FieldEvidence.GOOD)],
            "advice": [],
            **more,
        },
    )


def precision(estimated: float | None) -> PrecisionView:
    """An estimate without labels."""
    return PrecisionView(
        estimated=estimated, by_model=estimated, by_labels=LabelPrecision(labelled=0, right=0, precision=None)
    )


def counts(near: int = 0) -> PairCounts:
    """Pairs, some of them near the threshold."""
    zone = GreyZone(lower=0.7, upper=0.85, pairs=near, near_threshold=near)
    return PairCounts(listed=100, duplicates=80, grey_zone=zone, sampled_share=1.0)


def groups(size: int) -> GroupSummary:
    """Groups, the largest of this size."""
    largest = [LargeGroup(group_id="0" * 16, size=size, entity_ids=[7])]
    return GroupSummary(groups=1, entities=size, sizes=[], largest=largest, sampled_share=1.0)


def field(evidence: FieldEvidence) -> FieldQuality:
    """A field of this evidence."""
    return FieldQuality(field="country", evidence=evidence, filled=1.0, distinct_values=1, top_share=1.0)


QUIET = Facts(
    has_undeclared_sources=False,
    source_field=None,
    trained_entities=1000,
    across_sources=0,
    within_sources=0,
    contradicted=0,
    label_kinds=0,
)


def advised(view: QualityView, **facts: Any) -> list[AdviceCode]:
    """The codes of what is advised."""
    given = Facts(**{name: getattr(QUIET, name) for name in Facts.__slots__} | facts)
    return [one.code for one in give_advice(view, given)]


def test_where_all_is_well_there_is_no_advice() -> None:
    assert advised(report()) == []


@pytest.mark.parametrize(
    ("view", "facts", "code"),
    [
        (report(pairs=counts(40)), {}, AdviceCode.LABEL_PAIRS),
        (report(groups=groups(20)), {}, AdviceCode.LARGE_GROUP),
        (report(fields=[field(FieldEvidence.CONSTANT)]), {}, AdviceCode.FIELD_WITHOUT_EVIDENCE),
        (report(labels=40), {"contradicted": 3, "label_kinds": 2}, AdviceCode.TUNE),
        (report(labels=40, precision=precision(0.6)), {}, AdviceCode.LOW_PRECISION),
        (report(), {"trained_entities": 400}, AdviceCode.NOT_TRAINED),
        (
            report(),
            {"has_undeclared_sources": True, "source_field": "shop", "across_sources": 50, "within_sources": 2},
            AdviceCode.DECLARE_CLEAN_SOURCES,
        ),
        (
            report(inferred=InferredView(clean_sources=["abt"], confidence=0.9)),
            {"has_undeclared_sources": True, "source_field": "shop"},
            AdviceCode.REVIEW_INFERRED_SOURCES,
        ),
    ],
)
def test_each_finding_has_its_advice(view: QualityView, facts: dict[str, Any], code: AdviceCode) -> None:
    assert advised(view, **facts) == [code]


@pytest.mark.parametrize(
    ("view", "facts"),
    [
        (report(), {"has_undeclared_sources": True, "source_field": "shop", "across_sources": 50, "within_sources": 9}),
        (report(), {"has_undeclared_sources": True, "source_field": "shop", "across_sources": 19}),
        (report(labels=5), {"contradicted": 3, "label_kinds": 2}),
        (report(labels=40), {"contradicted": 3, "label_kinds": 1}),
        (report(groups=groups(19)), {}),
        (report(labels=20, pairs=counts(40)), {}),
    ],
)
def test_what_is_not_clear_is_not_advised(view: QualityView, facts: dict[str, Any]) -> None:
    assert advised(view, **facts) == []
