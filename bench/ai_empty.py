"""An empty workflow with as many activities as an AI job has: the baseline of its overhead."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection as Pipe

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from towpath.runtime.plugin import towpath_plugin
from towpath.runtime.settings import Settings

QUEUE = "bench-empty"
ACTIVITY_QUEUE = "bench-empty-activities"
"""As in Towpath, where a worker of one queue is not the worker of the other."""
ITERATIONS = 2
LOCAL = 2
LIMIT = timedelta(seconds=30)


@activity.defn(name="nothing")
async def nothing(text: str) -> str:
    """Return the text; an activity without an effect."""
    return text


@workflow.defn(name="bench_empty")
class EmptyWorkflow:
    """As many activities as an AI job has, and nothing else."""

    @workflow.run
    async def run(self, text: str) -> str:
        """Begin, iterate, end."""
        await workflow.execute_local_activity(nothing, text, start_to_close_timeout=LIMIT)
        for _ in range(ITERATIONS):
            await workflow.execute_activity(nothing, text, start_to_close_timeout=LIMIT, task_queue=ACTIVITY_QUEUE)
        return await workflow.execute_local_activity(nothing, text, start_to_close_timeout=LIMIT)


def _work(address: str, keys: list[str], pipe: Pipe) -> None:
    async def serve() -> None:
        plugin = towpath_plugin(Settings(encryption_keys=",".join(keys)))
        client = await Client.connect(address, plugins=[plugin])
        async with (
            Worker(
                client,
                task_queue=QUEUE,
                workflows=[EmptyWorkflow],
                activities=[nothing],
                # As Towpath's own workers poll.
                workflow_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=8, initial=2),
            ),
            Worker(client, task_queue=ACTIVITY_QUEUE, activities=[nothing]),
        ):
            pipe.send("ready")
            await asyncio.to_thread(pipe.recv)

    asyncio.run(serve())


@contextmanager
def empty_worker(address: str, keys: list[str]) -> Iterator[None]:
    """Run a worker of empty workflows, in a process of its own as Towpath's is."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(address, keys, theirs), daemon=True)
    process.start()
    try:
        ours.recv()
        yield
    finally:
        ours.send("stop")
        process.join(10)
