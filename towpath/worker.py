"""A worker process: settings -> stores -> activity objects -> Temporal workers, one a task queue."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial
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

from towpath.activities.ai import AiActivities
from towpath.activities.batches import BatchActivities
from towpath.activities.enrichment import EnrichmentActivities, LlmTaskActivities
from towpath.activities.entities import EntityActivities, IndexCareActivities, JudgeActivities, ReindexActivities
from towpath.activities.extraction import ExtractionActivities
from towpath.activities.interceptor import ActivityGuard
from towpath.activities.jobs import JobActivities
from towpath.activities.serving import ServingActivities
from towpath.activities.vectors import VectorActivities
from towpath.activities.webhooks import WebhookActivities
from towpath.ai.service.agent import Agent
from towpath.ai.service.agent_context import AgentContext
from towpath.ai.service.schema_reading import SchemaReader
from towpath.core.memory import bound_allocator, settle_collector
from towpath.core.queues import Queue, read_queues
from towpath.db.engine import Database
from towpath.documents import DocumentReader
from towpath.enrichment.service.runs import EnrichmentRuns
from towpath.enrichment.service.tasks import LlmTasks
from towpath.entities.service.care import IndexCare
from towpath.entities.service.indexing import BatchIndexing
from towpath.entities.service.judging import Judging
from towpath.entities.service.matching import Matcher
from towpath.entities.service.reindexing import Reindexing
from towpath.extraction.service.document_cache import DocumentCache
from towpath.extraction.service.pipeline import ExtractionPipeline
from towpath.features import installed_features, register_features
from towpath.jobs.patience import Clock, Patience, utc_now
from towpath.jobs.registry import job_types
from towpath.jobs.service.housekeeping import Housekeeping
from towpath.jobs.service.runs import JobRuns
from towpath.llm import LanguageModels
from towpath.llm.batches.service import BatchService
from towpath.llm.gateway import LlmGateway
from towpath.llm.limiter.budgets import budgets_of
from towpath.llm.limiter.ledger import PostgresLedger
from towpath.llm.limiter.limiter import ProviderLimiter
from towpath.llm.limiter.telling import telling
from towpath.llm.retention import sweep_after
from towpath.net.http import GuardedClient
from towpath.runtime.embedded.demand import chroma_url, local_llm_url
from towpath.runtime.exposure import list_own_endpoints
from towpath.runtime.logs import configure_logging
from towpath.runtime.plugin import towpath_plugin
from towpath.runtime.settings import Settings, get_settings
from towpath.runtime.temporal import connect, worker_runtime
from towpath.secrets.vault import Vault
from towpath.serving.service.asking import LineModels
from towpath.serving.service.runs import BatchRuns
from towpath.vectors.embedding import make_embedder
from towpath.vectors.embedding.requests import EmbeddingRequests
from towpath.vectors.service.chunks import TaskChunks
from towpath.vectors.sources import Sources
from towpath.vectors.store.index import VectorIndex
from towpath.webhooks.retention import sweep_deliveries_after
from towpath.webhooks.service.sending import DeliverySender
from towpath.workflows.ai import AI_WORKFLOWS
from towpath.workflows.batches import BATCH_WORKFLOWS
from towpath.workflows.enrichment import ENRICHMENT_WORKFLOWS
from towpath.workflows.entity_judge import JUDGE_WORKFLOWS
from towpath.workflows.entity_reindex import ENTITY_WORKFLOWS
from towpath.workflows.extraction import EXTRACTION_WORKFLOWS
from towpath.workflows.housekeeping import RECONCILE_ID, ReconcileWorkflow
from towpath.workflows.serving import SERVING_WORKFLOWS
from towpath.workflows.vectors import VECTOR_WORKFLOWS
from towpath.workflows.webhooks import WEBHOOK_WORKFLOWS

logger = logging.getLogger("towpath.worker")

WORKFLOWS: list[type] = [
    *ENTITY_WORKFLOWS,
    *JUDGE_WORKFLOWS,
    *VECTOR_WORKFLOWS,
    *ENRICHMENT_WORKFLOWS,
    *AI_WORKFLOWS,
    *EXTRACTION_WORKFLOWS,
    *SERVING_WORKFLOWS,
    *BATCH_WORKFLOWS,
    *WEBHOOK_WORKFLOWS,
    ReconcileWorkflow,
]
GRACE = timedelta(seconds=20)
DRAIN_SECONDS = 10.0
"""So long after it a request may take whose caller was stopped, for its answer to be kept and booked."""
STICKY = timedelta(seconds=3)
"""After so long another worker takes a workflow's task: that is what its client waits for when one was killed."""
RECONCILE_EVERY = timedelta(seconds=30)
COMPUTE_SLOTS = 2
ENGINE_SLOTS = 20
# They wait for endpoints, of which some hang; those that answer must not wait for them.
IO_SLOTS = 400
WEBHOOK_SECONDS = 15.0
WEBHOOK_BYTES = 64 << 10

