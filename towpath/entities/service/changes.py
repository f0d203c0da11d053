"""What a re-index or a tuning changes in an index: the generation that is built beside the one that it replaces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from towpath.db.engine import Connection
from towpath.entities.domain.matching.quality import BIN_EDGES, Strata, estimate_precision
from towpath.entities.domain.matching.tuning import TuneReport, measure_verdicts
from towpath.entities.quality_types import (
    ChangesView,
    DuplicateChanges,
    EstimateChanges,
    LabelChanges,
    LabelHolds,
    VerdictQuality,
)
from towpath.entities.service.quality import COUNTED_ENTITIES, DIGITS, MAX_LABELS, NEAR, Floats, count_labels
from towpath.entities.store import quality as store
from towpath.entities.store.indexes import Index
from towpath.entities.store.quality import JudgedLabel

LABELS_LISTED = 200


async def measure_changes(
    connection: Connection, live: Index, building: Index, report: TuneReport | None
) -> ChangesView:
    """Compare two generations of an index.

    Args:
        connection: A connection.
        live: The one that is to be replaced.
        building: The next one, decided.
        report: Of the tuning, if labels have tuned its model.
    """
    verdicts = await store.compare_verdicts(connection, live.index_no, building.index_no)
    before = await _read_labels(connection, live)
    after = await _read_labels(connection, building)
    # A model that labels have tuned must not be measured on their scores by itself.
    unseen = None if report is None or not report.applied else _unseen(report)
    return ChangesView(
        duplicates=DuplicateChanges(
            before=verdicts.before,
            after=verdicts.after,
            turned_true=verdicts.after - verdicts.both,
            turned_false=verdicts.before - verdicts.both,
        ),
        estimated_precision=EstimateChanges(
            before=await _estimate(connection, live, count_labels(before, live.config.duplicate_threshold)),
            after=await _estimate(
                connection, building, unseen or count_labels(after, building.config.duplicate_threshold)
            ),
        ),
        labels=_label_changes(before, after) if after else None,
    )


async def _read_labels(connection: Connection, index: Index) -> list[JudgedLabel]:
    return await store.read_judged_labels(connection, index.organization, index.name, index.index_no, limit=MAX_LABELS)


def _unseen(report: TuneReport) -> tuple[Floats, Floats]:
    return np.array(report.labelled_by_bin, dtype=np.float64), np.array(report.right_by_bin, dtype=np.float64)


async def _estimate(connection: Connection, index: Index, labels: tuple[Floats, Floats]) -> float | None:
    pairs = await store.count_pairs(connection, index, BIN_EDGES, near=NEAR, part_size=COUNTED_ENTITIES)
    estimated = estimate_precision(Strata(pairs.duplicates, pairs.probability, *labels))
    return None if estimated is None else round(estimated, DIGITS)


def _label_changes(before: Sequence[JudgedLabel], after: Sequence[JudgedLabel]) -> LabelChanges:
    """Say what became of the labels; one that came between the two reads is left out."""
    was_of = {(label.left_id, label.right_id): label for label in before}
    pairs = [(was, now) for now in after if (was := was_of.get((now.left_id, now.right_id))) is not None]
    holds = [
        LabelHolds(
            entity_id=now.left_id,
            duplicate_id=now.right_id,
            duplicate=now.duplicate,
            held_before=was.verdict == now.duplicate,
            holds=now.verdict == now.duplicate,
        )
        for was, now in pairs
    ]
    return LabelChanges(
        labels=len(holds),
        held_before=sum(label.held_before for label in holds),
        hold=sum(label.holds for label in holds),
        before=_measure([was for was, _ in pairs]),
        after=_measure([now for _, now in pairs]),
        listed=sorted(holds, key=lambda label: (label.holds, label.held_before))[:LABELS_LISTED],
    )


def _measure(labels: Sequence[JudgedLabel]) -> VerdictQuality:
    verdicts = np.array([label.verdict for label in labels], dtype=bool)
    truth = np.array([label.duplicate for label in labels], dtype=bool)
    measured = measure_verdicts(verdicts, truth)
    return VerdictQuality(
        precision=round(measured.precision, DIGITS),
        recall=round(measured.recall, DIGITS),
        f1=round(measured.f1, DIGITS),
    )
