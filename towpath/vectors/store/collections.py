"""Which collections there are."""

from __future__ import annotations

from sqlmodel import select

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.vectors.store.tables import VectorCollectionRow
from towpath.vectors.types import Collection, CollectionRef


def _ref(row: VectorCollectionRow) -> CollectionRef:
    return CollectionRef(
        collection_no=row.collection_no or 0, organization=row.organization, name=row.name, model=row.model
    )


class Collections:
    """Collections by tenant, kind and model; one that was found once is remembered, for it never changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Collection, str], CollectionRef] = {}

    async def find(self, database: Database, organization: str, name: Collection, model: str) -> CollectionRef:
        """Return the collection to read.

        Raises:
            NotFoundError: Nothing was ever stored in it.
        """
        key = (organization, name, model)
        if key not in self._known:
            query = select(VectorCollectionRow).where(
                VectorCollectionRow.organization == organization,
                VectorCollectionRow.name == name,
                VectorCollectionRow.model == model,
            )
            async with database.session() as session:
                row = (await session.exec(query)).one_or_none()
            if row is None:
                raise NotFoundError(f"the collection {name} holds nothing yet for the model {model}")
            self._known[key] = _ref(row)
        return self._known[key]

    async def ensure(self, database: Database, organization: str, name: Collection, model: str) -> CollectionRef:
        """Return the collection to write to, made when it is not there."""
        key = (organization, name, model)
        if key not in self._known:
            async with database.transaction() as connection:
                await connection.execute(
                    """
                    INSERT INTO vector_collections (organization, name, model) VALUES (%s, %s, %s)
                    ON CONFLICT DO NOTHING
                    """,
                    (organization, name, model),
                )
            return await self.find(database, organization, name, model)
        return self._known[key]


async def count_objects(connection: Connection, collection_no: int, change: int) -> None:
    """Keep the number of live objects; among the last statements of a transaction, for it locks the collection."""
    if change:
        await connection.execute(
            "UPDATE vector_collections SET objects = objects + %s WHERE collection_no = %s", (change, collection_no)
        )
