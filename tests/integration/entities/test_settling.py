"""What an index becomes depends on its content alone, once it is left alone: not on the order of arrival."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from math import comb
from typing import Any
from uuid import uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from tests.integration.entities.rig import Rig
from tests.integration.entities.test_groups import NAMES, twins
from tests.unit.entities.builders import persons
from towpath.activities.entities import IndexCareActivities
from towpath.core.errors import ConflictError, ErrorCode
from towpath.db.engine import Database
from towpath.entities.domain.matching.calibration import MIN_ENTITIES
from towpath.entities.quality_types import AdviceCode
from towpath.entities.service.care import IndexCare
from towpath.entities.service.indexes import IndexService
from towpath.entities.service.matching import ModelCache
from towpath.entities.service.quality import QualityService
from towpath.entities.store.indexes import find_index
from towpath.entities.types import ENTITY_SETTLE, IndexBody
from towpath.jobs.service.runs import JobRuns
from towpath.jobs.store import jobs as job_store
from towpath.jobs.types import Finish, JobError, JobRef, JobStart, JobState

PEOPLE = persons(110, copies=0.4, seed=11)
ORDERS = 20


def care_of(database: Database, seconds: int = 60) -> IndexCare:
    """What the housekeeping does."""
    return IndexCare(database, ModelCache(), window=2, settle_seconds=seconds)


async def let_pass(rig: Rig, seconds: int) -> None:
    """Make the last write as old as if so many seconds had passed."""
    async with rig.database.transaction() as connection:
        await connection.execute(
            "UPDATE entity_index_counts SET changed_at = changed_at - make_interval(secs => %s)", (seconds,)
        )


async def settle(rig: Rig) -> list[JobStart]:
    """Let the housekeeping look once, a while after the last write, and run the job of this index."""
    await let_pass(rig, 120)
    starts = await care_of(rig.database).settle_changed()
    for start in starts:
        if start.input.ref.organization == rig.organization:
            await rig.run_reindex(start.input.ref)
            await end(rig, start.input.ref)
    return starts


async def failures(rig: Rig) -> list[str]:
    """What the quality report tells of a settling that has failed."""
    report = await QualityService(rig.database, ModelCache()).report(rig.organization, rig.name)
    return [one.message for one in report.advice if one.code is AdviceCode.SETTLING_FAILED]


async def test_a_failed_settling_is_told_and_not_tried_again_at_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    rig = await Rig(database).make()
    await rig.upsert_all(PEOPLE[:60])
    await let_pass(rig, 120)
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO organizations (id, name) VALUES (%s, %s)", (rig.organization, rig.organization)
        )
        await connection.execute(
            "INSERT INTO webhooks (id, organization, url, secret, events)"
            " VALUES (%s, %s, 'sealed', 'sealed', '{job.complete,job.failed}')",
            (uuid4(), rig.organization),
        )
    (start,) = await care_of(database).settle_changed()
    failed = Finish(
        ref=start.input.ref, state=JobState.FAILED, error=JobError(code=ErrorCode.INTERNAL, message="the disk is full")
    )

    outcome = await JobRuns(database).finish(failed)

    assert (outcome.state, outcome.deliveries) == (JobState.FAILED, [])
    assert "the disk is full" in caplog.text
    (message,) = await failures(rig)
    assert "the disk is full" in message
    assert str(start.input.ref.job_id) in message
    await let_pass(rig, 600)
    assert await care_of(database).settle_changed() == []
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE jobs SET completed_at = completed_at - interval '2 hours' WHERE id = %s", (start.input.ref.job_id,)
        )
    assert len(await settle(rig)) == 1
    assert await failures(rig) == []


async def end(rig: Rig, ref: JobRef) -> None:
    """Note that a job has ended."""
    async with rig.database.transaction() as connection:
        await connection.execute(
            "UPDATE jobs SET state = 'COMPLETED', completed_at = now() WHERE id = %s", (ref.job_id,)
        )


def adjusted_rand(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]], everybody: Sequence[str]) -> float:
    """The adjusted Rand index of two partitions; who is in no group stands alone."""
    labels = []
    for groups in (first, second):
        label = {one: f"alone {one}" for one in everybody}
        label |= {one: f"group {place}" for place, members in enumerate(groups) for one in members}
        labels.append([label[one] for one in everybody])
    joint, rows, columns = (Counter(zip(*labels, strict=True)), Counter(labels[0]), Counter(labels[1]))
    together, left, right = (sum(comb(count, 2) for count in of.values()) for of in (joint, rows, columns))
    expected = left * right / comb(len(everybody), 2)
    return (together - expected) / ((left + right) / 2 - expected)


async def test_twenty_orders_of_arrival_and_one_batch_end_in_the_same_groups(database: Database) -> None:
    everybody = [str(person["id"]) for person in PEOPLE]
    batch = await Rig(database, name="batch").make()
    await batch.fill(PEOPLE)
    await batch.reindex()
    expected = await batch.members()
    assert len(expected) > 30

    settled, judged = [], []
    for seed in range(ORDERS):
        rig = await Rig(database).make()
        await rig.upsert_all(random.Random(seed).sample(PEOPLE, len(PEOPLE)))
        assert adjusted_rand(await rig.members(), expected, everybody) >= 0.999
        assert len(await settle(rig)) == 1
        settled.append(await rig.members())
        judged.append(sorted((pair.entity_id, pair.duplicate_id, pair.similarity) for pair in await rig.pairs()))

    assert all(groups == expected for groups in settled)
    assert all(pairs == judged[0] for pairs in judged)


async def test_an_index_that_was_fed_by_single_writes_is_trained_when_it_is_left_alone(database: Database) -> None:
    rig = await Rig(database).make()
    await rig.upsert_all(PEOPLE[:120])

    assert await care_of(database).settle_changed() == []
    (start,) = await settle(rig)

    async with database.transaction() as connection:
        index = await find_index(connection, rig.organization, rig.name)
        job = await job_store.lock_job(connection, rig.organization, start.input.ref.job_id)
    assert (index.model_version, index.entities) == (1, 120)
    assert (job.kind, job.params["settles"]) == (ENTITY_SETTLE, True)
    assert {event.cause for event in await rig.events()} <= {"upsert", "settle"}
    # It is what it will be: nothing is left to do.
    await let_pass(rig, 100_000)
    assert await care_of(database).settle_changed() == []


async def prior_of(rig: Rig) -> tuple[int, float]:
    """The version of the model that an index matches by, and its prior."""
    async with rig.database.transaction() as connection:
        index = await find_index(connection, rig.organization, rig.name)
        return index.model_version, (await ModelCache().get(connection, index)).prior_bits


@pytest.mark.parametrize("count", [56, 64])
async def test_settling_a_small_index_with_five_labels_raises_no_prior(database: Database, count: int) -> None:
    people = persons(count, copies=0.4, seed=3)[:count]
    twice = [(row["id"], f"b{row['person']}", True) for row in people if row["id"] == f"a{row['person']}"]
    known = {row["id"] for row in people}
    twice = [label for label in twice if label[1] in known][:3]
    labels = [*twice, ("a0", "a1", False), ("a2", "a3", False)]
    rigs = [await Rig(database).make(), await Rig(database).make()]
    for rig in rigs:
        await rig.upsert_all(people)
    first = (await prior_of(rigs[0]))[1]
    await rigs[1].label(*labels)

    for rig in rigs:
        await settle(rig)

    without, with_labels = [await prior_of(rig) for rig in rigs]
    # So few labels are no random draw: they hold for their pairs, and the line is found from the data as without them.
    assert with_labels == without
    # From few entities no line is found: it stays where it was. Of more, it is lowered freely, and never raised.
    assert without[0] == (0 if count < MIN_ENTITIES else 1)
    assert without[1] <= first


async def test_small_indexes_settle_at_any_change_and_nobody_does_while_a_job_works_on_it(database: Database) -> None:
    rig = await Rig(database).make()
    await rig.upsert_all(PEOPLE[:60])
    await settle(rig)
    await rig.upsert({**PEOPLE[0], "income": 17})
    await let_pass(rig, 120)

    (start,) = await care_of(database).settle_changed()

    assert await care_of(database).settle_changed() == []
    assert await care_of(database, seconds=0).settle_changed() == []
    await rig.run_reindex(start.input.ref)
    await end(rig, start.input.ref)


async def test_a_change_that_somebody_asks_for_goes_before_settling(database: Database) -> None:
    rig = await Rig(database).make()
    await rig.upsert_all(PEOPLE[:60])
    await let_pass(rig, 120)
    (start,) = await care_of(database).settle_changed()
    indexes = IndexService(database, window=2)
    async with database.transaction() as connection:
        config = (await find_index(connection, rig.organization, rig.name)).config
    body = config.model_dump(by_alias=True)

    async def put(**changes: Any) -> Any:
        async with database.transaction() as connection:
            return await indexes.put(connection, rig.caller, IndexBody.model_validate({**body, **changes}), max_jobs=0)

    assert (await put()).job is None
    asked = (await put(duplicateThreshold=0.9)).job

    async with database.transaction() as connection:
        stopped = await job_store.lock_job(connection, rig.organization, start.input.ref.job_id)
    assert stopped.state is JobState.CANCELLED
    with pytest.raises(ConflictError):
        await put(duplicateThreshold=0.8)
    ref = JobRef(organization=rig.organization, job_id=asked.id, kind=asked.kind, attempt=asked.attempt)
    await rig.run_reindex(ref)
    await end(rig, ref)


async def test_what_was_marked_while_somebody_decided_is_worked_off_by_the_housekeeping(
    database: Database, neighbour: Database
) -> None:
    rig = await Rig(database).make(NAMES)
    async with neighbour.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s, index_no) FROM entity_indexes", (0x7061,))
        await rig.upsert_all(twins("a", "b", "c", city="oslo"))
    assert await rig.groups() == {}

    await ActivityEnvironment().run(IndexCareActivities(care_of(database, seconds=0)).tend_groups)

    assert await rig.members() == [["a", "b", "c"]]
    assert [event.cause for event in await rig.events()] == ["upsert"]
    assert await care_of(database).decide_left_over() == 0
