"""What to do about the quality of an index, in sentences that a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from towpath.entities.domain.matching.tuning import MIN_LABELS
from towpath.entities.quality_types import Advice, AdviceCode, FieldEvidence, QualityView

GOOD_PRECISION = 0.9
MIN_ACROSS_SOURCES = 20
WITHIN_SOURCES = 0.1
"""Sources look clean where less than this share of the duplicates lies within one."""
LARGE_GROUP = 20
GROWTH = 2
LABELS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Facts:
    """What the advice needs besides the report.

    Attributes:
        has_undeclared_sources: There is a source field, and nobody has said that sources are clean.
        source_field: Its name.
        trained_entities: Entities that were stored when the model was trained.
        across_sources: Sampled duplicates of two sources.
        within_sources: Sampled duplicates within one source.
        contradicted: Labels that say otherwise than the score.
        label_kinds: 2 if there are labels of both kinds.
        failed_settling: The job that was to settle the index and has failed, and why; None: the last has not.
    """

    has_undeclared_sources: bool
    source_field: str | None
    trained_entities: int
    across_sources: int
    within_sources: int
    contradicted: int
    label_kinds: int
    failed_settling: tuple[str, str] | None = None


def give_advice(report: QualityView, facts: Facts) -> list[Advice]:
    """Return what to do, the most useful first; nothing where all is well."""
    return [
        *_on_upkeep(facts),
        *_on_sources(report, facts),
        *_on_labels(report, facts),
        *_on_groups(report),
        *_on_fields(report),
    ]


def _on_upkeep(facts: Facts) -> Iterator[Advice]:
    if facts.failed_settling is None:
        return
    job, message = facts.failed_settling
    yield Advice(
        code=AdviceCode.SETTLING_FAILED,
        message=f"The index could not be settled after its last changes: {message or 'no reason is known'} "
        f"Until it is, groups are as single writes have left them. GET /v1/jobs/{job} tells more; it is tried again "
        "in an hour.",
    )


def _on_sources(report: QualityView, facts: Facts) -> Iterator[Advice]:
    if not facts.has_undeclared_sources:
        return
    field = facts.source_field
    declare = f"declare cleanSources for sourceField {field}"
    if report.inferred is not None and report.inferred.clean_sources:
        names = ", ".join(report.inferred.clean_sources[:5])
        yield Advice(
            code=AdviceCode.REVIEW_INFERRED_SOURCES,
            field=field,
            message=f"The index takes these sources to be free of duplicates: {names}. If they are, {declare}: "
            "then it stays so. If not, set inferSources to false.",
        )
    elif facts.across_sources >= MIN_ACROSS_SOURCES and facts.within_sources <= WITHIN_SOURCES * facts.across_sources:
        yield Advice(
            code=AdviceCode.DECLARE_CLEAN_SOURCES,
            field=field,
            message=f"Nearly all duplicates lie between sources, hardly any within one. If no source has duplicates "
            f"of its own, {declare}: verdicts get surer.",
        )


def _on_labels(report: QualityView, facts: Facts) -> Iterator[Advice]:
    if report.model_version == 0 and report.entity_count >= 2:
        yield Advice(
            code=AdviceCode.NOT_TRAINED,
            message="The index has not learnt from its own values yet; it does with a batch once it holds some 50 "
            "entities. Until then scores follow from the types of the fields alone.",
        )
    elif facts.trained_entities and report.entity_count >= GROWTH * facts.trained_entities:
        yield Advice(
            code=AdviceCode.NOT_TRAINED,
            message=f"The index was trained on {facts.trained_entities:,} entities and holds {report.entity_count:,}. "
            "The next batch trains it anew.",
        )
    estimated = report.precision.estimated
    if estimated is not None and estimated < GOOD_PRECISION:
        yield Advice(
            code=AdviceCode.LOW_PRECISION,
            message=f"About {estimated:.0%} of the pairs called duplicates are likely to be right. Raise "
            "duplicateThreshold, or label pairs and tune.",
        )
    suggestions = f"/v1/indexes/{report.index_name}/label-suggestions"
    can_tune = facts.label_kinds == 2 and report.labels >= MIN_LABELS
    if can_tune and facts.contradicted:
        yield Advice(
            code=AdviceCode.TUNE,
            message=f"{facts.contradicted:,} of {report.labels:,} labels contradict the score: "
            f"POST /v1/indexes/{report.index_name}/tune learns from them.",
        )
    grey = report.pairs.grey_zone
    doubtful = grey.near_threshold or grey.pairs
    if report.labels < LABELS_AT_ONCE and (doubtful or (estimated is not None and estimated < GOOD_PRECISION)):
        yield Advice(
            code=AdviceCode.LABEL_PAIRS,
            message=f"{grey.near_threshold:,} pairs lie near the threshold. Label the {LABELS_AT_ONCE} pairs of "
            f"{suggestions} and tune: they teach most.",
        )


def _on_groups(report: QualityView) -> Iterator[Advice]:
    for group in report.groups.largest[:1]:
        if group.size >= LARGE_GROUP:
            yield Advice(
                code=AdviceCode.LARGE_GROUP,
                message=f"The largest group has {group.size:,} entities, {group.entity_ids[0]} among them: look "
                "whether they are one and the same.",
            )


_FINDINGS = {
    FieldEvidence.CONSTANT: "is constant: it has the same value everywhere, so it says nothing. Leave it out.",
    FieldEvidence.NEAR_CONSTANT: "is nearly constant: {top:.0%} of its values are the same, so it says little.",
    FieldEvidence.FEW_VALUES: "has few values ({distinct:,} in the sample): that two agree on it says little.",
    FieldEvidence.EMPTY: "has no value in the sample: is its name right?",
}


def _on_fields(report: QualityView) -> Iterator[Advice]:
    for measured in report.fields:
        if measured.evidence is not FieldEvidence.GOOD:
            finding = _FINDINGS[measured.evidence].format(top=measured.top_share, distinct=measured.distinct_values)
            yield Advice(
                code=AdviceCode.FIELD_WITHOUT_EVIDENCE,
                field=measured.field,
                message=f"The field {measured.field} {finding}",
            )
