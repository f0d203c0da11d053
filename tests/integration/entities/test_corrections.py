"""What people say of groups holds at once and for ever, contradicts nothing, and can be undone."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.integration.entities.rig import Rig
from tests.integration.entities.test_groups import NAMES, assert_explained, persons_of_names, twins
from tests.unit.entities.builders import persons
from towpath.core.errors import BadInputError, ConflictError, NotFoundError
from towpath.db.engine import Database
from towpath.entities.group_types import CorrectionView, MergeBody, SplitBody, WhyReason
from towpath.entities.types import LABEL_PART

OLAF = {"first": "Olaf", "last": "Brekke", "dob": "1933-01-09", "city": "rome"}
VERA = {"first": "Vera", "last": "Lindqvist", "dob": "1977-08-30", "city": "lima"}


async def split(rig: Rig, group: str, **body: Any) -> CorrectionView:
    async with rig.database.transaction() as connection:
        return await rig.corrections.split(connection, rig.caller, rig.name, group, SplitBody.model_validate(body))


async def merge(rig: Rig, group: str, **body: Any) -> CorrectionView:
    async with rig.database.transaction() as connection:
        return await rig.corrections.merge(connection, rig.caller, rig.name, group, MergeBody.model_validate(body))


async def undo(rig: Rig, group: str) -> CorrectionView:
    async with rig.database.transaction() as connection:
        return await rig.corrections.undo(connection, rig.caller, rig.name, group, None)


async def state(rig: Rig) -> Any:
    """Groups with their names, and every pair as it is judged."""
    return await rig.groups(), sorted(await rig.pairs(), key=lambda pair: (pair.entity_id, pair.duplicate_id))


async def test_a_label_parts_a_group_at_once_and_through_a_reindex_and_its_removal_brings_it_back(
    database: Database,
) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all([*twins("a", "b", "c", city="oslo"), *persons_of_names(60)])
    await rig.reindex()
    before = await state(rig)
    assert ["a", "b", "c"] in before[0].values()

    await rig.label(("a", "b", False), ("a", "c", False))

    assert ["b", "c"] in await rig.members()
    await rig.reindex()
    assert ["b", "c"] in await rig.members()
    assert_explained(await rig.pairs(), 0.85)
    for other in ("b", "c"):
        async with database.transaction() as connection:
            await rig.corrections.remove_label(connection, rig.organization, rig.name, "a", other)
    after = await state(rig)
    assert after[0] == before[0]
    assert [(p.entity_id, p.duplicate_id, p.duplicate) for p in after[1]] == [
        (p.entity_id, p.duplicate_id, p.duplicate) for p in before[1]
    ]


async def test_a_pair_that_was_no_candidate_is_stored_with_its_label_as_the_evidence(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all([{"id": "olaf", **OLAF}, {"id": "vera", **VERA}])
    assert not [one for one in await rig.pairs() if {one.entity_id, one.duplicate_id} == {"olaf", "vera"}]

    await rig.label(("olaf", "vera", True))

    (pair,) = [one for one in await rig.pairs() if one.duplicate]
    assert LABEL_PART in [part.field for part in pair.explanation.matched]
    assert_explained([pair], 0.85)
    assert await rig.members() == [["olaf", "vera"]]
    # Also when one of them is written anew, and in the next generation.
    await rig.upsert({"id": "vera", **VERA, "city": "quito"})
    assert await rig.members() == [["olaf", "vera"]]
    await rig.reindex()
    assert await rig.members() == [["olaf", "vera"]]
    async with database.transaction() as connection:
        await rig.corrections.remove_label(connection, rig.organization, rig.name, "vera", "olaf")
    assert not [one for one in await rig.pairs() if {one.entity_id, one.duplicate_id} == {"olaf", "vera"}]
    assert await rig.groups() == {}


async def test_what_is_the_same_by_way_of_an_entity_that_is_gone_stays_the_same(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    ivo = {"id": "ivo", "first": "Ivo", "last": "Marsh", "dob": "1960-10-11"}
    await rig.upsert_all([{"id": "olaf", **OLAF}, {"id": "vera", **VERA}, ivo])
    await rig.label(("olaf", "vera", True), ("vera", "ivo", True))

    await rig.entities.remove(rig.organization, rig.name, "vera")

    assert await rig.members() == [["ivo", "olaf"]]


async def test_labels_that_contradict_each_other_are_refused_and_named(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all(twins("a", "b", "c", city="oslo"))
    await rig.label(("a", "b", True), ("b", "c", True))

    with pytest.raises(ConflictError, match=r"(a and c|c and a) are different, but (a = b = c|c = b = a)"):
        await rig.label(("a", "c", False))

    assert await rig.members() == [["a", "b", "c"]]
    # The pair's own label may be replaced.
    await rig.label(("a", "b", False))
    assert await rig.members() == [["b", "c"]]


async def test_a_split_holds_and_its_undo_brings_verdicts_groups_and_names_back(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all(twins(*"abcde", city="oslo"))
    before = await state(rig)
    (name,) = before[0]

    view = await split(rig, name, leave=["a", "d"])

    assert sorted(sorted(map(str, group.entity_ids)) for group in view.groups) == [["a", "d"], ["b", "c", "e"]]
    assert (await rig.groups())[name] == ["b", "c", "e"]
    await rig.upsert({**twins("a", city="oslo")[0], "phone": "1"})
    assert await rig.members() == [["a", "d"], ["b", "c", "e"]]
    await rig.upsert(twins("a", city="oslo")[0])
    await undo(rig, name)
    assert await state(rig) == before
    causes = [(event.type, event.cause) for event in await rig.events()]
    assert ("group.split", "split") in causes
    assert causes[-1] == ("group.merged", "undo")
    with pytest.raises(NotFoundError):
        await undo(rig, name)


async def test_a_partition_says_who_belongs_together_as_well(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all(twins(*"abcdef", city="oslo"))
    (name,) = await rig.groups()

    await split(rig, name, parts=[["a", "b"], ["c", "d"]])

    assert await rig.members() == [["a", "b"], ["c", "d"], ["e", "f"]]


@pytest.mark.parametrize("leaver", ["olaf", "vera", "ivo", "una"])
@pytest.mark.parametrize("by_parts", [False, True])
async def test_who_was_merged_stays_so_whoever_leaves(database: Database, leaver: str, by_parts: bool) -> None:
    rig = await Rig(database).make(NAMES)
    ivo = {"id": "ivo", "first": "Ivo", "last": "Marsh", "dob": "1960-10-11"}
    una = {"id": "una", "first": "Una", "last": "Brook", "dob": "1977-02-03"}
    await rig.upsert_all([{"id": "olaf", **OLAF}, {"id": "vera", **VERA}, ivo, una])
    await rig.label(("ivo", "una", True))
    (name,) = await rig.groups()
    await merge(rig, name, entityIds=["olaf", "vera"])
    stay = sorted({"olaf", "vera", "ivo", "una"} - {leaver})

    await split(rig, name, **({"parts": [stay[::-1]]} if by_parts else {"leave": [leaver]}))

    assert await rig.members() == [stay]
    await undo(rig, name)
    assert await rig.members() == [["ivo", "olaf", "una", "vera"]]


async def test_merged_groups_are_one_whatever_the_evidence_and_their_undo_gives_both_names_back(
    database: Database,
) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all([{**OLAF, "id": "o1"}, {**OLAF, "id": "o2"}, {**OLAF, "id": "o3"}])
    await rig.upsert_all([{**VERA, "id": "v1"}, {**VERA, "id": "v2"}, {"id": "ivo", "first": "Ivo", "last": "Marsh"}])
    before = await state(rig)
    names = {members[0]: name for name, members in before[0].items()}

    view = await merge(rig, names["v1"], groupIds=[names["o1"]], entityIds=["ivo"])

    assert await rig.groups() == {names["o1"]: ["ivo", "o1", "o2", "o3", "v1", "v2"]}
    assert [group.group_id for group in view.groups] == [names["o1"]]
    await rig.reindex()
    assert await rig.groups() == {names["o1"]: ["ivo", "o1", "o2", "o3", "v1", "v2"]}
    await undo(rig, names["o1"])
    assert await rig.groups() == before[0]


async def test_who_is_not_in_the_group_or_named_twice_or_last_cannot_leave_it(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all([*twins("a", "b", city="oslo"), {"id": "vera", **VERA}])
    (name,) = await rig.groups()

    for leave in (["vera"], ["a", "a"], ["a", "b"]):
        with pytest.raises(BadInputError):
            await split(rig, name, leave=leave)
    with pytest.raises(NotFoundError):
        await split(rig, name, leave=["nobody"])
    with pytest.raises(NotFoundError):
        await split(rig, "g_0123456789abcdef", leave=["a"])


async def test_why_two_entities_are_in_one_group_or_not(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all([*twins("a", "b", "c", city="oslo"), {"id": "olaf", **OLAF}, {"id": "vera", **VERA}])

    async def why(one: str, other: str) -> Any:
        return await rig.groups_of().explain_pair(rig.organization, rig.name, one, other)

    assert (await why("a", "b")).reason in {WhyReason.PAIR, WhyReason.GROUP}
    apart = await why("olaf", "vera")
    assert (apart.reason, apart.same_group) == (WhyReason.NO_SHARED_KEY, False)
    assert apart.similarity is not None and apart.similarity < 0.5
    await rig.label(("a", "b", False), ("b", "olaf", True))
    labelled = await why("a", "olaf")
    assert (labelled.reason, len(labelled.chain)) == (WhyReason.LABEL, 2)


async def test_why_says_how_far_a_candidate_is_below_the_threshold_and_what_connects_others(
    database: Database,
) -> None:
    rig = await Rig(database).make(candidate_threshold=0.0)
    await rig.upsert_all(persons(150, copies=0.5, seed=5))
    groups = {one: name for name, members in (await rig.groups()).items() for one in members}
    weak = next(
        pair for pair in await rig.pairs()
        if pair.similarity < 0.85 and groups.get(pair.entity_id) != groups.get(pair.duplicate_id, 0)
    )  # fmt: skip

    view = await rig.groups_of().explain_pair(rig.organization, rig.name, weak.entity_id, weak.duplicate_id)

    assert view.reason is WhyReason.BELOW_THRESHOLD
    assert view.similarity == weak.similarity
    assert view.explanation == weak.explanation
    assert f"{weak.similarity:.3f}" in view.sentence


@pytest.mark.parametrize("declared", [True, False])
async def test_one_to_one_says_to_whom_a_pair_was_lost(database: Database, declared: bool) -> None:
    rig = await Rig(database).make(NAMES, source_field="shop", clean_sources=declared)
    if not declared:
        async with database.transaction() as connection:
            await connection.execute(
                "UPDATE entity_indexes SET inferred = %s WHERE organization = %s",
                (Jsonb({"clean_sources": ["a", "b"], "confidence": 0.93}), rig.organization),
            )
    maria = {"first": "Maria", "last": "Fontaine", "dob": "1980-02-03"}
    await rig.upsert_all(
        [{**maria, "id": "a1", "shop": "a", "city": "oslo"}, {**maria, "id": "b1", "shop": "b", "city": "oslo"}]
    )
    await rig.upsert({**maria, "id": "b2", "shop": "b"})

    lost = await rig.groups_of().explain_pair(rig.organization, rig.name, "a1", "b2")
    same = await rig.groups_of().explain_pair(rig.organization, rig.name, "b1", "b2")

    assert lost.reason is WhyReason.ONE_TO_ONE
    assert {lost.lost_to[0].entity_id, lost.lost_to[0].duplicate_id} == {"a1", "b1"}
    assert same.reason is WhyReason.SAME_SOURCE
    for view in (lost, same):
        assert ("are declared" in view.sentence) == declared
        assert ("are inferred" in view.sentence and "0.93" in view.sentence) != declared
