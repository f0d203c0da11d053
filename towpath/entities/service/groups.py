"""One group as a whole: its members, what holds them together, its golden record; and why two entities are in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from towpath.core.errors import NotFoundError
from towpath.core.json_values import parse_json
from towpath.db.engine import Connection, Database
from towpath.entities.domain.golden import Member, Override, Rules, make_golden, override
from towpath.entities.domain.matching import DF_CAP, SAME, entity_uid, find_label_chain, similarity_of_packed
from towpath.entities.domain.spanning import find_path, span
from towpath.entities.group_types import GoldenRules, GoldenValue, GroupDetail, WhyReason, WhyView
from towpath.entities.judge_types import Judge
from towpath.entities.service.candidates import Candidates
from towpath.entities.service.judgements import explain_by_judgement, read_judges
from towpath.entities.service.labelling import pair_labels, read_constraints, read_link_similarities
from towpath.entities.service.matching import ModelCache, score_candidates
from towpath.entities.store import groups as group_store
from towpath.entities.store.golden import read_golden_rules, save_golden_rules
from towpath.entities.store.group_reads import (
    MemberPair,
    count_holders,
    read_best_duplicates,
    read_member_pairs,
    read_member_rows,
)
from towpath.entities.store.indexes import Index, find_index
from towpath.entities.store.judgements import Pair
from towpath.entities.store.labels import read_labels_around
from towpath.entities.store.records import find_entity, read_stored
from towpath.entities.types import Basis, PairView
from towpath.entities.views import group_name, read_explanation, read_group_id, shown_similarity

MAX_LISTED = 1_000
"""Members of a group that are listed and looked at."""
MAX_LOST_TO = 3


@dataclass(frozen=True, slots=True)
class _Side:
    """One of two entities that somebody asks about."""

    uid: int
    id: Any
    group: int | None


class GroupService:
    """Reads groups.

    Args:
        database: Where they are.
        models: This process's models.
    """

    def __init__(self, database: Database, models: ModelCache) -> None:
        self._database = database
        self._models = models

    async def read_rules(self, organization: str, name: str) -> GoldenRules:
        """Show by which rules the values of an index's golden records survive.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name)
            return await _read_rules(connection, index)

    async def put_rules(self, organization: str, name: str, rules: GoldenRules) -> GoldenRules:
        """Give an index rules, in the place of those that it has.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name, lock="share")
            await save_golden_rules(connection, organization, index.name, rules.model_dump(mode="json", by_alias=True))
        return rules

    async def read(
        self, organization: str, name: str, group_id: str, requested: Override, *, explain: bool
    ) -> GroupDetail:
        """Show one group.

        Args:
            organization: Whose index.
            name: Its name.
            group_id: The group.
            requested: By which rules values survive in the golden record, where they are not to be those of the index.
            explain: Whether each pair of the evidence says why.

        Raises:
            NotFoundError: No such index or group.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name)
            group_uid = read_group_id(group_id)
            row = (await group_store.read_groups(connection, index.index_no, [group_uid])).get(group_uid)
            members = await read_member_rows(connection, index.index_no, group_uid, limit=MAX_LISTED)
            if row is None or not members:
                raise NotFoundError(f"no group {group_id} in index {index.name}; its events say what has become of one")
            pairs = await read_member_pairs(connection, index.index_no, [member.uid for member in members])
            evidence = span(pairs)
            judges = await _judges_of(connection, index, evidence)
            stored = await _read_rules(connection, index)
        rules = override(Rules(stored.rule, stored.fields, stored.sources), requested)
        ids = {member.uid: parse_json(member.id_json) for member in members}
        survivors = make_golden(
            [Member(ids[row.uid], parse_json(row.body), row.source, row.revision) for row in members], rules
        )
        return GroupDetail(
            group_id=group_name(group_uid),
            entity_ids=list(ids.values()),
            size=row.size,
            created_at=row.created_at,
            evidence=[_pair_view(index, ids, pair, judges, explain=explain) for pair in evidence],
            golden={
                survivor.field: GoldenValue(
                    value=survivor.value,
                    entity_id=survivor.entity_id,
                    rule=survivor.rule,
                    agreeing=survivor.agreeing,
                    filled=survivor.filled,
                )
                for survivor in survivors
            },
            truncated=row.size > len(members),
        )

    async def explain_pair(self, organization: str, name: str, entity_id: str, other_id: str) -> WhyView:
        """Say why two entities are in one group, or why they are not.

        Raises:
            NotFoundError: No such index, or no such entity in it.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name)
            sides = [await _side(connection, index, wanted_id) for wanted_id in (entity_id, other_id)]
            view = WhyView(
                entity_id=sides[0].id,
                other_id=sides[1].id,
                same_group=sides[0].uid == sides[1].uid or (sides[0].group or 0) == (sides[1].group or -1),
                reason=WhyReason.PAIR,
                sentence="They are one entity.",
                group_id=None if sides[0].group is None else group_name(sides[0].group),
                other_group_id=None if sides[1].group is None else group_name(sides[1].group),
            )
            if sides[0].uid != sides[1].uid:
                low, high = sorted(sides, key=lambda side: side.uid)
                await self._explain(connection, index, view, low, high)
        return view

    async def _explain(self, connection: Connection, index: Index, view: WhyView, low: _Side, high: _Side) -> None:
        stored = await read_member_pairs(connection, index.index_no, [low.uid, high.uid])
        if stored:
            pair = stored[0]
            view.similarity = pair.similarity
            judge = (await _judges_of(connection, index, [pair])).get((pair.left, pair.right))
            view.explanation = read_explanation(index.config, pair.bits, pair.similarity, pair.basis, judge)
        uids = np.array([low.uid, high.uid], dtype=np.int64)
        constraints, _ = await read_constraints(connection, index, uids)
        sign = constraints.says(low.uid, high.uid) if constraints else 0
        if sign and constraints.is_judged(low.uid, high.uid):
            await explain_by_judgement(connection, index, view, (low.uid, high.uid), sign)
        elif sign:
            await _explain_by_label(connection, index, view, low, high, sign)
        elif view.same_group:
            await _explain_together(connection, index, view, low, high, stored)
        elif stored:
            await _explain_apart(connection, index, view, low, high, stored[0])
        else:
            await self._explain_unpaired(connection, index, view, low, high)

    async def _explain_unpaired(
        self, connection: Connection, index: Index, view: WhyView, low: _Side, high: _Side
    ) -> None:
        """Say why two entities are no pair at all."""
        rows = await read_stored(connection, index, np.array([low.uid, high.uid], dtype=np.int64))
        first, second = list(rows)
        if index.has_clean_sources and first.source is not None and first.source == second.source:
            view.reason = WhyReason.SAME_SOURCE
            view.sentence = f"Both are from the source {first.source}. {_say_clean(index)}"
            return
        model = await self._models.get(connection, index)
        pair = Candidates(np.array([low.uid]), np.array([high.uid]))
        scored = await score_candidates(connection, index, model, None, pair, keep_all=True)
        view.similarity = float(scored.similarity[0])
        bits = scored.bits[0].astype("<f4").tobytes()
        view.explanation = read_explanation(index.config, bits, view.similarity, basis=None, judge=None)
        shared = np.intersect1d(first.keys, second.keys)
        if not len(shared):
            view.reason = WhyReason.NO_SHARED_KEY
            view.sentence = "They share no key, so they were never compared."
            return
        holders = await count_holders(connection, index.index_no, shared.tolist(), most=DF_CAP + 1)
        if all(count > DF_CAP for count in holders.values()):
            view.reason = WhyReason.COMMON_KEYS
            view.sentence = (
                f"Each key that they share is held by more than {DF_CAP:,} entities: they tell nobody apart."
            )
        elif view.similarity < index.config.candidate_threshold:
            view.reason = WhyReason.BELOW_THRESHOLD
            view.sentence = (
                f"Their similarity is {view.similarity:.3f}, and candidates are kept from "
                f"{index.config.candidate_threshold:g} on."
            )
        else:
            view.reason = WhyReason.CROWDED_OUT
            view.sentence = "Each has candidates that share more and rarer keys, so these two were not compared."


async def _read_rules(connection: Connection, index: Index) -> GoldenRules:
    return GoldenRules.model_validate(await read_golden_rules(connection, index.organization, index.name) or {})


async def _explain_by_label(
    connection: Connection, index: Index, view: WhyView, low: _Side, high: _Side, sign: int
) -> None:
    view.reason = WhyReason.LABEL
    labels = await read_labels_around(connection, index.organization, index.name, [low.uid, high.uid])
    by_pair = {(label.left_uid, label.right_uid): label for label in labels}
    chain = find_label_chain(pair_labels(labels), low.uid, high.uid, sign)
    similarity_of = await read_link_similarities(connection, index, chain)
    view.chain = [
        PairView(
            entity_id=by_pair[label.left, label.right].left_id,
            duplicate_id=by_pair[label.left, label.right].right_id,
            similarity=similarity_of[label],
            duplicate=label.duplicate,
        )
        for label in chain
    ]
    words = "the same" if sign == SAME else "different"
    view.sentence = f"A label says that they are {words}."
    if len(chain) > 1:
        view.sentence = f"It follows from {len(chain)} labels that they are {words}."


async def _explain_together(
    connection: Connection, index: Index, view: WhyView, low: _Side, high: _Side, stored: Sequence[MemberPair]
) -> None:
    if stored and stored[0].duplicate:
        by_group = stored[0].closed or stored[0].basis == Basis.GROUP
        view.reason = WhyReason.GROUP if by_group else WhyReason.PAIR
        view.sentence = f"They are a pair of duplicates: {stored[0].similarity:.3f}" + (
            ", with what it counts for them to stand in one group." if by_group else "."
        )
        if not by_group:
            return
    else:
        view.reason = WhyReason.CHAIN
        view.sentence = "They are no pair of duplicates; other members connect them."
    members = await read_member_rows(connection, index.index_no, low.group or 0, limit=MAX_LISTED)
    pairs = await read_member_pairs(connection, index.index_no, [member.uid for member in members])
    decided = [pair for pair in pairs if not pair.closed and pair.basis != Basis.GROUP]
    ids = {member.uid: parse_json(member.id_json) for member in members}
    chain = find_path(span(decided), low.uid, high.uid)
    judges = await _judges_of(connection, index, chain)
    view.chain = [_pair_view(index, ids, pair, judges, explain=True) for pair in chain]


async def _explain_apart(
    connection: Connection, index: Index, view: WhyView, low: _Side, high: _Side, pair: MemberPair
) -> None:
    threshold = index.config.duplicate_threshold
    # What the fields say of a pair that has lost to a rival.
    alone = _similarity_alone(pair)
    if alone < threshold:
        view.reason = WhyReason.BELOW_THRESHOLD
        view.sentence = f"Their similarity is {pair.similarity:.3f}, and duplicates begin at {threshold:g}."
        return
    rivals = await read_best_duplicates(connection, index.index_no, [low.uid, high.uid], limit=MAX_LOST_TO)
    better = [rival for rival in rivals if rival.similarity >= alone]
    ids = {uid: parse_json(id_json) for uid, id_json in (
        await group_store.read_ids(
            connection, index.index_no, sorted({uid for rival in rivals for uid in (rival.left, rival.right)})
        )
    ).items()}  # fmt: skip
    judges = await _judges_of(connection, index, rivals)
    view.lost_to = [_pair_view(index, ids, rival, judges, explain=True) for rival in better or rivals]
    names = ", ".join(f"{item.entity_id} and {item.duplicate_id}" for item in view.lost_to)
    if index.has_clean_sources:
        view.reason = WhyReason.ONE_TO_ONE
        view.sentence = (
            f"Each may have one partner in the other's source, and these were better: {names}. {_say_clean(index)}"
        )
    elif better and not _is_near(alone, better):
        view.reason = WhyReason.BETTER_CANDIDATE
        view.sentence = f"One of them has a candidate that is much better: {names}."
    else:
        view.reason = WhyReason.OUTWEIGHED
        view.sentence = "They are similar enough, but other members of their groups speak against it."


def _say_clean(index: Index) -> str:
    """Say why sources count as free of duplicates: declared, or inferred and then to be overruled."""
    if index.config.clean_sources:
        return "Sources are declared to be free of duplicates."
    confidence = 0.0 if index.inferred is None else index.inferred.confidence
    return (
        f"Nobody has declared it, but sources are inferred to be free of duplicates (confidence {confidence:.2f}); "
        "inferSources: false overrules it."
    )


MARGIN_TOLD = 3.0
"""Bits from which a better candidate is told as the reason."""


def _similarity_alone(pair: MemberPair) -> float:
    return similarity_of_packed(pair.bits) if pair.basis == Basis.RIVAL else pair.similarity


def _is_near(alone: float, better: Sequence[MemberPair]) -> bool:
    best = max(rival.similarity for rival in better)
    bits = [np.log2(similarity / (1.0 - similarity)) for similarity in (best, alone)]
    return bool(bits[0] - bits[1] < MARGIN_TOLD)


async def _judges_of(connection: Connection, index: Index, pairs: Sequence[MemberPair]) -> dict[Pair, Judge]:
    return await read_judges(connection, index, [(pair.left, pair.right, pair.basis) for pair in pairs])


def _pair_view(
    index: Index, ids: dict[int, Any], pair: MemberPair, judges: Mapping[Pair, Judge], *, explain: bool
) -> PairView:
    judge = judges.get((pair.left, pair.right))
    return PairView(
        entity_id=str(ids.get(pair.left)),
        duplicate_id=str(ids.get(pair.right)),
        similarity=shown_similarity(pair.similarity, explain=explain),
        duplicate=pair.duplicate,
        explanation=read_explanation(index.config, pair.bits, pair.similarity, pair.basis, judge) if explain else None,
        **(judge.shown() if judge else {}),
    )


async def _side(connection: Connection, index: Index, entity_id: str) -> _Side:
    stored = await find_entity(connection, index.index_no, entity_id, entity_uid(entity_id))
    if stored is None:
        raise NotFoundError(f"no entity {entity_id} in index {index.name}")
    uid, body = stored
    return _Side(uid, parse_json(body)["id"], await group_store.find_group(connection, index.index_no, uid))
