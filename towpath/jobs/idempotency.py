"""The place of an `Idempotency-Key`: the first answer is kept for 24 h, in the transaction of the effect itself."""

from __future__ import annotations

from dataclasses import dataclass

from towpath.core.errors import BadInputError, UnprocessableError
from towpath.core.json_values import write_json
from towpath.db.engine import Connection, Database
from towpath.jobs.store.idempotency import claim_key, save_response
from towpath.jobs.store.tables import IdempotencyRow


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The first answer to a key."""

    digest: bytes
    status: int
    body: str

    def check(self, digest: bytes) -> None:
        """Refuse another request under the same key.

        Raises:
            UnprocessableError: The key came with another body.
        """
        if digest != self.digest:
            raise UnprocessableError("this Idempotency-Key was used with another request")


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one key; does nothing when the request has none.

    Args:
        organization: Whose key.
        route: Method and path: the same key on two routes is two keys.
        key: The header.
    """

    organization: str
    route: str
    key: str | None

    async def claim(self, connection: Connection) -> StoredResponse | None:
        """Claim the key until the transaction ends, and look for a first answer.

        Raises:
            ConflictError: The first request with this key is still running.
            BadInputError: The key is empty.
        """
        if self.key is None:
            return None
        if not self.key.strip():
            raise BadInputError("Idempotency-Key must not be empty", field="Idempotency-Key")
        answer = await claim_key(connection, self.organization, self.route, self.key)
        return None if answer is None else StoredResponse(answer.digest, answer.status, answer.body)

    async def is_taken(self, database: Database) -> bool:
        """Return whether the key's first request has had its effect."""
        async with database.transaction() as connection:
            return await self.claim(connection) is not None

    async def save(self, connection: Connection, digest: bytes, status: int, body: object) -> None:
        """Remember the answer, in the transaction of the effect."""
        if self.key is None:
            return
        answer = IdempotencyRow(
            organization=self.organization, route=self.route, key=self.key,
            digest=digest, status=status, body=write_json(body).decode(),
        )  # fmt: skip
        await save_response(connection, answer)
