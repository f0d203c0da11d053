"""An index of its own on a database, worked on by the services, without façade and Temporal."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.core.convoys import Convoys
from towpath.core.turns import Turns
from towpath.db.engine import Connection, Database
from towpath.entities.domain.parsing import make_draft, parse_entity
from towpath.entities.service.corrections import CorrectionService
from towpath.entities.service.entities import EntityService
from towpath.entities.service.groups import GroupService
from towpath.entities.service.matching import Matcher, ModelCache
from towpath.entities.service.reindexing import Reindexing
from towpath.entities.service.upserts import Upsert, UpsertResult, UpsertService
from towpath.entities.store.events import read_index_events
from towpath.entities.store.indexes import add_entities, create_index, find_index
from towpath.entities.store.records import write_drafts
from towpath.entities.types import ENTITY_REINDEX, FieldType, IndexConfig, IndexField, LabelsBody, ShareTask
from towpath.jobs.store.jobs import create_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef

PERSON = {"name": "string", "surname": "string", "street": "text", "born": "date", "income": "number"}


STRANGERS = 40


def stranger(number: int) -> dict[str, Any]:
    """Somebody who resembles nobody."""
    rng = random.Random(number)
    word = ["".join(rng.choice("bcdfghjklmnpqrstvwxz") + rng.choice("aeiou") for _ in range(4)) for _ in range(3)]
    born = f"{rng.randint(1910, 2010)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    phone = str(rng.randint(10**9, 10**10))
    return {"id": f"stranger {number}", "first": word[0], "last": word[1], "city": word[2], "dob": born, "phone": phone}


@dataclass
class Rig:
    """One index."""

    database: Database
    organization: str = field(default_factory=lambda: uuid4().hex)
    name: str = "people"

    def __post_init__(self) -> None:
        self.matcher = Matcher(self.database, memory_mb=64)
        self.entities = EntityService(self.database, ModelCache(), Turns())
        self.upserts = UpsertService(self.database, ModelCache(), Convoys())
        self.corrections = CorrectionService(self.database, ModelCache())
        self.reindexing = Reindexing(self.database, self.matcher, share_size=100)

    def groups_of(self) -> GroupService:
        """What reads single groups."""
        return GroupService(self.database, ModelCache())

    @property
    def caller(self) -> Principal:
        """Somebody of the organization who may do everything."""
        return Principal(
            organization=self.organization, kind=KeyKind.ORGANIZATION, role=Role.OWNER, scopes=frozenset(Scope)
        )

    async def make(self, fields: dict[str, str] | None = None, **options: Any) -> Rig:
        """Make the index; one with other fields than a person's holds some strangers, so that equal values tell."""
        config = IndexConfig(
            index_name=self.name,
            fields=[IndexField(name=name, type=FieldType(kind)) for name, kind in (fields or PERSON).items()],
            **options,
        )
        async with self.database.transaction() as connection:
            assert await create_index(connection, self.organization, config) is not None
        if fields is not None:
            await self.fill([stranger(number) for number in range(STRANGERS)])
        return self

    async def upsert(self, entity: dict[str, Any], *, explain: bool = True) -> dict[str, Any]:
        """Write one entity, as the façade does; the answer."""
        raw = json.dumps(entity).encode()

        async def before(_: Connection) -> None:
            return None

        async def after(_: Connection, result: UpsertResult) -> dict[str, Any]:
            return result.answer

        upsert = Upsert(parse_entity(raw), raw, limit=100, explain=explain, before=before, after=after)
        return await self.upserts.write(self.organization, self.name, upsert)

    async def upsert_all(self, entities: Sequence[dict[str, Any]]) -> None:
        """Write entities one by one."""
        for entity in entities:
            await self.upsert(entity)

    async def fill(self, entities: Sequence[dict[str, Any]]) -> None:
        """Store entities without comparing them, as the first half of a batch does."""
        async with self.database.transaction() as connection:
            index = await find_index(connection, self.organization, self.name)
            raws = [json.dumps(entity).encode() for entity in entities]
            drafts = [make_draft(parse_entity(raw), raw, index.config) for raw in raws]
            written = await write_drafts(connection, index.index_no, drafts)
            await add_entities(connection, index.index_no, len(written.created), changes=len(written.created))

    async def label(self, *labels: tuple[Any, Any, bool]) -> None:
        """Label pairs."""
        body = [{"entityId": one, "duplicateId": other, "duplicate": same} for one, other, same in labels]
        async with self.database.transaction() as connection:
            await self.corrections.add_labels(
                connection, self.organization, self.name, LabelsBody.model_validate({"labels": body})
            )

    async def reindex(self) -> JobRef:
        """Build the next generation with the configuration that the index has, and swap it in."""
        async with self.database.transaction() as connection:
            index = await find_index(connection, self.organization, self.name)
            job = JobRow(
                id=uuid4(),
                organization=self.organization,
                kind=ENTITY_REINDEX,
                params={"index": self.name, "config": index.config.model_dump(mode="json", by_alias=True)},
                total=index.entities,
            )
            await create_job(connection, job)
        ref = JobRef(organization=self.organization, job_id=job.id, kind=job.kind, attempt=job.attempt)
        await self.run_reindex(ref)
        return ref

    async def run_reindex(self, ref: JobRef) -> None:
        """Run the chunks of a re-index, one after the other."""
        shares = (await self.reindexing.plan(ref)).shares
        for share in range(shares):
            await self.reindexing.copy_share(ShareTask(ref=ref, share=share, shares=shares))
        await self.reindexing.train(ref)
        for share in range(shares):
            await self.reindexing.match_share(ShareTask(ref=ref, share=share, shares=shares))
        await self.reindexing.resolve(ref)
        await self.reindexing.swap(ref)

    async def groups(self) -> dict[str, list[str]]:
        """The members of each group by its name, sorted."""
        page = await self.entities.list_groups(self.organization, self.name, entity_id=None, limit=1000, offset=0)
        return {group.group_id: sorted(str(one) for one in group.entity_ids) for group in page.groups}

    async def members(self) -> list[list[str]]:
        """The groups without their names, sorted."""
        return sorted((await self.groups()).values())

    async def pairs(self) -> list[Any]:
        """All stored pairs with explanations."""
        page = await self.entities.list_pairs(
            self.organization, self.name, min_similarity=0.0, duplicates_only=False, limit=10_000, offset=0,
            explain=True,
        )  # fmt: skip
        return page.duplicates

    async def events(self, after: int = 0) -> list[Any]:
        """The events of the index."""
        async with self.database.transaction() as connection:
            return await read_index_events(connection, self.organization, self.name, after=after, limit=10_000)
