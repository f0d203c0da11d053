"""What a question and the small jobs around it are, for everything that serves jobs of all kinds."""

from __future__ import annotations

from typing import Any

from towpath.accounts.types import Principal
from towpath.ai.store.jobs import note_canceller, prepare_restart, read_details
from towpath.ai.store.links import sweep_links
from towpath.ai.store.threads import sweep_conversations
from towpath.ai.types import (
    AI_JOB,
    QUERY_GENERATION,
    SCHEMA_READING,
    TOPIC_CHOICE,
    WORDS,
    AiParams,
    SchemaReadingParams,
)
from towpath.core.queues import Queue
from towpath.db.engine import Connection
from towpath.jobs.job_type import JobType
from towpath.jobs.registry import job_type
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DELIVER, JobState

SHOWN = frozenset({"branch_id", "conversation_id", "llm", "model_id", "run", "topic_name"})


async def _note_canceller(caller: Principal, connection: Connection, job: JobRow) -> None:
    if not job.state.final and job.phase != DELIVER:
        await note_canceller(connection, job.id, caller.user_id)


async def _webhook_fields(connection: Connection, job: JobRow) -> dict[str, Any]:
    row = (await read_details(connection, [job.id])).get(job.id)
    return {
        "status": job_type(job.kind).status_of(job),
        "conversationId": str(job.conversation_id),
        "result_summary": row.summary if row is not None and job.state is JobState.COMPLETED else None,
    }


async def _sweep(connection: Connection, days: int, limit: int) -> int:
    await sweep_links(connection)
    return await sweep_conversations(connection, days=days, limit=limit)


def _part_of_a_question(kind: str, title: str, activity: str) -> JobType:
    """Describe a job that is one step of what an AI job does, asked for by itself."""
    return JobType(
        kind=kind,
        title=title,
        params=AiParams,
        subject="model_id",
        headline="prompt",
        shown_params=SHOWN,
        resource_path="/v1/jobs/{id}",
        statuses=WORDS,
        activities={Queue.LLM: (activity,)},
        is_personal=True,
    )


JOB_TYPES = (
    JobType(
        kind=AI_JOB,
        title="AI job",
        params=AiParams,
        subject="topic_name",
        headline="prompt",
        shown_params=SHOWN,
        resource_path="/v1/ai/jobs/{id}",
        statuses=WORDS,
        activities={Queue.LLM: ("iterate",)},
        is_personal=True,
        cancels_immediately=True,
        conflict="another job of its conversation is active; wait for it, or cancel it",
        on_cancel=_note_canceller,
        on_restart=prepare_restart,
        webhook_fields=_webhook_fields,
        sweep=_sweep,
    ),
    _part_of_a_question(TOPIC_CHOICE, "Topic choice", "choose_topic"),
    _part_of_a_question(QUERY_GENERATION, "Query generation", "generate_query"),
    JobType(
        kind=SCHEMA_READING,
        title="Schema reading",
        params=SchemaReadingParams,
        subject="name",
        shown_params=frozenset({"connection_id", "model_id", "name", "refresh"}),
        resource_path="/v1/jobs/{id}",
        statuses=WORDS,
        activities={Queue.LLM: ("read_schema",)},
    ),
)
