"""What people say of entities and groups: labels, splits, merges, and undoing each. All of it holds at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise, product
from uuid import UUID, uuid4

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, ConflictError, NotFoundError
from towpath.core.json_values import parse_json
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import Constraints, entity_uid, find_contradiction
from towpath.entities.group_types import (
    Cause,
    CorrectionView,
    LabelPage,
    LabelView,
    MergeBody,
    SplitBody,
)
from towpath.entities.service.deciding import decide_or_mark
from towpath.entities.service.labelling import pair_labels
from towpath.entities.service.matching import ModelCache
from towpath.entities.service.naming import Reason
from towpath.entities.store import groups as group_store
from towpath.entities.store import labels as label_store
from towpath.entities.store.indexes import Index, find_index
from towpath.entities.store.labels import Correction, StoredLabel
from towpath.entities.store.locks import lock_single_writes
from towpath.entities.store.records import find_entity
from towpath.entities.types import Label, LabelCounts, LabelsBody
from towpath.entities.views import group_name, group_view, read_group_id

MAX_LABELS = 10_000
MAX_AT_ONCE = 200
"""Labels whose groups are decided before the answer; those of more are decided by the housekeeping if others decide."""
MAX_NAMED = 6


class CorrectionService:
    """Takes what people say of an index.

    Args:
        database: Where it is.
        models: This process's models.
    """

    def __init__(self, database: Database, models: ModelCache) -> None:
        self._database = database
        self._models = models

    async def add_labels(self, connection: Connection, organization: str, name: str, body: LabelsBody) -> LabelCounts:
        """Store labels; a pair that has one gets the new one. Verdicts and groups follow at once.

        Args:
            connection: In the caller's transaction.
            organization: Whose index.
            name: Its name.
            body: The labels.

        Raises:
            NotFoundError: No such index, or no such entity in it.
            BadInputError: A label names one entity twice.
            ConflictError: Labels contradict each other.
        """
        index = await self._open(connection, organization, name)
        labels = [await self._label(connection, index, label, place) for place, label in enumerate(body.labels)]
        await self._replace(connection, index, labels)
        await self._follow(connection, index, labels, Reason(Cause.LABEL))
        return await self._count(connection, index, len(labels))

    async def remove_label(
        self, connection: Connection, organization: str, name: str, entity_id: str, other_id: str
    ) -> LabelCounts:
        """Take the label of a pair back: the pair is judged by its fields again.

        Raises:
            NotFoundError: No such index, or the pair has no label.
        """
        index = await self._open(connection, organization, name)
        left, right = sorted([await _uid_of(connection, index, entity_id), await _uid_of(connection, index, other_id)])
        removed = await label_store.delete_label(connection, organization, index.name, left, right)
        if removed is None:
            raise NotFoundError(f"the pair {entity_id}, {other_id} has no label in index {index.name}")
        await self._follow(connection, index, [removed], Reason(Cause.LABEL))
        return await self._count(connection, index, 0)

    async def list_labels(self, organization: str, name: str, *, limit: int, offset: int) -> LabelPage:
        """List the labels of an index, newest first.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name)
            rows, total = await label_store.page_labels(
                connection, organization, index.name, limit=limit, offset=offset
            )
        views = [
            LabelView(
                entity_id=row.left_id, duplicate_id=row.right_id, duplicate=row.duplicate, correction_id=row.correction
            )
            for row in rows
        ]
        return LabelPage(labels=views, limit=limit, offset=offset, total=total)

    async def split(
        self, connection: Connection, caller: Principal, name: str, group_id: str, body: SplitBody
    ) -> CorrectionView:
        """Split a group: labels `different` between its parts, and `same` within each part that is named as one.

        Args:
            connection: In the caller's transaction.
            caller: Who says so.
            name: The index.
            group_id: The group.
            body: Who leaves, or the parts.

        Raises:
            NotFoundError: No such index or group.
            BadInputError: An entity is named twice or is not in the group, or nobody would be left.
            ConflictError: Labels say otherwise.
        """
        index = await self._open(connection, caller.organization, name)
        members = await self._members(connection, index, [read_group_id(group_id)])
        named = [
            [await _uid_of(connection, index, entity_id, f"{where}[{place}]") for place, entity_id in enumerate(ids)]
            for where, ids in _named_parts(body)
        ]
        flat = [uid for part in named for uid in part]
        if len(set(flat)) < len(flat):
            raise BadInputError("an entity is named twice", field="leave" if body.leave else "parts")
        if outside := [uid for uid in flat if uid not in members]:
            who = await group_store.read_ids(connection, index.index_no, outside[:1])
            raise BadInputError(f"{parse_json(who[outside[0]])} is not in the group {group_id}")
        rest = sorted(members.keys() - set(flat))
        parts = [*named, rest] if rest else named
        if len(parts) < 2:
            raise BadInputError("all members are named: nobody would be left in the group")
        pairs: list[tuple[int, int, bool]] = []
        if body.leave is not None:
            pairs += [(left, right, False) for left, right in product(*parts)]
        else:
            pairs += [(left, right, True) for part in named for left, right in pairwise(part)]
            # What is the same as one of a part is different from all of the other part.
            pairs += [(left[0], right[0], False) for left, right in combinations(named, 2)]
            pairs += [(part[0], other, False) for part in named for other in rest]
        stored = await label_store.read_labels_around(connection, index.organization, index.name, sorted(members))
        pairs += _keep_parts(parts, stored)
        return await self._correct(connection, caller, index, "split", pairs, members, Cause.SPLIT)

    async def merge(
        self, connection: Connection, caller: Principal, name: str, group_id: str, body: MergeBody
    ) -> CorrectionView:
        """Merge groups and entities into a group: labels `same` that link all of them.

        Args:
            connection: In the caller's transaction.
            caller: Who says so.
            name: The index.
            group_id: The group.
            body: What it takes in.

        Raises:
            NotFoundError: No such index, group or entity.
            ConflictError: Labels say otherwise.
        """
        index = await self._open(connection, caller.organization, name)
        groups = [read_group_id(name_of_group) for name_of_group in [group_id, *body.group_ids]]
        members = await self._members(connection, index, groups)
        for place, entity_id in enumerate(body.entity_ids):
            uid = await _uid_of(connection, index, entity_id, f"entityIds[{place}]")
            members.setdefault(uid, await group_store.find_group(connection, index.index_no, uid) or 0)
        pairs = [(left, right, True) for left, right in pairwise(sorted(members))]
        return await self._correct(connection, caller, index, "merge", pairs, members, Cause.MERGE)

    async def undo(
        self, connection: Connection, caller: Principal, name: str, group_id: str, correction_id: UUID | None
    ) -> CorrectionView:
        """Undo a split or a merge: its labels go, those that they replaced come back, and so do names.

        Args:
            connection: In the caller's transaction.
            caller: Who says so.
            name: The index.
            group_id: A group that it has to do with.
            correction_id: Which one; None: the newest.

        Raises:
            NotFoundError: No such index, or nothing to undo.
            ConflictError: What comes back contradicts other labels.
        """
        index = await self._open(connection, caller.organization, name)
        correction = await label_store.find_correction(
            connection, caller.organization, index.name, read_group_id(group_id), correction_id
        )
        removed = await label_store.end_correction(connection, correction.id)
        back = [
            StoredLabel(left, right, left_id, right_id, same, UUID(former) if former else None)
            for left, right, left_id, right_id, same, former in correction.replaced
        ]
        freed = {(label.left_uid, label.right_uid) for label in removed}
        back = [label for label in back if (label.left_uid, label.right_uid) in freed]
        await self._replace(connection, index, back)
        names = {int(uid): group for uid, group in correction.names.items()}
        remembered = {uid: group for uid, group in names.items() if group}
        await self._follow(connection, index, removed, Reason(Cause.UNDO, remembered=remembered), wait=True)
        return await self._show(connection, index, correction.id, names)

    async def _open(self, connection: Connection, organization: str, name: str) -> Index:
        # In the order of a single write, beside which labels are decided: otherwise the two could wait for each other.
        await lock_single_writes(connection, organization, name)
        index = await find_index(connection, organization, name, lock="share")
        await label_store.lock_labels(connection, organization, index.name)
        return index

    async def _label(self, connection: Connection, index: Index, label: Label, place: int) -> StoredLabel:
        where = f"labels[{place}]"
        left = await _uid_of(connection, index, label.entity_id, f"{where}.entityId")
        right = await _uid_of(connection, index, label.duplicate_id, f"{where}.duplicateId")
        if left == right:
            raise BadInputError(f"{where} names one entity twice", field=f"{where}.duplicateId")
        first, second = sorted([(left, str(label.entity_id)), (right, str(label.duplicate_id))])
        return StoredLabel(first[0], second[0], first[1], second[1], label.duplicate)

    async def _members(self, connection: Connection, index: Index, groups: Sequence[int]) -> dict[int, int]:
        members = await group_store.read_members(connection, index.index_no, groups)
        for group in groups:
            if group not in members.values():
                raise NotFoundError(f"no group {group_name(group)} in index {index.name}")
        return members

    async def _replace(self, connection: Connection, index: Index, labels: Sequence[StoredLabel]) -> list[StoredLabel]:
        """Store labels if all can hold, and return those whose place they take."""
        of = connection, index.organization, index.name
        stored = {(label.left_uid, label.right_uid): label for label in await label_store.read_labels(*of)}
        new = {(label.left_uid, label.right_uid): label for label in labels}
        replaced = [stored[pair] for pair in sorted(new.keys() & stored.keys())]
        every = stored | new
        contradiction = find_contradiction(pair_labels(list(every.values())), pair_labels(list(new.values())))
        if contradiction is not None:
            different, *chain = (every[label.left, label.right] for label in contradiction)
            raise ConflictError(_name_contradiction(different, chain))
        await label_store.save_labels(*of, list(new.values()))
        return replaced

    async def _correct(
        self,
        connection: Connection,
        caller: Principal,
        index: Index,
        kind: str,
        pairs: Iterable[tuple[int, int, bool]],
        names: dict[int, int],
        cause: Cause,
    ) -> CorrectionView:
        required = {(min(left, right), max(left, right)): same for left, right, same in pairs}
        if len(required) > MAX_LABELS:
            raise BadInputError(
                f"that takes {len(required):,} labels of {MAX_LABELS:,} that may be; name parts instead"
            )
        correction_id = uuid4()
        ids = {
            uid: str(parse_json(id_json))
            for uid, id_json in (await group_store.read_ids(connection, index.index_no, sorted(names))).items()
        }
        labels = [
            StoredLabel(left, right, ids[left], ids[right], same, correction_id)
            for (left, right), same in required.items()
        ]
        replaced = await self._replace(connection, index, labels)
        correction = Correction(
            id=correction_id,
            kind=kind,
            groups=sorted({group for group in names.values() if group}),
            names={str(uid): group for uid, group in names.items()},
            replaced=[
                [x.left_uid, x.right_uid, x.left_id, x.right_id, x.duplicate, str(x.correction) if x.correction else ""]
                for x in replaced
            ],
        )
        await label_store.add_correction(
            connection, index.organization, index.name, correction, created_by=caller.key_id or caller.user_id
        )
        await self._follow(connection, index, labels, Reason(cause), wait=True)
        view = await self._show(connection, index, correction_id, names)
        led_to = {*correction.groups, *(read_group_id(group.group_id) for group in view.groups)}
        await label_store.note_groups(connection, correction_id, sorted(led_to))
        return view

    async def _follow(
        self,
        connection: Connection,
        index: Index,
        labels: Sequence[StoredLabel],
        reason: Reason,
        *,
        wait: bool = False,
    ) -> None:
        """Decide whom labels have to do with, in this generation and in the one that is being built."""
        uids = sorted({uid for label in labels for uid in (label.left_uid, label.right_uid)})
        model = await self._models.get(connection, index)
        await decide_or_mark(connection, index, model, uids, reason, wait=wait or len(labels) <= MAX_AT_ONCE)

    async def _count(self, connection: Connection, index: Index, added: int) -> LabelCounts:
        stored = await label_store.read_labels(connection, index.organization, index.name)
        same = sum(label.duplicate for label in stored)
        return LabelCounts(added=added, total=len(stored), duplicates=same, distinct=len(stored) - same)

    async def _show(
        self, connection: Connection, index: Index, correction_id: UUID, uids: Iterable[int]
    ) -> CorrectionView:
        ids = await group_store.read_ids(connection, index.index_no, sorted(uids))
        members = {uid: await group_store.find_group(connection, index.index_no, uid) for uid in sorted(ids)}
        groups = sorted({group for group in members.values() if group})
        listed: dict[int, list[int]] = {group: [] for group in groups}
        for uid, group in sorted((await group_store.read_members(connection, index.index_no, groups)).items()):
            listed[group].append(uid)
        all_ids = ids | await group_store.read_ids(
            connection, index.index_no, sorted({uid for uids in listed.values() for uid in uids})
        )
        views = [group_view((group, [all_ids[uid] for uid in listed[group]])) for group in groups]
        alone = [parse_json(ids[uid]) for uid, group in members.items() if group is None]
        return CorrectionView(correction_id=correction_id, groups=views, alone=alone)


