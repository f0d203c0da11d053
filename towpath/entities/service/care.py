"""Looks after indexes when nobody writes: decides what was left, settles what has changed, tells of events."""

from __future__ import annotations

from typing import Any

from towpath.core.errors import ConflictError, NotFoundError
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import GroupChange
from towpath.entities.group_types import Cause
from towpath.entities.service.deciding import decide_marked
from towpath.entities.service.index_events import index_event
from towpath.entities.service.indexes import make_reindex_job
from towpath.entities.service.matching import ModelCache
from towpath.entities.service.naming import Reason
from towpath.entities.store import care as store
from towpath.entities.store.events import read_index_events
from towpath.entities.store.indexes import find_index, mark_reindexing
from towpath.entities.types import ENTITY_BATCH, ENTITY_REINDEX, ENTITY_SETTLE
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.starts import start_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DeliveryRef, JobStart
from towpath.webhooks.store.deliveries import GroupEndpoint, find_group_endpoints, queue_index_events
from towpath.webhooks.types import WebhookEvent

KINDS = [ENTITY_BATCH, ENTITY_REINDEX, ENTITY_SETTLE]
MAX_INDEXES = 50
MARKS_A_TURN = 500
MAX_TURNS = 20
SETTLING_AT_ONCE = 2
LONG_QUIET_SECONDS = 3600
SETTLING_SHARE = 0.05
SMALLEST_INDEX = 2
SMALL_INDEX = 10_000
MAX_TOLD = 100
"""Events in one delivery; their counts are told in any case."""
MAX_LOGS = 200


class IndexCare:
    """What the housekeeping does for indexes.

    Args:
        database: Where they are.
        models: This process's models.
        window: The chunks that a job which settles an index has under way at once.
        settle_seconds: How long an index must have been left alone to be settled; 0: none is.
        full_details: Whether the Temporal UI shows questions and file names too.
    """

    def __init__(
        self, database: Database, models: ModelCache, *, window: int, settle_seconds: int, full_details: bool = False
    ) -> None:
        self._database = database
        self._models = models
        self._window = window
        self._settle_seconds = settle_seconds
        self._full_details = full_details

    async def decide_left_over(self) -> int:
        """Decide what writers have marked while somebody else decided, in indexes that no job works on.

        Returns:
            How many marks went.
        """
        async with self._database.transaction() as connection:
            indexes = await store.find_marked(connection, KINDS, limit=MAX_INDEXES)
        marks = 0
        for index in indexes:
            for _ in range(MAX_TURNS):
                decided = await self._decide_some(index)
                marks += decided
                if decided < MARKS_A_TURN:
                    break
        return marks

    async def _decide_some(self, named: store.NamedIndex) -> int:
        async def decide(connection: Connection) -> int:
            try:
                index = await find_index(connection, named.organization, named.name, lock="share")
            except NotFoundError:
                # It was dropped meanwhile.
                return 0
            model = await self._models.get(connection, index)
            return await decide_marked(connection, index, model, Reason(Cause.UPSERT), limit=MARKS_A_TURN) or 0

        return await self._database.repeatable(decide)

    async def settle_changed(self) -> list[JobStart]:
        """Accept a re-index for each index that has changed enough and been left alone long enough.

        Returns:
            How the jobs are started; one that is not started is found by the reconciler.
        """
        if not self._settle_seconds:
            return []
        async with self._database.transaction() as connection:
            room = SETTLING_AT_ONCE - await store.count_settling(connection, [ENTITY_SETTLE, ENTITY_REINDEX])
            if room <= 0:
                return []
            indexes = await store.find_unsettled(
                connection,
                KINDS,
                settling=ENTITY_SETTLE,
                quiet_seconds=self._settle_seconds,
                long_seconds=LONG_QUIET_SECONDS,
                share=SETTLING_SHARE,
                smallest=SMALLEST_INDEX,
                small=SMALL_INDEX,
                limit=room,
            )
        jobs = [await self._accept(index) for index in indexes]
        return [start_of(job, full=self._full_details) for job in jobs if job is not None]

    async def _accept(self, named: store.NamedIndex) -> JobRow | None:
        async with self._database.transaction() as connection:
            try:
                index = await find_index(connection, named.organization, named.name, lock="exclusive")
                job = make_reindex_job(index, index.config, window=self._window, settles=True)
                await mark_reindexing(connection, index, job.id)
            except (ConflictError, NotFoundError):
                # Somebody else rebuilds or has dropped it.
                return None
            await job_store.create_job(connection, job)
            return job

    async def announce(self) -> list[DeliveryRef]:
        """Queue one delivery to each endpoint that subscribes to changes of groups, for each index that has news.

        Returns:
            The deliveries, to be started.
        """
        refs: list[DeliveryRef] = []
        for _ in range(MAX_LOGS):
            async with self._database.transaction() as connection:
                untold = await store.take_untold(connection)
                if untold is None:
                    break
                for endpoint in await find_group_endpoints(connection, untold.organization):
                    refs += await _queue(connection, untold, endpoint)
        return refs


async def _queue(connection: Connection, untold: store.UntoldEvents, endpoint: GroupEndpoint) -> list[DeliveryRef]:
    kinds = set(GroupChange)
    if WebhookEvent.GROUP_CHANGED not in endpoint.events:
        kinds &= {GroupChange(event.value) for event in endpoint.events if event.value in set(GroupChange)}
    of = connection, untold.organization, untold.name
    counts = await store.count_events(*of, after=untold.announced, last=untold.last)
    counts = {kind: count for kind, count in counts.items() if kind in kinds}
    if not counts:
        return []
    rows = await read_index_events(*of, after=untold.announced, limit=MAX_TOLD, types=sorted(kinds))
    rows = [row for row in rows if row.seq <= untold.last]
    body: dict[str, Any] = {
        "event": WebhookEvent.GROUP_CHANGED,
        "event_id": f"evt_{untold.name}_{untold.announced + 1}_{untold.last}",
        "indexName": untold.name,
        "after": untold.announced,
        "last": untold.last,
        "counts": counts,
        "events": [
            index_event(untold.name, row).model_dump(mode="json", by_alias=True, exclude_none=True) for row in rows
        ],
        "truncated": sum(counts.values()) > len(rows),
    }
    return [await queue_index_events(connection, untold.organization, endpoint, body)]