ActivityMethod = Callable[..., Any]
KERNEL_ACTIVITIES = {
    Queue.ENGINE: (
        "begin_job", "enter_phase", "finish_job", "hold_job", "cancel_workflow", "find_unstarted", "sweep",
        "find_overdue", "find_unclosed",
    ),
    Queue.IO: ("try_first", "try_delivery"),
}  # fmt: skip
"""What serves jobs of all kinds; the rest is named by the kinds."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The activity objects of a worker process, each once however many queues it serves.

    Attributes:
        installed: Those of features of other packages.
    """

    jobs: JobActivities
    entities: EntityActivities
    reindex: ReindexActivities
    judge: JudgeActivities
    index_care: IndexCareActivities
    vectors: VectorActivities
    enrichment: EnrichmentActivities
    tasks: LlmTaskActivities
    ai: AiActivities
    extraction: ExtractionActivities
    serving: ServingActivities
    embeddings: EmbeddingRequests
    documents: DocumentCache
    guard: ActivityGuard
    fetcher: GuardedClient
    webhooks: WebhookActivities
    webhook_client: GuardedClient
    client: GuardedClient
    llm_gateway: LlmGateway
    models: LanguageModels
    limiter: ProviderLimiter
    batches: BatchService
    batch_steps: BatchActivities
    installed: tuple[object, ...] = ()

    @classmethod
    def make(cls, database: Database, settings: Settings, *, clock: Clock = utc_now) -> Parts:
        """Build all parts from the settings; nothing connects yet.

        Args:
            database: Where everything is kept.
            settings: The settings.
            clock: By which a provider's outage is waited out.
        """
        register_features()
        matcher = Matcher(database, memory_mb=settings.match_memory_mb)
        closed = list_own_endpoints(settings)
        client = GuardedClient(
            closed=closed,
            allow_hosts=settings.allowed_host_list,
            most_bytes=settings.source_max_bytes,
            seconds=settings.source_seconds,
        )
        webhook_client = GuardedClient(
            allow_hosts=settings.receiver_host_list,
            closed=closed,
            most_bytes=WEBHOOK_BYTES,
            seconds=WEBHOOK_SECONDS,
        )
        index = VectorIndex(partial(chroma_url, settings), token=settings.chroma_token)
        limiter = ProviderLimiter(
            PostgresLedger(database), budgets_of(database, settings.default_limits), telling(database)
        )
        models = LanguageModels(settings.llm, partial(local_llm_url, settings), limiter)
        vault = Vault(settings.encryption_key_list)
        patience = Patience(database, seconds=settings.provider_patience_seconds, clock=clock)
        llm_gateway = LlmGateway(database, models, patience)
        batches = BatchService(database, models, patience, clock=clock)
        fetcher = GuardedClient(
            closed=closed,
            allow_hosts=settings.allowed_host_list,
            most_bytes=settings.document_max_bytes,
            seconds=settings.document_seconds,
        )
        reader = DocumentReader(settings.read_limits, children=COMPUTE_SLOTS)
        runs = JobRuns(database, full_details=settings.full_details)
        housekeeping = Housekeeping(
            database,
            retention_days=settings.retention_days,
            sweeps=[sweep_after(settings.llm_cache_days), sweep_deliveries_after(settings.retention_days)],
            full_details=settings.full_details,
        )
        sources = Sources(client, reader, files_root=settings.files_root, most_bytes=settings.source_max_bytes)
        documents = DocumentCache(
            database,
            reader,
            fetcher,
            vault,
            most_bytes=settings.document_max_bytes,
        )
        embeddings = EmbeddingRequests(settings.embedding)
        agent_context = AgentContext(
            database,
            llm_gateway,
            vault,
            guard=client,
            root=settings.databases_root,
            seconds=settings.query_seconds,
        )
        return cls(
            jobs=JobActivities(runs, housekeeping),
            entities=EntityActivities(BatchIndexing(database, matcher, share_size=settings.match_chunk)),
            reindex=ReindexActivities(Reindexing(database, matcher, share_size=settings.match_chunk)),
            judge=JudgeActivities(Judging(database, matcher, llm_gateway)),
            index_care=IndexCareActivities(
                IndexCare(
                    database,
                    matcher.models,
                    window=settings.window,
                    settle_seconds=settings.settle_seconds,
                    full_details=settings.full_details,
                )
            ),
            vectors=VectorActivities(
                TaskChunks(database, index, partial(make_embedder, settings.embedding, limiter), sources, patience)
            ),
            enrichment=EnrichmentActivities(EnrichmentRuns(database, llm_gateway)),
            tasks=LlmTaskActivities(LlmTasks(database, llm_gateway)),
            ai=AiActivities(Agent(agent_context), SchemaReader(agent_context), full_details=settings.full_details),
            extraction=ExtractionActivities(
                ExtractionPipeline(database, llm_gateway, documents, chunk=settings.extraction_chunk)
            ),
            serving=ServingActivities(
                BatchRuns(
                    database,
                    LineModels(models, embeddings),
                    patience,
                    llm_gateway.writer,
                    page_lines=settings.served_chunk,
                    max_lines=settings.served_max_requests,
                    max_line_bytes=settings.served_request_max_bytes,
                    retention_days=settings.retention_days,
                    wait_seconds=settings.llm_seconds,
                )
            ),
            embeddings=embeddings,
            documents=documents,
            guard=ActivityGuard(runs, retry_days=settings.retry_days, full_details=settings.full_details),
            fetcher=fetcher,
            webhooks=WebhookActivities(DeliverySender(database, webhook_client, vault)),
            webhook_client=webhook_client,
            client=client,
            llm_gateway=llm_gateway,
            models=models,
            limiter=limiter,
            batches=batches,
            batch_steps=BatchActivities(batches),
            installed=tuple(part for feature in installed_features() for part in feature.activities(database)),
        )

    def serve(self, queue: Queue) -> list[ActivityMethod]:
        """Return the activities that a queue's workers serve: the kernel's own, and those of all registered kinds."""
        names = set(KERNEL_ACTIVITIES.get(queue, ()))
        for job_type in job_types():
            names.update(job_type.activities.get(queue, ()))
        methods = self._methods()
        return [methods[name] for name in sorted(names)]

    def _methods(self) -> dict[str, ActivityMethod]:
        """All methods of the activity objects that are activities, by their names in Temporal."""
        parts = [getattr(self, field.name) for field in fields(self) if field.name != "installed"]
        members = [getattr(part, name) for part in (*parts, *self.installed) for name in vars(type(part))]
        return {definition.name: member for member in members if (definition := _definition_of(member)) is not None}


