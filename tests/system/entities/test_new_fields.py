"""Entities that bring fields which the `default` index has never seen, at every moment of its life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest_asyncio

from tests.support.builders import FIELDS, Organization, organization, persons
from towpath.db.engine import Database
from towpath.entities.domain.matching import default_model, fit_model, fit_values, score_pairs
from towpath.entities.domain.parsing import ScalarFields
from towpath.entities.service.dynamic import index_for_write
from towpath.entities.types import FieldType, IndexConfig, IndexField
from towpath.runtime.embedded import EmbeddedStack

DEFAULT = "default"


def with_only(people: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: person[name] for name in ("id", *names)} for person in people]


def richer(people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**person, "email": f"{person['name'].replace(' ', '.')}@example.com"} for person in people]


def field_names(org: Organization) -> list[str]:
    return [field["name"] for field in org.call("GET", f"/v1/indexes/{DEFAULT}")["fields"]]


def duplicates(org: Organization) -> set[tuple[str, str]]:
    return {pair[:2] for pair in org.pairs(DEFAULT) if pair[3]}


@pytest_asyncio.fixture
async def second(database_url: str) -> AsyncIterator[Database]:
    """A handle that fails where it would wait for another transaction's lock."""
    handle = Database(f"{database_url}?options=-c%20lock_timeout%3D2s")
    yield handle
    await handle.close()


def test_a_batch_with_new_fields_completes_after_a_smaller_one(org: Organization) -> None:
    people = persons(500)

    org.done(with_only(people[:200], "name", "born"), DEFAULT)
    org.done(richer(people[200:]), DEFAULT)

    assert field_names(org) == ["born", "name", "city", "email"]
    index = org.call("GET", f"/v1/indexes/{DEFAULT}")
    assert (index["entityCount"], index["modelVersion"]) == (500, 2)
    assert ("202", "203") in duplicates(org) or ("203", "204") in duplicates(org)


def test_fields_that_came_by_singles_are_no_trouble_to_the_batch_that_trains(org: Organization) -> None:
    people = persons(400)
    for person in with_only(people[:20], "name"):
        org.call("POST", "/v1/entity", json=person)
    for person in richer(people[20:40]):
        org.call("POST", "/v1/entity", json=person)

    org.done(with_only(people[40:], "name", "city"), DEFAULT)

    assert field_names(org) == ["name", "born", "city", "email"]
    assert org.call("GET", f"/v1/indexes/{DEFAULT}")["modelVersion"] == 1


def test_a_single_with_a_new_field_is_compared_with_those_that_lack_it(org: Organization) -> None:
    org.call("POST", "/v1/entity", json={"id": 1, "name": "Orion desk lamp black"})

    answer = org.call("POST", "/v1/entity", json={"id": 2, "name": "Orion desk lamp black", "watts": 9})

    assert [one["id"] for one in answer["duplicates"]] == [1]


def test_after_the_training_a_new_field_speaks_at_once(org: Organization) -> None:
    people = persons(200)
    org.done(with_only(people, "name"), DEFAULT)
    first = {"id": "a", "name": people[0]["name"], "email": "one.of@example.com"}
    org.call("POST", "/v1/entity", json=first)

    answer = org.call("POST", "/v1/entity?explain=true", json={**first, "id": "b"})

    found = next(one for one in answer["duplicates"] if one["id"] == "a")
    assert {part["field"] for part in found["explanation"]["matched"]} == {"name", "email"}


def test_fields_that_come_twice_and_between_batches_end_in_the_same_index(org: Organization) -> None:
    people = persons(600)

    org.done(with_only(people[:150], "name"), DEFAULT)
    org.done(with_only(people[150:350], "name", "city"), DEFAULT)
    org.call("POST", "/v1/entity", json={"id": "odd", "name": people[0]["name"], "colour": "green", "level": 3})
    org.done(richer(people[350:]), DEFAULT)

    assert field_names(org) == ["name", "city", "colour", "level", "born", "email"]
    assert org.call("GET", f"/v1/indexes/{DEFAULT}")["entityCount"] == 601


def test_fields_that_come_during_a_batch_do_not_hinder_it(org: Organization) -> None:
    people = persons(900)
    org.done(with_only(people[:100], "name"), DEFAULT)

    job_id = org.submit(with_only(people[100:], "name", "city"), DEFAULT)
    for number in range(25):
        org.call("POST", "/v1/entity", json={"id": f"late-{number}", "name": people[0]["name"], f"field{number:02}": 1})
    other = org.submit(richer(people[100:300]), DEFAULT)

    for one in (job_id, other):
        job = org.until(one)
        assert (job["state"], job["progress"]["failed"]) == ("COMPLETED", 0), job
    assert set(field_names(org)) == {"name", "city", "born", "email", *(f"field{number:02}" for number in range(25))}


def test_many_that_bring_new_fields_at_once_all_succeed(org: Organization) -> None:
    org.call("POST", "/v1/entity", json={"id": 0, "name": "first"})
    barrier = Barrier(8)

    def bring(number: int) -> list[int]:
        told = []
        for turn in range(3):
            barrier.wait()
            entity = {"id": f"{turn}-{number}", "name": "first", f"field{turn}{number}": "x"}
            told.append(org.http.post("/v1/entity", json=entity).status_code)
        return told

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(bring, range(8)))

    assert answers == [[200, 200, 200]] * 8
    assert len(field_names(org)) == 25


