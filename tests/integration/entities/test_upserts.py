"""Single upserts that wait at the same time: written in one transaction, each with an answer of its own."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import orjson
import pytest
from sqlalchemy.exc import OperationalError

from towpath.core.convoys import Convoys
from towpath.core.errors import BadInputError, ConflictError, NotFoundError
from towpath.db.engine import Connection, Database, is_away
from towpath.entities.domain.matching import default_model
from towpath.entities.domain.parsing import parse_entity
from towpath.entities.service.matching import ModelCache
from towpath.entities.service.upserts import Upsert, UpsertResult, UpsertService
from towpath.entities.store.groups import page_groups
from towpath.entities.store.indexes import create_index, find_index, save_model
from towpath.entities.store.pairs import page_pairs
from towpath.entities.types import FieldType, IndexConfig, IndexField

CONFIG = IndexConfig(
    index_name="people",
    fields=[IndexField(name="name", type=FieldType.STRING), IndexField(name="town", type=FieldType.STRING)],
)
PEOPLE = [
    {"id": number, "name": f"maria fontaine {number % 7} de la cruz", "town": ("oslo", "graz", "turin")[number % 3]}
    for number in range(30)
]


async def nothing_before(connection: Connection) -> dict[str, Any] | None:
    return None


async def the_answer(connection: Connection, result: UpsertResult) -> dict[str, Any]:
    """What is answered, and in which transaction."""
    cursor = await connection.execute("SELECT pg_current_xact_id()::text")
    (number,) = await cursor.fetchone() or ("",)
    return {**result.answer, "transaction": number}


def upsert(entity: dict[str, Any], **more: Any) -> Upsert[dict[str, Any]]:
    raw = orjson.dumps(entity)
    wanted = {"limit": 10, "explain": False, "before": nothing_before, "after": the_answer, **more}
    return Upsert(entity=parse_entity(raw), raw=raw, **wanted)


async def make(database: Database) -> str:
    organization = uuid4().hex
    async with database.transaction() as connection:
        index = await create_index(connection, organization, CONFIG)
        assert index is not None
        # With a model of its own: without one, what a pair says depends on how many entities there are by then.
        await save_model(connection, index.index_no, default_model(CONFIG).model_dump(mode="json"), entities=1_000)
    return organization


async def what_is_stored(database: Database, organization: str) -> tuple[int, Any, Any]:
    """The entities, the pairs and the groups without their names, which remember in which order they came to be."""
    async with database.transaction() as connection:
        index = await find_index(connection, organization, "people")
        pairs, _ = await page_pairs(
            connection, index.index_no, minimum=0.0, duplicates_only=False, limit=1000, offset=0
        )  # fmt: skip
        groups, _ = await page_groups(connection, index.index_no, limit=1000, offset=0)
    return index.entities, sorted(pairs), sorted(members for _, members in groups)


async def test_together_and_one_after_the_other_give_the_same_pairs_and_groups(database: Database) -> None:
    together, alone = await make(database), await make(database)
    service = UpsertService(database, ModelCache(), Convoys())

    answers = await asyncio.gather(*(service.write(together, "people", upsert(one)) for one in PEOPLE))
    for one in PEOPLE:
        await service.write(alone, "people", upsert(one))

    in_one, in_many = await what_is_stored(database, together), await what_is_stored(database, alone)
    assert in_one == in_many
    assert all(in_one)
    assert len({answer["transaction"] for answer in answers}) == 1
    assert [answer["id"] for answer in answers] == list(range(30))
    assert all(answer["duplicates"] for answer in answers)


async def test_what_is_wrong_with_one_is_told_to_it_alone(database: Database) -> None:
    organization = await make(database)
    service = UpsertService(database, ModelCache(), Convoys())

    async def taken(connection: Connection) -> dict[str, Any] | None:
        raise ConflictError("still running")

    async def answered(connection: Connection) -> dict[str, Any] | None:
        return {"id": "answered before"}

    first, bad, running, known, last = await asyncio.gather(
        service.write(organization, "people", upsert(PEOPLE[0])),
        service.write(organization, "people", upsert({"id": "x", "colour": "red"})),
        service.write(organization, "people", upsert(PEOPLE[1], before=taken)),
        service.write(organization, "people", upsert(PEOPLE[2], before=answered)),
        service.write(organization, "people", upsert(PEOPLE[3], limit=1, explain=True)),
        return_exceptions=True,
    )

    assert isinstance(first, dict)
    assert first["id"] == 0
    assert isinstance(bad, BadInputError)
    assert isinstance(running, ConflictError)
    assert known == {"id": "answered before"}
    assert isinstance(last, dict)
    assert len(last["duplicates"]) <= 1
    assert (await what_is_stored(database, organization))[0] == 2


async def test_two_versions_of_one_entity_are_written_in_their_order(database: Database) -> None:
    organization = await make(database)
    service = UpsertService(database, ModelCache(), Convoys())
    versions = [{**PEOPLE[0], "name": f"version {number}"} for number in range(3)]

    await asyncio.gather(*(service.write(organization, "people", upsert(one)) for one in [*versions, PEOPLE[1]]))

    async with database.transaction() as connection:
        index = await find_index(connection, organization, "people")
        cursor = await connection.execute(
            "SELECT body FROM entities WHERE index_no = %s AND id_json = '0'", (index.index_no,)
        )
        (body,) = await cursor.fetchone() or ("",)
    assert orjson.loads(body)["name"] == "version 2"
    assert index.entities == 2


async def test_requests_of_one_mark_never_share_a_transaction(database: Database) -> None:
    organization = await make(database)
    service = UpsertService(database, ModelCache(), Convoys())

    answers = await asyncio.gather(
        *(service.write(organization, "people", upsert(one, mark="key")) for one in PEOPLE[:3]),
        *(service.write(organization, "people", upsert(one)) for one in PEOPLE[3:6]),
    )

    transactions = [answer["transaction"] for answer in answers]
    assert len(set(transactions[:3])) == 3
    assert set(transactions[3:]) == {transactions[0]}


async def test_where_the_database_is_away_nobody_waits_for_it_alone() -> None:
    gone = Database("postgresql://nobody@127.0.0.1:1/nothing")
    service = UpsertService(gone, ModelCache(), Convoys())

    answers = await asyncio.gather(
        *(service.write("acme", "people", upsert(one)) for one in PEOPLE[:3]), return_exceptions=True
    )

    assert all(isinstance(answer, OperationalError) and is_away(answer.orig) for answer in answers)
    assert len({id(answer) for answer in answers}) == 1
    await gone.close()


async def test_without_an_index_nobody_is_written(database: Database) -> None:
    service = UpsertService(database, ModelCache(), Convoys())

    answers = await asyncio.gather(
        *(service.write(uuid4().hex, "people", upsert(one)) for one in PEOPLE[:3]), return_exceptions=True
    )

    assert all(isinstance(answer, NotFoundError) for answer in answers)


@pytest.mark.parametrize("breaks", [1, 2])
async def test_where_the_end_of_one_breaks_the_others_are_written_without_it(database: Database, breaks: int) -> None:
    organization = await make(database)
    service = UpsertService(database, ModelCache(), Convoys())

    async def broken(connection: Connection, result: UpsertResult) -> dict[str, Any]:
        await connection.execute("SELECT 1 / 0")
        return {}

    answers = await asyncio.gather(
        *(
            service.write(
                organization, "people", upsert(one, after=broken if place < breaks else the_answer)
            )
            for place, one in enumerate(PEOPLE[:5])
        ),
        return_exceptions=True,
    )  # fmt: skip

    assert [isinstance(answer, dict) for answer in answers] == [place >= breaks for place in range(5)]
    assert (await what_is_stored(database, organization))[0] == 5 - breaks