def _named_parts(body: SplitBody) -> list[tuple[str, list[int | str]]]:
    if body.leave is not None:
        return [("leave", body.leave)]
    return [(f"parts[{place}]", part) for place, part in enumerate(body.parts or [])]


def _keep_parts(parts: Sequence[Sequence[int]], stored: Sequence[StoredLabel]) -> list[tuple[int, int, bool]]:
    """Return what keeps a split to its parts: no label `same` goes across, and who was the same within one still is.

    Labels link in chains. Without this, a chain would hold two parts together, or its end would leave with its middle.
    """
    part_of = {uid: part for part, uids in enumerate(parts) for uid in uids}
    crossing = [
        (label.left_uid, label.right_uid, False)
        for label in stored
        if label.duplicate and part_of.get(label.left_uid, -1) != part_of.get(label.right_uid, -1)
    ]
    if not crossing:
        return []
    constraints = Constraints(pair_labels(stored))
    linked = [(left, right, True) for uids in parts for left, right in constraints.links(uids)]
    return crossing + linked


def _name_contradiction(different: StoredLabel, chain: Sequence[StoredLabel]) -> str:
    """Say which labels cannot all hold."""
    at, walked = different.left_uid, [different.left_id]
    for label in chain:
        at, name = (label.right_uid, label.right_id) if label.left_uid == at else (label.left_uid, label.left_id)
        walked.append(name)
    if len(walked) > MAX_NAMED:
        walked = [*walked[: MAX_NAMED - 2], "...", walked[-1]]
    same = " = ".join(walked)
    return f"labels contradict each other: {different.left_id} and {different.right_id} are different, but {same}"


async def _uid_of(connection: Connection, index: Index, entity_id: int | str, where: str | None = None) -> int:
    stored = await find_entity(connection, index.index_no, str(entity_id), entity_uid(entity_id))
    if stored is None:
        prefix = f"{where}: " if where else ""
        raise NotFoundError(f"{prefix}no entity {entity_id} in index {index.name}", field=where)
    return stored[0]
