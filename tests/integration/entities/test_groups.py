"""Verdicts that agree with what is shown, groups whose names last, and an event for each change."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.integration.entities.rig import Rig
from tests.unit.entities.builders import persons
from towpath.db.engine import Database
from towpath.entities.service import deciding
from towpath.entities.service.candidates import find_candidates
from towpath.entities.service.matching import ModelCache, score_candidates, store_scores
from towpath.entities.store.indexes import find_index
from towpath.entities.store.records import sample_stored

ROWAN = {"first": "Rowan", "last": "Ellsworth"}
NAMES = {"first": "string", "last": "string", "dob": "date", "phone": "string", "city": "string"}


def assert_explained(pairs: list[Any], threshold: float) -> None:
    """Every similarity is what its parts add up to, and no verdict is true below the threshold."""
    for pair in pairs:
        why = pair.explanation
        total = why.prior + sum(part.contribution for part in [*why.matched, *why.conflicting])
        assert total == pytest.approx(math.log2(pair.similarity / (1 - pair.similarity)), abs=1e-3)
        if pair.duplicate:
            assert pair.similarity >= threshold, pair


def twins(*ids: Any, **more: Any) -> list[dict[str, Any]]:
    """Entities that are the same but for their ids."""
    return [{"id": one, "first": "Maria", "last": "Fontaine", "dob": "1980-02-03", **more} for one in ids]


async def test_no_verdict_is_true_below_the_threshold_and_all_of_them_add_up(database: Database) -> None:
    rig = await Rig(database).make()
    await rig.upsert_all(persons(150, copies=0.5, seed=5))

    pairs = await rig.pairs()

    assert sum(pair.duplicate for pair in pairs) > 40
    assert_explained(pairs, 0.85)


async def test_two_people_with_other_birthdays_and_phones_are_no_duplicates_by_way_of_a_third(
    database: Database,
) -> None:
    rig = await Rig(database).make(NAMES)
    await rig.upsert_all(persons_of_names(80))
    await rig.reindex()

    await rig.upsert({"id": "A1", **ROWAN, "dob": "1950-02-03", "phone": "(212) 555-0101"})
    await rig.upsert({"id": "A2", **ROWAN})
    await rig.upsert({"id": "A3", **ROWAN, "dob": "1991-11-27", "phone": "(646) 555-0909"})

    pairs = await rig.pairs()
    assert_explained(pairs, 0.85)
    between = [pair for pair in pairs if {pair.entity_id, pair.duplicate_id} == {"A1", "A3"}]
    assert not any(pair.duplicate for pair in between)


def persons_of_names(count: int) -> list[dict[str, Any]]:
    """Different people, and a copy of each fourth."""
    rows = [
        {
            "id": number,
            "first": f"na{number % 23}ril",
            "last": f"ver{number}ton",
            "dob": f"19{10 + number % 80}-03-07",
            "phone": f"555 {1000 + 7 * number}",
            "city": f"town {number % 9}",
        }
        for number in range(count)
    ]
    return rows + [{**row, "id": f"copy {row['id']}"} for row in rows[::4]]


async def test_a_turned_pair_is_judged_the_same_again_and_goes_back_with_its_group(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    close = {"first": "Maria", "last": "Fontaine"}
    await rig.upsert_all([*twins("a", "b", city="oslo"), {"id": "c", **close, "city": "oslo"}])
    judged = {(pair.entity_id, pair.duplicate_id): pair for pair in await rig.pairs()}

    await rig.upsert_all(twins("z", city="bergen"))
    await rig.entities.remove(rig.organization, rig.name, "z")

    again = {(pair.entity_id, pair.duplicate_id): pair for pair in await rig.pairs()}
    assert again == judged
    assert_explained(list(again.values()), 0.85)


async def test_a_group_keeps_its_name_and_every_change_is_an_event(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    a, b, c, d = twins("a", "b", "c", "d", city="oslo")
    await rig.upsert_all([a, b])
    (name,) = await rig.groups()

    await rig.upsert_all([c, d])
    await rig.upsert(a)
    for gone in ("a", "b"):
        await rig.entities.remove(rig.organization, rig.name, gone)

    assert await rig.groups() == {name: ["c", "d"]}
    await rig.entities.remove(rig.organization, rig.name, "d")
    assert await rig.groups() == {}
    events = await rig.events()
    assert [(event.seq, event.type, event.cause) for event in events] == [
        (1, "group.created", "upsert"),
        (2, "group.extended", "upsert"),
        (3, "group.extended", "upsert"),
        (4, "group.shrunk", "delete"),
        (5, "group.shrunk", "delete"),
        (6, "group.dissolved", "delete"),
    ]
    assert len({event.group_uid for event in events}) == 1
    assert events[0].data["after"] == {"count": 2, "entityIds": events[0].data["joined"]["entityIds"]}
    assert events[3].data["left"] == {"count": 1, "entityIds": ["a"]}
    assert events[5].data["after"] == {"count": 0, "entityIds": []}


async def test_a_changed_entity_leaves_its_group_and_takes_its_place_again(database: Database) -> None:
    rig = await Rig(database).make(NAMES)
    a, b, c = twins("a", "b", "c", city="oslo")
    await rig.upsert_all([a, b, c])
    before = await rig.groups()

    await rig.upsert({"id": "b", "first": "Olaf", "last": "Brekke", "dob": "1933-01-09", "city": "rome"})
    assert list(await rig.groups()) == list(before)
    await rig.upsert(b)

    assert await rig.groups() == before
    assert [event.type for event in await rig.events()][-2:] == ["group.shrunk", "group.extended"]


async def test_a_reindex_keeps_names_and_tells_only_what_has_changed(database: Database) -> None:
    rig = await Rig(database).make()
    people = persons(120, copies=0.5, seed=8)
    await rig.upsert_all(people)
    for person in people[:20]:
        # So that names are not those of the smallest members any more.
        await rig.entities.remove(rig.organization, rig.name, person["id"])
    await rig.upsert_all(people[:20])
    before, seen = await rig.groups(), len(await rig.events())

    ref = await rig.reindex()

    after = await rig.groups()
    for name, members in after.items():
        held = {other for other, of_old in before.items() if len(set(of_old) & set(members)) > 1}
        assert not held or name in held
    events = (await rig.events())[seen:]
    assert {event.cause for event in events} <= {"reindex"}
    assert all(event.job_id == ref.job_id for event in events)
    unchanged = {name for name in before if before[name] == after.get(name)}
    assert len(unchanged) > 30
    assert not unchanged & {f"g_{event.group_uid & (1 << 64) - 1:016x}" for event in events}


async def test_who_was_left_alone_by_a_write_that_decided_nothing_is_found(
    database: Database, neighbour: Database
) -> None:
    rig = await Rig(database).make(NAMES)
    a, b, c = twins("a", "b", "c", city="oslo")
    await rig.upsert_all([a, b, c])
    async with database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s, index_no) FROM entity_indexes", (0x7061,))
        other = Rig(neighbour, organization=rig.organization)
        # Somebody decides all of the index meanwhile.
        for gone in ("b", "c"):
            await other.entities.remove(rig.organization, rig.name, gone)
    assert len(await rig.groups()) == 1

    await rig.upsert({"id": "z", "first": "Olaf", "last": "Brekke"})
    await rig.upsert({**a, "city": "rome"})

    assert await rig.groups() == {}
    assert (await rig.events())[-1].data["left"]["count"] == 3


async def test_a_decision_in_parts_is_that_of_the_whole(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    people = persons(150, copies=0.5, seed=7)

    async def decide(size: int) -> tuple[dict[str, list[str]], list[Any], list[str]]:
        monkeypatch.setattr(deciding, "ENTITIES_A_PART", size)
        rig = await Rig(database).make()
        await rig.fill(people)
        async with database.transaction() as connection:
            index = await find_index(connection, rig.organization, rig.name)
            stored = await sample_stored(connection, index, limit=len(people))
            model = await ModelCache().get(connection, index)
            candidates = await find_candidates(connection, index, stored)
            await store_scores(connection, index, await score_candidates(connection, index, model, stored, candidates))
            await deciding.decide_all(connection, index, model)
        for person in people[:40:10]:
            await rig.entities.remove(rig.organization, rig.name, str(person["id"]))
        async with database.transaction() as connection:
            await deciding.decide_all(connection, index, model)
        pairs = [(pair.entity_id, pair.duplicate_id, pair.similarity, pair.duplicate) for pair in await rig.pairs()]
        events = [f"{event.group_uid} {event.type} {json.dumps(event.data)}" for event in await rig.events()]
        return await rig.groups(), pairs, sorted(events)

    whole = await decide(1_000)

    assert len(whole[0]) > 20
    assert await decide(10) == whole
