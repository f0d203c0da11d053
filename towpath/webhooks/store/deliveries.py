"""Deliveries: queued with the event that they report, attempted by their workflow, read by the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import class_row
from psycopg.types.json import Json

from towpath.core.errors import ConflictError, NotFoundError
from towpath.core.json_values import parse_json, write_json
from towpath.core.texts import format_utc
from towpath.db.engine import Connection, Database
from towpath.jobs.registry import job_type
from towpath.jobs.rows import plain_warnings
from towpath.jobs.store.tables import JobRow
from towpath.jobs.store.visibility import SEEN, seen_by
from towpath.jobs.types import DeliveryRef, JobRef, JobState
from towpath.webhooks.types import (
    END_EVENTS,
    JOB_EVENTS,
    SYNONYMS,
    Attempt,
    AttemptOutcome,
    AttemptTask,
    DeliveryState,
    WebhookEvent,
)

COLUMNS = (
    "id, organization, job_id, webhook_id, url, event, event_id, body, state, run, tries AS attempts, next_attempt_at,"
    " created_at, once"
)
DUE_SECONDS = 60


@dataclass(slots=True)
class Delivery:
    """One event to one endpoint; `attempts` are as the log has them, `run` counts how often it was sent anew."""

    id: UUID
    organization: str
    job_id: UUID | None
    webhook_id: UUID | None
    url: str
    event: WebhookEvent
    event_id: str
    body: str
    state: DeliveryState
    run: int
    attempts: list[dict[str, Any]]
    next_attempt_at: datetime | None
    created_at: datetime
    once: bool

    @property
    def ref(self) -> DeliveryRef:
        """Return the present run."""
        return DeliveryRef(organization=self.organization, delivery_id=self.id, run=self.run)


@dataclass(frozen=True, slots=True)
class QueuedEndpoint:
    """An endpoint that an event is queued for.

    Attributes:
        webhook_id: The registered one; None: that of the job itself.
        url: Sealed.
        metadata: The client's own data, as JSON; the job's own endpoint alone has any.
    """

    webhook_id: UUID | None
    url: str
    metadata: str | None


@dataclass(frozen=True, slots=True)
class PendingAttempt:
    """A delivery with the sealed secrets that are valid now, the newest first."""

    delivery: Delivery
    secrets: list[bytes]


async def queue_deliveries(connection: Connection, job: JobRow, error: dict[str, Any] | None) -> list[DeliveryRef]:
    """Queue the deliveries of a job's end, one per endpoint, in the transaction that ends it; none of upkeep."""
    if job_type(job.kind).is_upkeep:
        return []
    event = END_EVENTS[job.state]
    names = [event, *(synonym for synonym, meaning in SYNONYMS.items() if meaning is event)]
    endpoints = await _find_endpoints(connection, job, names)
    if not endpoints:
        return []
    ended = datetime.now(UTC)
    body = {
        **_body(job, event, _own_metadata(endpoints)),
        "completed_at": format_utc(ended),
        "warnings": plain_warnings(job),
        **await _own_fields(connection, job),
    }
    body["event_id"] = f"evt_{job.id.hex[:8]}_{body['status']}_{int(ended.timestamp())}_{job.attempt}"
    if job.state is JobState.FAILED:
        body["error"] = error
    return [await _queue_to(connection, job, endpoint, body) for endpoint in endpoints]


async def queue_progress(connection: Connection, job: JobRow, step: int, progress: dict[str, Any]) -> list[DeliveryRef]:
    """Queue a job's progress for the job's own endpoint; it is attempted once.

    Args:
        connection: In the transaction of the progress.
        job: The job.
        step: Numbers the progress within the attempt.
        progress: What is new.

    Returns:
        The delivery; none: the job has no endpoint of its own.
    """
    cursor = await connection.execute("SELECT url, metadata::text FROM job_webhooks WHERE job_id = %s", (job.id,))
    own_endpoint = await cursor.fetchone()
    if own_endpoint is None:
        return []
    url, metadata = own_endpoint
    body = {
        **_body(job, WebhookEvent.PROGRESS, metadata),
        **await _own_fields(connection, job),
        "event_id": f"evt_{job.id.hex[:8]}_PROGRESS_{job.attempt}_{step}",
        "progress": progress,
    }
    return [await _queue(connection, job, None, url, body, step=step, once=True)]