def _definition_of(member: object) -> Any:
    return getattr(member, "__temporal_activity_definition", None)


def make_worker(client: Client, queue: Queue, parts: Parts, settings: Settings) -> Worker:
    """Make a Temporal worker for one queue.

    Args:
        client: Temporal.
        queue: The queue.
        parts: The activity objects.
        settings: The settings.
    """
    activities = parts.serve(queue)
    workflows = [*WORKFLOWS, *(kind for feature in installed_features() for kind in feature.workflows())]
    slots = {Queue.COMPUTE: COMPUTE_SLOTS, Queue.LLM: settings.llm_slots, Queue.IO: IO_SLOTS}
    return Worker(
        client,
        task_queue=queue,
        workflows=workflows if queue is Queue.ENGINE else [],
        activities=activities,
        interceptors=[parts.guard],
        max_concurrent_activities=slots.get(queue, ENGINE_SLOTS),
        graceful_shutdown_timeout=GRACE,
        # Heartbeats carry the cancel; the default of 30 s would let a cancelled chunk run on.
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
        sticky_queue_schedule_to_start_timeout=STICKY,
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
    # It logs each failed try as an error; the activity tells what became of the call.
    logging.getLogger("instructor").setLevel(logging.CRITICAL)
    database = Database(settings.require_database_url(), pool_size=settings.worker_pool_size)
    client = await connect(settings, plugins=[towpath_plugin(settings)], runtime=worker_runtime())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        parts = Parts.make(database, settings)
        stack.push_async_callback(parts.client.close)
        stack.push_async_callback(parts.webhook_client.close)
        stack.push_async_callback(parts.models.close)
        stack.push_async_callback(parts.batches.close)
        stack.push_async_callback(parts.fetcher.close)
        stack.push_async_callback(parts.documents.close)
        stack.push_async_callback(parts.embeddings.close)
        # After the workers have stopped, and before what it needs is closed.
        stack.push_async_callback(parts.llm_gateway.drain, DRAIN_SECONDS)
        for queue in queues:
            await stack.enter_async_context(make_worker(client, queue, parts, settings))
        if Queue.ENGINE in queues:
            await ensure_schedule(client)
        settle_collector()
        logger.info("ready, serving %s", ", ".join(queues))
        await stop.wait()
        logger.info("stopping")
        # What waits for its turn at a provider would wait through all of the grace.
        parts.limiter.close()


def run(settings: Settings, queues: Sequence[Queue]) -> None:
    """Entry of `towpath worker`."""
    bound_allocator()
    asyncio.run(serve(settings, queues))


def main() -> None:
    """Entry of `python worker.py`: all queues, or those of TOWPATH_QUEUES."""
    import argparse

    parser = argparse.ArgumentParser(description="A Towpath worker.")
    parser.add_argument(
        "--queues", default=",".join(Queue), help="comma-separated task queues to serve (default: %(default)s)"
    )
    try:
        queues = read_queues(parser.parse_args().queues)
    except ValueError as error:
        parser.error(str(error))
    configure_logging(get_settings().log_level)
    run(get_settings(), queues)


if __name__ == "__main__":
    main()
