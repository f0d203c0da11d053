"""Registered endpoints of an organization, and the endpoint that a start named for its own job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from psycopg.rows import class_row
from psycopg.types.json import Json

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.webhooks.types import JobEndpoint, WebhookEvent

ROTATION_HOURS = 24
COLUMNS = "id, url, events, secret, previous_secret, previous_until, created_at, disabled_at"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registered endpoint; its secrets are sealed."""

    id: UUID
    url: str
    events: list[WebhookEvent]
    secret: bytes
    previous_secret: bytes | None
    previous_until: datetime | None
    created_at: datetime
    disabled_at: datetime | None


async def add_job_endpoint(connection: Connection, job_id: UUID, endpoint: JobEndpoint) -> None:
    """Store a job's own endpoint, in the transaction that accepts the job."""
    await connection.execute(
        "INSERT INTO job_webhooks (job_id, url, secret, metadata) VALUES (%s, %s, %s, %s)",
        (job_id, endpoint.url, endpoint.secret, None if endpoint.metadata is None else Json(endpoint.metadata)),
    )


async def add_endpoint(
    connection: Connection, organization: str, url: str, sealed: bytes, events: Sequence[WebhookEvent]
) -> Endpoint:
    """Register an endpoint."""
    async with connection.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(
            f"INSERT INTO webhooks (id, organization, url, secret, events) VALUES (%s, %s, %s, %s, %s)"
            f" RETURNING {COLUMNS}",
            (uuid4(), organization, url, sealed, list(events)),
        )
        row = await cursor.fetchone()
    assert row is not None
    return row


async def list_endpoints(database: Database, organization: str) -> list[Endpoint]:
    """List an organization's endpoints in the order in which they were registered."""
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM webhooks WHERE organization = %s ORDER BY created_at, id", (organization,)
        )
        return await cursor.fetchall()


async def get_endpoint(database: Database, organization: str, webhook_id: UUID) -> Endpoint:
    """Return one endpoint.

    Raises:
        NotFoundError: It is not there, or another organisation's.
    """
    for endpoint in await list_endpoints(database, organization):
        if endpoint.id == webhook_id:
            return endpoint
    raise NotFoundError(f"no webhook {webhook_id}")


async def delete_endpoint(database: Database, organization: str, webhook_id: UUID) -> None:
    """Delete an endpoint; what is on its way to it ends as DISABLED.

    Raises:
        NotFoundError: It is not there.
    """
    async with database.transaction() as connection:
        deleted = await connection.execute(
            "DELETE FROM webhooks WHERE organization = %s AND id = %s", (organization, webhook_id)
        )
        if not deleted.rowcount:
            raise NotFoundError(f"no webhook {webhook_id}")
        await connection.execute(
            "UPDATE deliveries SET state = 'DISABLED', next_attempt_at = NULL"
            " WHERE webhook_id = %s AND state = 'PENDING'",
            (webhook_id,),
        )


async def rotate_secret(database: Database, organization: str, webhook_id: UUID, sealed: bytes) -> Endpoint:
    """Give an endpoint a new secret; for a day the previous one signs as well.

    Raises:
        NotFoundError: It is not there.
    """
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(
            f"""
            UPDATE webhooks SET previous_secret = secret, secret = %s,
                   previous_until = now() + make_interval(hours => %s)
            WHERE organization = %s AND id = %s RETURNING {COLUMNS}
            """,
            (sealed, ROTATION_HOURS, organization, webhook_id),
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no webhook {webhook_id}")
    return row


async def set_standing_secret(database: Database, organization: str, sealed: bytes | None) -> None:
    """Give an organization the secret that signs for endpoints of single jobs that bring none; None: no secret."""
    async with database.transaction() as connection:
        await connection.execute("UPDATE organizations SET webhook_secret = %s WHERE id = %s", (sealed, organization))


async def has_standing_secret(database: Database, organization: str) -> bool:
    """Return whether an organization has a standing secret."""
    async with database.transaction() as connection:
        cursor = await connection.execute(
            "SELECT webhook_secret IS NOT NULL FROM organizations WHERE id = %s", (organization,)
        )
        return bool((await cursor.fetchone() or (False,))[0])