async def test_who_brings_a_field_waits_for_no_other_writer(database: Database, second: Database) -> None:
    def fields(**entity: Any) -> ScalarFields:
        seen = ScalarFields()
        seen.see(entity)
        return seen

    async with database.transaction() as one:
        await index_for_write(one, "acme", DEFAULT, fields(name="x"))

    async with database.transaction() as one:
        await index_for_write(one, "acme", DEFAULT, fields(name="x"))
        async with second.transaction() as two:
            await index_for_write(two, "acme", DEFAULT, fields(name="x", city="y"))
        index = await index_for_write(one, "acme", DEFAULT, fields(name="x", born="z"))

    assert [field.name for field in index.config.fields] == ["name", "city", "born"]


def test_a_reindex_between_two_batches_keeps_all_fields(org: Organization, system: EmbeddedStack) -> None:
    people = persons(600)
    org.done(with_only(people[:200], "name", "born"), DEFAULT)
    org.done(richer(people[200:300]), DEFAULT)

    # The same fields in another order and with other types: every row gets another shape.
    body = {"indexName": DEFAULT, "fields": [*FIELDS, {"name": "email", "type": "string"}]}
    job_id = org.call("POST", "/v1/indexes", json=body)["reindexJobId"]
    org.call("POST", "/v1/entity", json={"id": "late", "name": people[0]["name"], "nick": "lou", "city": "oslo"})
    assert org.until(job_id)["state"] == "COMPLETED"
    names = [*(field["name"] for field in body["fields"]), "nick"]
    assert field_names(org) == names
    org.done([{**person, "size": number} for number, person in enumerate(richer(people[300:]))], DEFAULT)

    assert field_names(org) == [*names, "size"]
    fresh = organization(system.api_url)
    types = {"name": "text", "city": "string", "born": "date", "email": "string", "nick": "text", "size": "number"}
    fresh.call(
        "POST", "/v1/indexes", 201,
        json={"indexName": DEFAULT, "fields": [{"name": name, "type": types[name]} for name in [*names, "size"]]},
    )  # fmt: skip
    fresh.done(
        [
            *with_only(people[:200], "name", "born"), *richer(people[200:300]),
            {"id": "late", "name": people[0]["name"], "nick": "lou", "city": "oslo"},
            *({**person, "size": number} for number, person in enumerate(richer(people[300:]))),
        ],
        DEFAULT,
    )  # fmt: skip
    common = len(duplicates(org) & duplicates(fresh))
    assert common > 0.95 * max(len(duplicates(org)), len(duplicates(fresh)))


def test_a_field_that_is_dropped_by_a_reindex_leaves_rows_that_fit(org: Organization) -> None:
    people = persons(400)
    org.done(people[:200], DEFAULT)

    body = {"indexName": DEFAULT, "fields": FIELDS[1:2]}
    job_id = org.call("POST", "/v1/indexes", json=body)["reindexJobId"]

    assert org.until(job_id)["state"] == "COMPLETED"
    assert field_names(org) == ["city"]
    org.done(people[200:], DEFAULT)
    assert field_names(org) == ["city", "born", "name"]


def test_an_emptied_index_forgets_what_it_had_learnt_of_other_fields(org: Organization) -> None:
    number, text = {"name": "watts", "type": "number"}, {"name": "name", "type": "text"}
    org.call("POST", "/v1/indexes", 201, json={"indexName": "lamps", "fields": [number, text]})
    lamps = [{"id": person["id"], "name": person["name"], "watts": person["id"] // 3} for person in persons(60)]
    org.done(lamps, "lamps")
    assert org.call("GET", "/v1/indexes/lamps")["modelVersion"] == 1
    for lamp in lamps:
        org.call("DELETE", "/v1/entity", 204, params={"indexName": "lamps", "entityId": str(lamp["id"])})

    # Where numbers were, words are now.
    org.call("POST", "/v1/indexes", json={"indexName": "lamps", "fields": [text, number]})

    for lamp in lamps[:3]:
        answer = org.call("POST", "/v1/entity", params={"indexName": "lamps"}, json=lamp)
    assert [one["id"] for one in answer["duplicates"]] == [1]
    org.done(lamps, "lamps")


def test_values_and_models_take_the_shape_of_a_configuration() -> None:
    fields = [IndexField(name=name, type=FieldType.TEXT) for name in ("name", "city", "email")]
    config = IndexConfig(index_name="x", fields=fields)
    narrow = config.model_copy(update={"fields": fields[:1]})
    trained = default_model(narrow).model_copy(update={"trained_on": 7, "prior_bits": -3.0})

    assert fit_values(["a"], config) == ("a", None, None)
    assert fit_values(["a", None, "c"], narrow) == ("a",)
    wide = fit_model(trained, config)
    assert [field.name for field in wide.fields] == ["name", "city", "email"]
    assert (wide.trained_on, wide.prior_bits, len(wide.level_weights)) == (7, -3.0, 3)
    assert fit_model(wide, narrow) == trained
    rows = [fit_values(row, config) for row in (["oslo lamp"], ["oslo lamp", "graz"])]
    assert (
        score_pairs(wide, rows[:1], rows[1:]).similarity[0]
        == score_pairs(trained, [rows[0][:1]], [rows[1][:1]]).similarity[0]
    )


def test_fields_beyond_those_that_are_compared_are_told(org: Organization) -> None:
    entity = {"id": 1, "name": "Orion", **{f"field {n:03}": f"word {n}" for n in range(120)}}

    single = org.http.post("/v1/entity", json=entity)
    job = org.call("POST", "/v1/entities/batch", 202, json=[entity], headers={"Prefer": "respond-async"})["jobId"]
    warnings = org.until(job)["warnings"]

    assert single.status_code == 200
    assert "21 more are only stored" in single.headers["Warning"]
    assert [one["code"] for one in warnings] == ["FIELDS_LEFT_OUT"]
    assert "21 more are only stored: field 1" in warnings[0]["message"]
