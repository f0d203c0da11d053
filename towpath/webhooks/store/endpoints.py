"""Registered receivers of an organisation, and the target that a start named for its own job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import class_row
from psycopg.types.json import Json

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.webhooks.types import WebhookEvent

ROTATION_HOURS = 24
COLUMNS = "id, url, events, secret, previous_secret, previous_until, created_at, disabled_at"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver; its secrets are sealed."""

    id: UUID
    url: str
    events: list[WebhookEvent]
    secret: bytes
    previous_secret: bytes | None
    previous_until: datetime | None
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobEndpoint:
    """Where the end of one job is told; `secret` is sealed."""

    url: str
    secret: bytes | None = None
    metadata: dict[str, Any] | None = None


async def add_job_endpoint(connection: Connection, job_id: UUID, target: JobEndpoint) -> None:
    """Keep a job's own target, in the transaction that accepts the job."""
    await connection.execute(
        "INSERT INTO job_webhooks (job_id, url, secret, metadata) VALUES (%s, %s, %s, %s)",
        (job_id, target.url, target.secret, None if target.metadata is None else Json(target.metadata)),
    )


async def add_endpoint(
    connection: Connection, organization: str, url: str, sealed: bytes, events: Sequence[WebhookEvent]
) -> Endpoint:
    """Register a receiver."""
    async with connection.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(
            f"INSERT INTO webhooks (id, organization, url, secret, events) VALUES (%s, %s, %s, %s, %s)"
            f" RETURNING {COLUMNS}",
            (uuid4(), organization, url, sealed, list(events)),
        )
        return _made(await cursor.fetchone())


async def list_endpoints(database: Database, organization: str) -> list[Endpoint]:
    """All receivers, in the order of their making."""
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM webhooks WHERE organization = %s ORDER BY created_at, id", (organization,)
        )
        return await cursor.fetchall()


async def get_endpoint(database: Database, organization: str, webhook_id: UUID) -> Endpoint:
    """One receiver.

    Raises:
        NotFoundError: It is not there, or another organisation's.
    """
    for one in await list_endpoints(database, organization):
        if one.id == webhook_id:
            return one
    raise NotFoundError(f"no webhook {webhook_id}")


async def delete_endpoint(database: Database, organization: str, webhook_id: UUID) -> None:
    """Forget a receiver; what is on its way to it ends as DISABLED.

    Raises:
        NotFoundError: It is not there.
    """
    async with database.transaction() as connection:
        gone = await connection.execute(
            "DELETE FROM webhooks WHERE organization = %s AND id = %s", (organization, webhook_id)
        )
        if not gone.rowcount:
            raise NotFoundError(f"no webhook {webhook_id}")
        await connection.execute(
            "UPDATE deliveries SET state = 'DISABLED', next_attempt_at = NULL"
            " WHERE webhook_id = %s AND state = 'PENDING'",
            (webhook_id,),
        )


async def rotate_secret(database: Database, organization: str, webhook_id: UUID, sealed: bytes) -> Endpoint:
    """Give a receiver a new secret; for a day the one before signs as well.

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
    """Give an organization the secret that signs for targets which bring none; None: it has none any more."""
    async with database.transaction() as connection:
        await connection.execute("UPDATE organizations SET webhook_secret = %s WHERE id = %s", (sealed, organization))


async def has_standing_secret(database: Database, organization: str) -> bool:
    """Whether an organization has one."""
    async with database.transaction() as connection:
        found = await connection.execute(
            "SELECT webhook_secret IS NOT NULL FROM organizations WHERE id = %s", (organization,)
        )
        return bool((await found.fetchone() or (False,))[0])


def _made(row: Endpoint | None) -> Endpoint:
    assert row is not None
    return row