async def queue_review(connection: Connection, job: JobRow) -> list[DeliveryRef]:
    """Queue the deliveries that report that a job's result waits for its review; once per attempt of the job."""
    cursor = await connection.execute(
        "SELECT 1 FROM deliveries WHERE job_id = %s AND attempt = %s AND event = %s LIMIT 1",
        (job.id, job.attempt, WebhookEvent.REVIEW),
    )
    if await cursor.fetchone() is not None:
        return []
    endpoints = await _find_endpoints(connection, job, [WebhookEvent.REVIEW])
    body = {
        **_body(job, WebhookEvent.REVIEW, _own_metadata(endpoints)),
        **await _own_fields(connection, job),
        "event_id": f"evt_{job.id.hex[:8]}_REVIEW_{job.attempt}",
    }
    return [await _queue_to(connection, job, endpoint, body) for endpoint in endpoints]


@dataclass(frozen=True, slots=True)
class GroupEndpoint:
    """A registered endpoint that subscribes to changes of groups; its URL is sealed."""

    webhook_id: UUID
    url: str
    events: list[WebhookEvent]


async def find_group_endpoints(connection: Connection, organization: str) -> list[GroupEndpoint]:
    """Find the endpoints of an organization that subscribe to any change of groups."""
    cursor = await connection.execute(
        """
        SELECT id, url, events FROM webhooks WHERE organization = %s AND disabled_at IS NULL AND events && %s
        ORDER BY created_at, id
        """,
        (organization, [event.value for event in WebhookEvent if event not in JOB_EVENTS]),
    )
    rows = await cursor.fetchall()
    return [GroupEndpoint(number, url, [WebhookEvent(event) for event in events]) for number, url, events in rows]


async def queue_index_events(
    connection: Connection, organization: str, endpoint: GroupEndpoint, body: dict[str, Any]
) -> DeliveryRef:
    """Queue a delivery that tells of events of an index, in the transaction that takes them as told."""
    ref = DeliveryRef(organization=organization, delivery_id=uuid4())
    await connection.execute(
        """
        INSERT INTO deliveries (id, organization, attempt, webhook_id, url, event, event_id, body)
        VALUES (%s, %s, 1, %s, %s, %s, %s, %s)
        """,
        (ref.delivery_id, organization, endpoint.webhook_id, endpoint.url, body["event"], body["event_id"],
         write_json(body).decode()),
    )  # fmt: skip
    return ref


async def sweep_index_deliveries(connection: Connection, *, days: int, limit: int) -> int:
    """Delete deliveries that tell of no job and are past their time, and return how many rows went."""
    swept = await connection.execute(
        """
        DELETE FROM deliveries WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM deliveries WHERE job_id IS NULL AND created_at < now() - make_interval(days => %s)
            LIMIT %s))
        """,
        (days, limit),
    )
    return swept.rowcount


async def _find_endpoints(connection: Connection, job: JobRow, names: Sequence[str]) -> list[QueuedEndpoint]:
    """Find the job's own endpoint with its metadata, and the registered ones that subscribe to an event."""
    cursor = await connection.execute(
        """
        SELECT NULL::uuid, url, metadata::text FROM job_webhooks WHERE job_id = %(job)s
        UNION ALL
        SELECT id, url, NULL FROM webhooks
        WHERE organization = %(organization)s AND disabled_at IS NULL AND events && %(names)s
        """,
        {"job": job.id, "organization": job.organization, "names": list(names)},
    )
    return [QueuedEndpoint(*row) for row in await cursor.fetchall()]


def _own_metadata(endpoints: Sequence[QueuedEndpoint]) -> str | None:
    return next((endpoint.metadata for endpoint in endpoints if endpoint.webhook_id is None), None)


async def _queue_to(connection: Connection, job: JobRow, endpoint: QueuedEndpoint, body: dict[str, Any]) -> DeliveryRef:
    # The metadata belong to the job's own endpoint, and are no business of another.
    event_body = body if endpoint.webhook_id is None else {**body, "metadata": None}
    return await _queue(connection, job, endpoint.webhook_id, endpoint.url, event_body)


