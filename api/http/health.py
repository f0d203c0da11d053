"""Asks every part whether it answers, and Temporal who works; each within two seconds, all at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from datetime import timedelta

import httpx
from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ListWorkersRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.runtime.embedded.demand import Demand, chroma_demand, llm_demand
from towpath.runtime.health import Health, PartState, QueueHealth, Readiness
from towpath.runtime.settings import Settings
from towpath.runtime.temporal import HEARTBEAT_EVERY

logger = logging.getLogger("towpath.health")

SECONDS = 2.0
SAME_SECONDS = 1.0
"""An answer serves all who ask within this time, so that asking costs the parts nothing."""
HEARTBEAT_SECONDS = 4 * HEARTBEAT_EVERY.total_seconds()
# An idle poll ends after a minute; the server remembers who made it for five.
POLL_SECONDS = 75.0
RPC = timedelta(seconds=SECONDS)
FINE = frozenset({PartState.READY, PartState.IDLE, PartState.NOT_CONFIGURED})
# Workflows wait in the queue of the engine alone; activities in each.
KINDS = {
    queue: [TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY]
    + ([TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW] if queue is Queue.ENGINE else [])
    for queue in Queue
}

Beats = dict[tuple[str, str], bool]
"""By queue and worker: whether the worker's last heartbeat is young, and it takes work."""


class Probes:
    """Knows how the parts are, as of a moment ago.

    Args:
        settings: Where Chroma and the local model are.
        database: Postgres.
        client: Temporal.
    """

    def __init__(self, settings: Settings, database: Database, client: Client) -> None:
        self._settings = settings
        self._database = database
        self._client = client
        self._http = httpx.AsyncClient(timeout=SECONDS)
        self._asking = asyncio.Lock()
        self._causes: dict[str, str] = {}
        self._last: Health | None = None
        self._at = 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self) -> Health:
        """Return how everything is."""
        async with self._asking:
            if self._last is None or time.monotonic() - self._at > SAME_SECONDS:
                health = await self._ask()
                self._log_change(health)
                self._last, self._at = health, time.monotonic()
            return self._last

    async def _ask(self) -> Health:
        chroma, llm = chroma_demand(self._settings), llm_demand(self._settings)
        token = self._settings.chroma_token
        headers = {"x-chroma-token": token} if token else {}
        *states, queues = await asyncio.gather(
            self._state("postgres", self._postgres()),
            self._state("temporal", self._temporal()),
            self._demanded("chroma", chroma, "/api/v2/heartbeat", headers),
            self._demanded("llm", llm, "/models", {}),
            self._queues(),
        )
        parts = dict(zip(("postgres", "temporal", "chroma", "llm"), states, strict=True))
        fine = FINE.issuperset(parts.values()) and all(workers.pollers for workers in queues.values())
        taking = parts["postgres"] is parts["temporal"] is PartState.READY
        status = Readiness.NOT_READY if not taking else Readiness.READY if fine else Readiness.DEGRADED
        return Health(status=status, parts=parts, queues=queues)

    def _log_change(self, health: Health) -> None:
        """Log a change, with the names of what is amiss."""
        before = Readiness.READY if self._last is None else self._last.status
        if health.status is before:
            return
        amiss = [f"{name} is {state}" for name, state in health.parts.items() if state not in FINE]
        amiss += [f"no worker polls {queue}" for queue, workers in health.queues.items() if not workers.pollers]
        logger.warning("%s%s", health.status, f": {', '.join(amiss)}" if amiss else "")

    async def _state(self, name: str, question: Awaitable[None]) -> PartState:
        try:
            async with asyncio.timeout(SECONDS):
                await question
        except Exception as error:
            # Whatever goes wrong here is the answer; what exactly is for the log, which no stranger reads.
            self._note(name, f"{type(error).__name__}: {error}")
            return PartState.AWAY
        self._causes.pop(name, None)
        return PartState.READY

    def _note(self, name: str, cause: str) -> None:
        """Log why something does not answer, once as long as it is the same."""
        if self._causes.get(name) != cause:
            self._causes[name] = cause
            logger.warning("%s does not answer: %s", name, cause)

    async def _postgres(self) -> None:
        await self._database.ping()

    async def _temporal(self) -> None:
        if not await self._client.service_client.check_health(timeout=RPC):
            raise ConnectionError("does not serve")

    async def _demanded(self, name: str, demand: Demand, path: str, headers: dict[str, str]) -> PartState:
        if demand.url is None:
            return demand.state
        return await self._state(name, self._get(demand.url.rstrip("/") + path, headers))

    async def _get(self, url: str, headers: dict[str, str]) -> None:
        status = (await self._http.get(url, headers=headers)).status_code
        # A server of language models need not list them.
        if status >= 400 and status != 404:
            raise ConnectionError(f"answers {status}")

    async def _queues(self) -> dict[Queue, QueueHealth]:
        try:
            async with asyncio.timeout(SECONDS):
                polls = asyncio.gather(*(self._polls(queue) for queue in Queue))
                beats, polled = await asyncio.gather(self._beats(), polls)
        except (RPCError, RuntimeError, TimeoutError) as error:
            self._note("the list of task queues", f"{type(error).__name__}: {error}")
            return {queue: QueueHealth(pollers=None) for queue in Queue}
        self._causes.pop("the list of task queues", None)
        return {
            queue: QueueHealth(pollers=len(select_workers(queue, beats, those)))
            for queue, those in zip(Queue, polled, strict=True)
        }

    async def _beats(self) -> Beats:
        """Return the workers that have told the server of themselves; none from a server that does not take it."""
        beats: Beats = {}
        page = b""
        while True:
            request = ListWorkersRequest(namespace=self._client.namespace, page_size=1000, next_page_token=page)
            try:
                answer = await self._client.workflow_service.list_workers(request, timeout=RPC)
            except RPCError as error:
                if error.status in {RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.INVALID_ARGUMENT}:
                    return {}
                raise
            for worker in answer.workers_info:
                beat = worker.worker_heartbeat
                young = time.time() - beat.heartbeat_time.ToSeconds() < HEARTBEAT_SECONDS
                takes = beat.status == WorkerStatus.WORKER_STATUS_RUNNING
                beats[beat.task_queue, beat.worker_identity] = young and takes
            page = answer.next_page_token
            if not page:
                return beats

    async def _polls(self, queue: Queue) -> set[str]:
        """Return the workers that have asked for each kind of a queue's tasks a moment ago."""
        return set.intersection(*await asyncio.gather(*(self._polled(queue, kind) for kind in KINDS[queue])))

    async def _polled(self, queue: Queue, kind: TaskQueueType.ValueType) -> set[str]:
        answer = await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
            ),
            timeout=RPC,
        )
        now = time.time()
        return {
            poller.identity for poller in answer.pollers if now - poller.last_access_time.ToSeconds() < POLL_SECONDS
        }


def select_workers(queue: Queue, beats: Beats, polled: set[str]) -> set[str]:
    """Return who serves a queue: by heartbeat, which a worker sends even when busy; without one, by its polls."""
    alive = {worker for (served, worker), lives in beats.items() if lives and served == queue}
    return alive | {worker for worker in polled if (queue, worker) not in beats}
