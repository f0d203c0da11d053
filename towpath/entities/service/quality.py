"""How good the verdicts of an index are, and what to do about it: measured on bounded samples of what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from towpath.core.json_values import parse_json
from towpath.db.engine import Connection, Database
from towpath.entities.domain.advice import Facts, give_advice
from towpath.entities.domain.matching import MatchModel
from towpath.entities.domain.matching.quality import BIN_EDGES, Strata, bin_of, estimate_precision, examine_fields
from towpath.entities.domain.matching.suggestions import ListedPair, suggest
from towpath.entities.judge_types import JudgeAnswer, JudgedCounts
from towpath.entities.quality_types import (
    FieldQuality,
    GreyZone,
    GroupSize,
    GroupSummary,
    LabelPrecision,
    LabelSuggestion,
    LabelSuggestions,
    LargeGroup,
    PairCounts,
    PrecisionView,
    QualityView,
    SuggestedEntity,
)
from towpath.entities.service.judgements import read_judges
from towpath.entities.service.matching import ModelCache
from towpath.entities.store import quality as store
from towpath.entities.store.care import find_failed_settling
from towpath.entities.store.generations import read_bodies
from towpath.entities.store.indexes import Index, find_index
from towpath.entities.store.judgements import count_judgements
from towpath.entities.store.labels import read_labels
from towpath.entities.store.quality import GroupCounts, JudgedLabel, PairHistogram, SampledPair
from towpath.entities.store.records import sample_stored
from towpath.entities.types import ENTITY_SETTLE, Basis
from towpath.entities.views import group_name, inferred_view, read_explanation

Floats = npt.NDArray[np.float64]

COUNTED_ENTITIES = 20_000
"""Entities whose pairs a report counts: of a larger index it is a random part, scaled up."""
GROUPED_ENTITIES = 100_000
MAX_LABELS = 10_000
EVIDENCE_ENTITIES = 2_000
NEAR = 0.1
DOUBTFUL = 0.15
"""How far from the threshold a pair may be to be suggested for its score."""
DOUBTFUL_PAIRS = 500
LARGEST = 5
MEMBERS_SHOWN = 20
SIZES = (2, 3, 6, 21, 101)
"""Where the classes of group sizes begin."""
DIGITS = 4
MAX_BODY = 20_000
"""Characters of an entity that a suggestion shows whole; of a longer one it shows the beginnings of simple values."""
MAX_VALUE = 1_000
MAX_VALUES = 100


class QualityService:
    """Reports how good indexes are.

    Args:
        database: Where they are.
        models: This process's models.
    """

    def __init__(self, database: Database, models: ModelCache) -> None:
        self._database = database
        self._models = models

    async def report(self, organization: str, name: str) -> QualityView:
        """Measure an index as it is now.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name)
            return await measure_quality(connection, index, await self._models.get(connection, index))

    async def suggest_labels(self, organization: str, name: str, *, limit: int) -> LabelSuggestions:
        """Choose the pairs whose labels would teach an index most; the same while nothing changes.

        Args:
            organization: Whose index.
            name: Its name.
            limit: How many to choose at most.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name)
            labels = {(label.left_uid, label.right_uid) for label in await read_labels(connection, organization, name)}
            sampled = await store.sample_pairs(connection, index, part_size=EVIDENCE_ENTITIES)
            doubtful = await store.doubtful_pairs(
                connection, index, near=DOUBTFUL, part_size=COUNTED_ENTITIES, limit=DOUBTFUL_PAIRS
            )
            by_uids = {(pair.left_uid, pair.right_uid): pair for pair in [*sampled, *doubtful]}
            listed = [_listed(pair) for uids, pair in sorted(by_uids.items()) if uids not in labels]
            suggestions = await asyncio.to_thread(suggest, listed, index.config.duplicate_threshold, limit)
            uids = {uid for chosen in suggestions for uid in (chosen.pair.left_uid, chosen.pair.right_uid)}
            suggested = [by_uids[_uids(chosen.pair)] for chosen in suggestions]
            judges = await read_judges(
                connection, index, [(pair.left_uid, pair.right_uid, pair.basis) for pair in suggested]
            )
            bodies = {row.uid: row.body for row in await read_bodies(connection, index.index_no, sorted(uids))}
        entities = {uid: _suggested_entity(body) for uid, body in bodies.items()}
        return LabelSuggestions(
            index_name=index.name,
            labels=len(labels),
            suggestions=[
                LabelSuggestion(
                    entity_id=entities[chosen.pair.left_uid].id,
                    duplicate_id=entities[chosen.pair.right_uid].id,
                    similarity=chosen.pair.similarity,
                    duplicate=chosen.pair.duplicate,
                    reason=chosen.reason,
                    alike=chosen.alike,
                    # Without a label or a judgement, only the pairs around it can have moved it.
                    explanation=read_explanation(
                        index.config,
                        by_uids[_uids(chosen.pair)].bits,
                        chosen.pair.similarity,
                        by_uids[_uids(chosen.pair)].basis or Basis.GROUP,
                        judges.get(_uids(chosen.pair)),
                    ),
                    entity=entities[chosen.pair.left_uid],
                    other=entities[chosen.pair.right_uid],
                    **(judges[_uids(chosen.pair)].shown() if _uids(chosen.pair) in judges else {}),
                )
                for chosen in suggestions
            ],
        )


def _uids(pair: ListedPair) -> tuple[int, int]:
    return pair.left_uid, pair.right_uid


def _listed(pair: SampledPair) -> ListedPair:
    return ListedPair(
        left_uid=pair.left_uid,
        right_uid=pair.right_uid,
        similarity=pair.similarity,
        duplicate=pair.duplicate,
        contributions=np.frombuffer(pair.bits, dtype="<f4")[1:].astype(np.float64),
        groups=frozenset(group for group in (pair.left_group, pair.right_group) if group is not None),
    )


def _suggested_entity(body: str) -> SuggestedEntity:
    entity = parse_json(body)
    if len(body) <= MAX_BODY:
        return SuggestedEntity(id=entity["id"], body=entity)
    shortened = {
        name: value[:MAX_VALUE] if isinstance(value, str) else value
        for name, value in entity.items()
        if not isinstance(value, dict | list)
    }
    return SuggestedEntity(id=entity["id"], body=dict(list(shortened.items())[:MAX_VALUES]), truncated=True)


async def measure_quality(connection: Connection, index: Index, model: MatchModel) -> QualityView:
    """Measure one generation: its time does not grow with the index beyond the bounds of the samples.

    Args:
        connection: A connection.
        index: The generation.
        model: Its model.
    """
    config = index.config
    pairs = await store.count_pairs(connection, index, BIN_EDGES, near=NEAR, part_size=COUNTED_ENTITIES)
    labels = await store.read_judged_labels(
        connection, index.organization, index.name, index.index_no, limit=MAX_LABELS
    )
    judged = await count_judgements(connection, index.organization, index.name)
    groups = await store.count_groups(
        connection, index, largest=LARGEST, members=MEMBERS_SHOWN, part_size=GROUPED_ENTITIES
    )
    sampled = await store.sample_pairs(connection, index, part_size=EVIDENCE_ENTITIES)
    entities = await sample_stored(connection, index, limit=EVIDENCE_ENTITIES)
    fields = _field_views(index, [entity.values for entity in entities], sampled)
    view = QualityView(
        index_name=index.name,
        measured_at=datetime.now(UTC),
        entity_count=index.entities,
        model_version=index.model_version,
        trained_on=model.trained_on,
        labels=len(labels),
        judged=JudgedCounts(**{answer: judged.get(answer, 0) for answer in JudgeAnswer}),
        precision=_precision_view(pairs, labels, config.duplicate_threshold),
        pairs=_pair_counts(index, pairs),
        groups=_group_summary(groups),
        fields=fields,
        inferred=inferred_view(index),
        advice=[],
    )
    failed = await find_failed_settling(connection, ENTITY_SETTLE, index.organization, index.index_no)
    facts = Facts(
        has_undeclared_sources=config.source_field is not None and not config.clean_sources,
        source_field=config.source_field,
        trained_entities=index.model_entities,
        across_sources=_count_across(sampled, within=False),
        within_sources=_count_across(sampled, within=True),
        contradicted=sum(
            label.duplicate != _scores_as_duplicate(label, config.duplicate_threshold) for label in labels
        ),
        label_kinds=len({label.duplicate for label in labels}),
        failed_settling=None if failed is None else (str(failed.job_id), failed.message),
    )
    view.advice = give_advice(view, facts)
    return view


def _scores_as_duplicate(label: JudgedLabel, threshold: float) -> bool:
    # By the score, not by the verdict: a verdict may follow the very label that it would be measured by.
    return label.similarity is not None and label.similarity >= threshold


def count_labels(labels: Sequence[JudgedLabel], threshold: float) -> tuple[Floats, Floats]:
    """Count the labelled pairs that score as duplicates by bin of similarity, and those that people call so."""
    labelled, right = np.zeros(len(BIN_EDGES)), np.zeros(len(BIN_EDGES))
    for label in labels:
        if label.similarity is not None and label.similarity >= threshold:
            labelled[bin_of(label.similarity)] += 1
            right[bin_of(label.similarity)] += label.duplicate
    return labelled, right


def _precision_view(pairs: PairHistogram, labels: Sequence[JudgedLabel], threshold: float) -> PrecisionView:
    labelled, right = count_labels(labels, threshold)
    duplicates = float(pairs.duplicates.sum())
    estimated = estimate_precision(Strata(pairs.duplicates, pairs.probability, labelled, right))
    seen = int(labelled.sum())
    return PrecisionView(
        estimated=None if estimated is None else round(estimated, DIGITS),
        by_model=round(float(pairs.probability.sum()) / duplicates, DIGITS) if duplicates else None,
        by_labels=LabelPrecision(
            labelled=seen, right=int(right.sum()), precision=round(float(right.sum()) / seen, DIGITS) if seen else None
        ),
    )


def _scaler(share: float) -> Callable[[float], int]:
    return lambda count: round(count / share)


def _pair_counts(index: Index, pairs: PairHistogram) -> PairCounts:
    scaled = _scaler(pairs.share)
    return PairCounts(
        listed=scaled(float(pairs.pairs.sum())),
        duplicates=scaled(float(pairs.duplicates.sum())),
        grey_zone=GreyZone(
            lower=index.config.candidate_threshold,
            upper=index.config.duplicate_threshold,
            pairs=scaled(pairs.grey),
            near_threshold=scaled(pairs.near),
        ),
        sampled_share=round(pairs.share, DIGITS),
    )


def _group_summary(groups: GroupCounts) -> GroupSummary:
    scaled = _scaler(groups.share)
    ends: list[int | None] = [*(start - 1 for start in SIZES[1:]), None]
    sizes = []
    for lowest, highest in zip(SIZES, ends, strict=True):
        counted = sum(count for size, count in groups.sizes if size >= lowest and (highest is None or size <= highest))
        if counted:
            sizes.append(GroupSize(lowest=lowest, highest=highest, groups=scaled(counted)))
    return GroupSummary(
        groups=scaled(sum(count for _, count in groups.sizes)),
        entities=scaled(sum(size * count for size, count in groups.sizes)),
        sizes=sizes,
        largest=[
            LargeGroup(group_id=group_name(uid), size=size, entity_ids=[parse_json(id_json) for id_json in ids])
            for uid, size, ids in groups.largest
        ],
        sampled_share=round(groups.share, DIGITS),
    )


def _field_views(
    index: Index, rows: Sequence[Sequence[str | None]], sampled: Sequence[SampledPair]
) -> list[FieldQuality]:
    names = [field.name for field in index.config.fields]
    facts = examine_fields(rows, len(names)) if rows else []
    strengths = _mean_bits(sampled, len(names))
    return [
        FieldQuality(
            field=name,
            evidence=fact.evidence,
            filled=round(fact.filled, DIGITS),
            distinct_values=fact.distinct,
            top_share=round(fact.top_share, DIGITS),
            mean_bits=strength,
        )
        for name, fact, strength in zip(names, facts, strengths, strict=False)
    ]


def _mean_bits(sampled: Sequence[SampledPair], fields: int) -> list[float | None]:
    """Return the mean strength of each field's evidence; the prior comes before the fields in what is stored."""
    rows = [np.abs(np.frombuffer(pair.bits, dtype="<f4")[1 : 1 + fields]) for pair in sampled]
    rows = [row for row in rows if len(row) == fields]
    if not rows:
        return [None] * fields
    return [round(float(strength), 2) for strength in np.mean(rows, axis=0)]


def _count_across(sampled: Sequence[SampledPair], *, within: bool) -> int:
    return sum(
        pair.duplicate
        and pair.left_source is not None
        and pair.right_source is not None
        and (pair.left_source == pair.right_source) is within
        for pair in sampled
    )
