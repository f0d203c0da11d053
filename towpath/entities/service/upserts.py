"""Single upserts: those of one index that wait at the same time are written in one transaction, without a workflow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from towpath.core.convoys import Convoys
from towpath.core.errors import BadInputError, TowpathError
from towpath.db.engine import Connection, Database, is_away
from towpath.entities.domain.matching import entity_uid
from towpath.entities.domain.parsing import Draft, Entity, ScalarFields, make_draft
from towpath.entities.group_types import Cause
from towpath.entities.judge_types import Judge
from towpath.entities.service.candidates import find_candidates
from towpath.entities.service.deciding import decide_near
from towpath.entities.service.dynamic import index_for_write
from towpath.entities.service.judgements import judges_of_partners
from towpath.entities.service.matching import ModelCache, close_gaps, score_candidates, store_scores
from towpath.entities.service.naming import Reason
from towpath.entities.store.indexes import Index, add_entities
from towpath.entities.store.locks import lock_single_writes
from towpath.entities.store.pairs import PartnerRow, read_partners
from towpath.entities.store.records import Stored, StoredEntities, read_stored, write_drafts
from towpath.entities.views import candidate_views, entity_answer

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """What a write of one entity gives.

    Attributes:
        answer: The entity with its `duplicates`.
        left_out: What the index had no room to compare, as a sentence; None: nothing.
    """

    answer: dict[str, Any]
    left_out: str | None


@dataclass(frozen=True, slots=True)
class Upsert(Generic[Answer]):
    """One entity to be written, and what its request does in the same transaction.

    Attributes:
        entity: The entity, checked.
        raw: Its JSON as it was sent.
        limit: The most candidates to return.
        explain: Whether each candidate says why.
        before: Looks for an answer that was given before; None: there is none, and the entity is written.
        after: Makes the answer, and keeps it.
        mark: Requests with the same mark are written one after the other; None: there is no other one.
    """

    entity: Entity
    raw: bytes
    limit: int
    explain: bool
    before: Callable[[Connection], Awaitable[Answer | None]]
    after: Callable[[Connection, UpsertResult], Awaitable[Answer]]
    mark: Hashable = None

    @property
    def marks(self) -> frozenset[Hashable]:
        """What only one upsert of a transaction may have: its entity, and its request's mark."""
        uid = entity_uid(self.entity["id"])
        return frozenset([uid] if self.mark is None else [uid, self.mark])


class UpsertService:
    """Writes single entities.

    Args:
        database: Where they are.
        models: This process's models.
        convoys: Brings those together that wait for one index.
    """

    def __init__(self, database: Database, models: ModelCache, convoys: Convoys) -> None:
        self._database = database
        self._models = models
        self._convoys = convoys

    async def write(self, organization: str, index_name: str, upsert: Upsert[Answer]) -> Answer:
        """Store one entity, find its candidates by the same functions as a batch, and return the request's answer.

        Args:
            organization: Whose index.
            index_name: Its name; the default one is created on first use.
            upsert: The entity, and what its request does.

        Raises:
            NotFoundError: No such index.
            BadInputError: The index cannot take the entity.
        """

        async def carry(upserts: Sequence[Upsert[Answer]]) -> list[Answer | Exception]:
            async def write(connection: Connection) -> list[Answer | Exception]:
                await lock_single_writes(connection, organization, index_name)
                return await self._write(connection, organization, index_name, upserts)

            try:
                return await self._database.repeatable(write)
            except Exception as error:
                if not is_away(getattr(error, "orig", error)):
                    raise
                # It is the database that is at fault: each one alone would only wait for it again.
                return [error] * len(upserts)

        return await self._convoys.ride((organization, index_name), upsert, carry, marks=upsert.marks)

    async def _write(
        self, connection: Connection, organization: str, index_name: str, upserts: Sequence[Upsert[Answer]]
    ) -> list[Answer | Exception]:
        answers: dict[int, Answer | Exception] = {}
        for place, upsert in enumerate(upserts):
            try:
                if (first := await upsert.before(connection)) is not None:
                    answers[place] = first
            except TowpathError as error:
                answers[place] = error
        places = [place for place in range(len(upserts)) if place not in answers]
        results = await self._upsert(connection, organization, index_name, [upserts[place] for place in places])
        for place, result in zip(places, results, strict=True):
            if isinstance(result, UpsertResult):
                answers[place] = await upserts[place].after(connection, result)
            else:
                answers[place] = result
        return [answers[place] for place in range(len(upserts))]

    async def _upsert(
        self, connection: Connection, organization: str, index_name: str, upserts: Sequence[Upsert[Answer]]
    ) -> list[UpsertResult | BadInputError]:
        if not upserts:
            return []
        fields = ScalarFields()
        for upsert in upserts:
            fields.see(upsert.entity)
        index = await index_for_write(connection, organization, index_name, fields)
        drafts = [_draft(upsert, index) for upsert in upserts]
        partners = await self._store(
            connection,
            index,
            [draft for draft in drafts if isinstance(draft, Draft)],
            limit=max(upsert.limit for upsert in upserts),
        )
        judges = await judges_of_partners(connection, index, partners)
        return [
            _result(upsert, index, draft, partners, judges) if isinstance(draft, Draft) else draft
            for upsert, draft in zip(upserts, drafts, strict=True)
        ]

    async def _store(
        self, connection: Connection, index: Index, drafts: Sequence[Draft], *, limit: int
    ) -> Mapping[int, list[PartnerRow]]:
        if not drafts:
            return {}
        written = await write_drafts(connection, index.index_no, drafts)
        touched = written.created | written.changed
        if touched:
            model = await self._models.get(connection, index)
            stored = (
                await read_stored(connection, index, sorted(touched))
                if index.split
                else StoredEntities.of(
                    Stored(draft.uid, draft.values, draft.source, draft.keys)
                    for draft in drafts
                    if draft.uid in touched
                )
            )
            candidates = await find_candidates(connection, index, stored)
            pairs = await score_candidates(connection, index, model, stored, candidates)
            await store_scores(connection, index, pairs)
            # Whoever has won or lost a pair may have changed its group.
            near = {*pairs.left.tolist(), *pairs.right.tolist(), *written.partners, *touched}
            beside = await close_gaps(connection, index, model, written.vacated)
            if beside is not None:
                near |= {*beside.left.tolist(), *beside.right.tolist()}
            await decide_near(connection, index, model, sorted(near), Reason(Cause.UPSERT))
            await add_entities(connection, index.index_no, len(written.created), changes=len(touched))
        return await read_partners(connection, index.index_no, [draft.uid for draft in drafts], limit=limit)


def _draft(upsert: Upsert[Answer], index: Index) -> Draft | BadInputError:
    try:
        return make_draft(upsert.entity, upsert.raw, index.config)
    except BadInputError as error:
        return error


def _result(
    upsert: Upsert[Answer],
    index: Index,
    draft: Draft,
    partners: Mapping[int, Sequence[PartnerRow]],
    judges: Mapping[tuple[int, int], Judge],
) -> UpsertResult:
    rows = partners.get(draft.uid, [])[: upsert.limit]
    candidates = candidate_views(index.config, draft.uid, rows, judges, explain=upsert.explain)
    fields = ScalarFields()
    fields.see(upsert.entity)
    left_out = fields.left_out(index.config) if index.dynamic else None
    return UpsertResult(entity_answer(upsert.entity, candidates), left_out)
