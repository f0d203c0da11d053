"""Turns stored rows into the models that API and console show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import Any

import numpy as np

from towpath.core.errors import NotFoundError
from towpath.core.json_values import parse_json
from towpath.entities.domain.parsing import Entity
from towpath.entities.judge_types import Judge
from towpath.entities.store.indexes import Index
from towpath.entities.store.pairs import PairRow, PartnerRow
from towpath.entities.types import (
    BATCH_STATUS,
    JUDGE_PART,
    LABEL_PART,
    Basis,
    BatchSummary,
    BatchView,
    Candidate,
    Contribution,
    Explanation,
    GroupView,
    IndexConfig,
    IndexView,
    InferredView,
    ItemError,
    PairView,
)
from towpath.jobs.rows import error_of, warnings_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import FailedItem

STATUS_PATH = "/v1/entities/batch/status?jobId="
SIMILARITY_DIGITS = 6
GROUP_DIGITS = 16


def inferred_view(index: Index) -> InferredView | None:
    """Show the structure that is taken for declared; None: none was inferred, or it is overruled."""
    if index.inferred is None or not index.config.infer_sources:
        return None
    return InferredView.model_validate(index.inferred.model_dump())


def index_view(index: Index) -> IndexView:
    """Show an index."""
    return IndexView(
        **index.config.model_dump(),
        entity_count=index.entities,
        model_version=index.model_version,
        created_at=index.created_at,
        updated_at=index.updated_at,
        inferred=inferred_view(index),
        reindex_job_id=index.reindex_job,
    )


def read_explanation(
    config: IndexConfig, bits: bytes, similarity: float, basis: str | None, judge: Judge | None
) -> Explanation:
    """Explain the similarity of a stored pair.

    Args:
        config: Of its index.
        bits: Packed contributions: the prior, then one number a field, in bits.
        similarity: As it was judged.
        basis: What it has beyond what the bits add up to, a `Basis`; None: nothing.
        judge: Who has judged the pair; None: nobody, or it follows from what was said of others.
    """
    prior, *contributions = np.frombuffer(bits, dtype="<f4").astype(float).tolist()
    named = [
        Contribution(field=field.name, contribution=bits_of_field)
        for field, bits_of_field in zip(config.fields, contributions, strict=False)
        if bits_of_field
    ]
    if basis is not None:
        beyond = log2(similarity / (1.0 - similarity)) - prior - sum(contributions)
        if basis in {Basis.GROUP, Basis.RIVAL}:
            prior += beyond
        else:
            is_judged = judge is not None or basis in {Basis.JUDGED_SAME, Basis.JUDGED_DIFFERENT}
            named.append(Contribution(field=JUDGE_PART if is_judged else LABEL_PART, contribution=beyond))
    by_strength = sorted(named, key=lambda item: (-abs(item.contribution), item.field))
    return Explanation(
        prior=prior,
        matched=[item for item in by_strength if item.contribution > 0],
        conflicting=[item for item in by_strength if item.contribution < 0],
    )


def candidate_views(
    config: IndexConfig,
    uid: int,
    partners: Sequence[PartnerRow],
    judges: Mapping[tuple[int, int], Judge],
    *,
    explain: bool,
) -> list[Candidate]:
    """Show the candidates of an entity.

    Args:
        config: Of its index.
        uid: The entity.
        partners: Its candidates, as stored.
        judges: Who has judged pairs, by the pair, the lower uid first.
        explain: Whether each says why.
    """
    judge_of = [judges.get((min(uid, partner.uid), max(uid, partner.uid))) for partner in partners]
    return [
        Candidate(
            id=parse_json(partner.id_json),
            similarity=shown_similarity(partner.similarity, explain=explain),
            duplicate=partner.duplicate,
            sku=partner.sku,
            explanation=_explain_row(config, partner, judge) if explain else None,
            **(judge.shown() if judge else {}),
        )
        for partner, judge in zip(partners, judge_of, strict=True)
    ]


def shown_similarity(value: float, *, explain: bool) -> float:
    """Round a similarity, unless an explanation stands beside it, whose parts add up to the number itself."""
    return value if explain else round(value, SIMILARITY_DIGITS)


def entity_answer(entity: Entity, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return the entity's own fields with its `duplicates`."""
    duplicates = [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in candidates]
    return {**entity, "duplicates": duplicates}


def _explain_row(config: IndexConfig, row: PairRow | PartnerRow, judge: Judge | None) -> Explanation:
    return read_explanation(config, row.bits, row.similarity, row.basis, judge)


def pair_view(config: IndexConfig, row: PairRow, *, judge: Judge | None, explain: bool) -> PairView:
    """Show one pair; ids are written as strings, and `judge` is who has judged it."""
    return PairView(
        entity_id=str(parse_json(row.left_id)),
        duplicate_id=str(parse_json(row.right_id)),
        similarity=shown_similarity(row.similarity, explain=explain),
        duplicate=row.duplicate,
        explanation=_explain_row(config, row, judge) if explain else None,
        **(judge.shown() if judge else {}),
    )


def group_name(group_uid: int) -> str:
    """Return the id of a group as it is shown."""
    return f"g_{group_uid & (1 << 64) - 1:016x}"


def group_view(row: tuple[int, list[str]]) -> GroupView:
    """Show one group."""
    group_uid, ids = row
    return GroupView(group_id=group_name(group_uid), entity_ids=[parse_json(id_json) for id_json in ids], size=len(ids))


def read_group_id(group_id: str) -> int:
    """Return the number of a group whose name a client has; names of before had no `g_`.

    Raises:
        NotFoundError: No group can have that name.
    """
    digits = group_id.removeprefix("g_")
    if len(digits) != GROUP_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise NotFoundError(f"no group {group_id[:64]}")
    number = int(digits, 16)
    return number - (1 << 64) if number >> 63 else number


def batch_view(job: JobRow, *, failures: Sequence[FailedItem] = (), total_failures: int = 0) -> BatchView:
    """Show a batch's state and counts.

    Args:
        job: The batch.
        failures: The first of its failed items.
        total_failures: How many there are.
    """
    errors = [ItemError(index=f.index, id=f.id, code=f.code, message=f.message) for f in failures]
    return BatchView(
        job_id=job.id,
        status=BATCH_STATUS[job.state],
        summary=BatchSummary(
            total=job.total,
            processed=job.processed,
            succeeded=job.succeeded,
            failed=job.failed,
            unchanged=job.skipped,
        ),
        errors=errors or None,
        errors_truncated=True if total_failures > len(errors) else (False if errors else None),
        error=error_of(job),
        warnings=warnings_of(job) or None,
    )
