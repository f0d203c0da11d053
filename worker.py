"""A worker process: settings -> stores -> activity objects -> Temporal workers, one a task queue."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from activities._candidates import CandidateCache
from activities.entities import EntityActivities
from activities.entity_reindex import ReindexActivities
from activities.jobs import JobActivities
from contracts.queues import Queue
from runtime.plugin import towpath_plugin
from runtime.settings import Settings, get_settings
from runtime.temporal import connect
from stores.db import Database
from workflows.entities import EntityBatchWorkflow
from workflows.entity_reindex import EntityReindexWorkflow
from workflows.housekeeping import RECONCILE_ID, ReconcileWorkflow

logger = logging.getLogger("towpath.worker")

WORKFLOWS = [EntityBatchWorkflow, EntityReindexWorkflow, ReconcileWorkflow]
GRACE = timedelta(seconds=20)
RECONCILE_EVERY = timedelta(seconds=30)
COMPUTE_SLOTS = 2
ENGINE_SLOTS = 20

ActivityMethod = Callable[..., Any]


def activities_for(queue: Queue, database: Database, settings: Settings) -> list[ActivityMethod]:
    """The activities that a queue's workers serve."""
    if queue is Queue.ENGINE:
        jobs = JobActivities(database, retention_days=settings.retention_days)
        return [jobs.begin_job, jobs.enter_phase, jobs.finish_job, jobs.find_unstarted, jobs.sweep]
    if queue is Queue.COMPUTE:
        cache = CandidateCache(database, memory_mb=settings.match_memory_mb)
        entities = EntityActivities(database, cache, share_size=settings.match_chunk)
        reindex = ReindexActivities(database, cache, share_size=settings.match_chunk)
        return [
            entities.plan_batch,
            entities.index_page,
            entities.train_index,
            entities.match_page,
            entities.resolve_batch,
            reindex.plan_reindex,
            reindex.copy_share,
            reindex.train_building,
            reindex.match_share,
            reindex.resolve_building,
            reindex.swap_index,
        ]
    return []


def make_worker(client: Client, queue: Queue, database: Database, settings: Settings) -> Worker | None:
    """A Temporal worker for one queue; None where nothing is served on it yet."""
    activities = activities_for(queue, database, settings)
    if not activities:
        return None
    return Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS if queue is Queue.ENGINE else [],
        activities=activities,
        max_concurrent_activities=COMPUTE_SLOTS if queue is Queue.COMPUTE else ENGINE_SLOTS,
        graceful_shutdown_timeout=GRACE,
        # Heartbeats carry the cancel; the default of 30 s would let a cancelled chunk run on.
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=8, initial=2),
    )


async def ensure_schedule(client: Client) -> None:
    """Create the reconciler's schedule, once a namespace."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(ReconcileWorkflow.run, id=RECONCILE_ID, task_queue=Queue.ENGINE),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=RECONCILE_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
    )
    try:
        await client.create_schedule(RECONCILE_ID, schedule, trigger_immediately=True)
    except ScheduleAlreadyRunningError:
        logger.debug("the reconciler's schedule is there")


async def serve(settings: Settings, queues: Sequence[Queue]) -> None:
    """Serve queues until SIGTERM or SIGINT, then let running activities finish or hand them back."""
    database = Database(settings.require_database_url(), pool_size=settings.worker_pool_size)
    client = await connect(settings, plugins=[towpath_plugin()])
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        workers = [worker for queue in queues if (worker := make_worker(client, queue, database, settings))]
        for worker in workers:
            await stack.enter_async_context(worker)
        if Queue.ENGINE in queues:
            await ensure_schedule(client)
        logger.info("ready, serving %s", ", ".join(queues))
        await stop.wait()
        logger.info("stopping")


def run(settings: Settings, queues: Sequence[Queue]) -> None:
    """Entry of `towpath worker`."""
    asyncio.run(serve(settings, queues))


def main() -> None:
    """Entry of `python worker.py`: all queues, or those of TOWPATH_QUEUES."""
    import argparse

    parser = argparse.ArgumentParser(description="A Towpath worker.")
    parser.add_argument(
        "--queues", default=",".join(Queue), help="comma-separated task queues to serve (default: %(default)s)"
    )
    names = parser.parse_args().queues.split(",")
    logging.basicConfig(level=get_settings().log_level.upper(), format="%(levelname)s %(name)s %(message)s")
    run(get_settings(), [Queue(name.strip()) for name in names if name.strip()])


if __name__ == "__main__":
    main()