async def find_queued_progress(connection: Connection, ref: JobRef, step: int) -> list[DeliveryRef]:
    """Return the delivery of a step's progress, unless it has ended."""
    cursor = await connection.execute(
        "SELECT id, run FROM deliveries WHERE job_id = %s AND attempt = %s AND step = %s AND state = 'PENDING'",
        (ref.job_id, ref.attempt, step),
    )
    return [
        DeliveryRef(organization=ref.organization, delivery_id=row[0], run=row[1]) for row in await cursor.fetchall()
    ]


def _body(job: JobRow, event: WebhookEvent, metadata: str | None) -> dict[str, Any]:
    return {
        "event": event,
        "jobId": str(job.id),
        "kind": job.kind,
        "status": job.state,
        "metadata": None if metadata is None else parse_json(metadata),
    }


async def _own_fields(connection: Connection, job: JobRow) -> dict[str, Any]:
    """Return what the API that the job belongs to promises of a body, over what is in every one."""
    own = job_type(job.kind).webhook_fields
    return {} if own is None else await own(connection, job)


async def _queue(
    connection: Connection,
    job: JobRow,
    webhook_id: UUID | None,
    url: str,
    body: dict[str, Any],
    *,
    step: int = 0,
    once: bool = False,
) -> DeliveryRef:
    ref = DeliveryRef(organization=job.organization, delivery_id=uuid4())
    await connection.execute(
        """
        INSERT INTO deliveries (id, organization, job_id, attempt, webhook_id, url, event, event_id, body, step, once)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (ref.delivery_id, job.organization, job.id, job.attempt, webhook_id, url, body["event"], body["event_id"],
         write_json(body).decode(), step, once),
    )  # fmt: skip
    return ref


async def find_queued(connection: Connection, job: JobRow, attempt: int) -> list[DeliveryRef]:
    """Return the deliveries that the end of a job's attempt has queued and that have not ended yet."""
    cursor = await connection.execute(
        "SELECT id, run FROM deliveries WHERE job_id = %s AND attempt = %s AND state = 'PENDING' AND NOT once",
        (job.id, attempt),
    )
    return [
        DeliveryRef(organization=job.organization, delivery_id=row[0], run=row[1]) for row in await cursor.fetchall()
    ]


async def find_overdue(database: Database, *, limit: int) -> list[DeliveryRef]:
    """Deliveries whose attempt should long have been made: nobody works on them."""
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            SELECT organization, id, run FROM deliveries
            WHERE state = 'PENDING' AND next_attempt_at < now() - make_interval(secs => %s)
            ORDER BY next_attempt_at LIMIT %s
            """,
            (DUE_SECONDS, limit),
        )
        return [DeliveryRef(organization=row[0], delivery_id=row[1], run=row[2]) for row in await cursor.fetchall()]


async def get_delivery(database: Database, organization: str, delivery_id: UUID) -> Delivery:
    """Return a delivery.

    Raises:
        NotFoundError: It is not there, or another organisation's.
    """
    async with database.transaction() as connection:
        return await _read(connection, organization, delivery_id)


async def _read(connection: Connection, organization: str, delivery_id: UUID, *, lock: bool = False) -> Delivery:
    async with connection.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM deliveries WHERE organization = %s AND id = %s" + (" FOR UPDATE" if lock else ""),
            (organization, delivery_id),
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no delivery {delivery_id}")
    row.state, row.event = DeliveryState(row.state), WebhookEvent(row.event)
    return row


async def list_deliveries(
    database: Database,
    organization: str,
    *,
    job_id: UUID | None,
    state: DeliveryState | None,
    before: tuple[datetime, UUID] | None,
    seer: UUID | None,
    limit: int,
) -> list[Delivery]:
    """Deliveries, newest first; with `seer` only those of jobs that this person sees."""
    conditions, values = ["organization = %(organization)s"], {"organization": organization, "limit": limit}
    equalities: dict[str, Any] = {"job_id": job_id, "state": state}
    for name, value in equalities.items():
        if value is not None:
            conditions.append(f"{name} = %({name})s")
            values[name] = value
    if seer is not None:
        conditions.append(
            f"(job_id IS NULL OR EXISTS (SELECT 1 FROM jobs WHERE jobs.id = deliveries.job_id AND {SEEN}))"
        )
        values |= seen_by(seer)
    if before is not None:
        conditions.append("(created_at, id) < (%(at)s, %(id)s)")
        values |= {"at": before[0], "id": before[1]}
    query = (
        f"SELECT {COLUMNS} FROM deliveries WHERE {' AND '.join(conditions)}"
        " ORDER BY created_at DESC, id DESC LIMIT %(limit)s"
    )
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


async def open_attempt(database: Database, task: AttemptTask) -> PendingAttempt | AttemptOutcome:
    """Read what an attempt has to send, or how it ended if it was made already.

    Raises:
        NotFoundError: The delivery's job was deleted.
    """
    async with database.transaction() as connection:
        delivery = await _read(connection, task.ref.organization, task.ref.delivery_id)
        if delivery.run != task.ref.run:
            return AttemptOutcome(state=DeliveryState.FAILED)
        for attempt in delivery.attempts:
            if (attempt["run"], attempt["number"]) == (task.ref.run, task.number):
                left = (datetime.fromisoformat(attempt["at"]) - datetime.now(UTC)).total_seconds() + attempt["wait"]
                return AttemptOutcome(state=DeliveryState(attempt["state"]), wait=max(left, 0.0))
        if delivery.state is not DeliveryState.PENDING:
            return AttemptOutcome(state=delivery.state)
        if delivery.webhook_id is None:
            cursor = await connection.execute(
                """
                SELECT coalesce(secret, (SELECT webhook_secret FROM organizations WHERE id = %s))
                FROM job_webhooks WHERE job_id = %s
                """,
                (delivery.organization, delivery.job_id),
            )
        else:
            cursor = await connection.execute(
                "SELECT secret, CASE WHEN previous_until > now() THEN previous_secret END FROM webhooks WHERE id = %s",
                (delivery.webhook_id,),
            )
        secrets: Sequence[bytes | None] = await cursor.fetchone() or ()
    return PendingAttempt(delivery, [secret for secret in secrets if secret is not None])


async def save_attempt(database: Database, task: AttemptTask, attempt: Attempt, outcome: AttemptOutcome) -> None:
    """Write an attempt into the log, and where the delivery is now."""
    ref = task.ref
    row = {
        "run": ref.run,
        "number": task.number,
        **attempt.model_dump(mode="json", by_alias=True),
        "state": outcome.state,
        "wait": outcome.wait,
    }
    due = attempt.at + timedelta(seconds=outcome.wait) if outcome.state is DeliveryState.PENDING else None
    async with database.transaction() as connection:
        delivery = await _read(connection, ref.organization, ref.delivery_id, lock=True)
        if delivery.run != ref.run or delivery.state is not DeliveryState.PENDING:
            return
        await connection.execute(
            "UPDATE deliveries SET tries = %s, state = %s, next_attempt_at = %s WHERE id = %s",
            (Json([*delivery.attempts, row]), outcome.state, due, ref.delivery_id),
        )
        if outcome.state is DeliveryState.DISABLED and delivery.webhook_id is not None:
            await connection.execute("UPDATE webhooks SET disabled_at = now() WHERE id = %s", (delivery.webhook_id,))


async def begin_resend(database: Database, organization: str, delivery_id: UUID) -> Delivery:
    """Begin a delivery once more, from the start of the schedule.

    Raises:
        NotFoundError: It is not there.
        ConflictError: It is on its way already.
    """
    async with database.transaction() as connection:
        delivery = await _read(connection, organization, delivery_id, lock=True)
        if delivery.state is DeliveryState.PENDING:
            raise ConflictError("the delivery is on its way; its next attempt is due by itself")
        await connection.execute(
            "UPDATE deliveries SET state = 'PENDING', run = run + 1, next_attempt_at = now() WHERE id = %s",
            (delivery_id,),
        )
        return await _read(connection, organization, delivery_id)
