"""AI jobs: iterations until there is an answer; and the small jobs around them, of one activity each."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.ai import AiActivities
from towpath.ai.types import AiRunState, IterationTask
from towpath.jobs.types import JobInput, JobKind, JobOutcome, RunState
from towpath.workflows.job import JobWorkflow
from towpath.workflows.options import PAID
from towpath.workflows.webhooks import start_notice

EXECUTE = "execute"
MAX_ITERATIONS = 10


@workflow.defn(name=JobKind.AI_JOB)
class AiJobWorkflow(JobWorkflow[AiRunState]):
    """Answers one question of a conversation."""

    def __init__(self) -> None:
        super().__init__(AiRunState())

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any]:
        state = self.state
        while True:
            await workflow.wait_condition(lambda: not self.paused)
            if workflow.info().is_continue_as_new_suggested():
                self.carry_on(job)
            step = state.iterations + 1
            self.tell_phase(f"{EXECUTE}, iteration {step}")
            task = IterationTask(ref=job.ref, step=step, last=step >= MAX_ITERATIONS)
            found = await workflow.execute_activity_method(
                AiActivities.iterate, task, **PAID, summary=f"iteration {step}"
            )
            state.iterations = step
            await start_notice(job.ref, found.deliveries, step=found.number)
            if found.done:
                return {"iterations": step}
            self.tell_phase(f"{EXECUTE}, iteration {step}: {found.message[:200]}")


class SingleAnswerWorkflow(JobWorkflow[RunState]):
    """A job that is one activity and its result."""

    def __init__(self) -> None:
        super().__init__(RunState())

    async def _phases(self, job: JobInput) -> dict[str, Any]:
        self.tell_phase(job.ref.kind.replace("_", " "))
        await workflow.wait_condition(lambda: not self.paused)
        methods = {
            JobKind.TOPIC_CHOICE: AiActivities.choose_topic,
            JobKind.QUERY_GENERATION: AiActivities.generate_query,
            JobKind.SCHEMA_READING: AiActivities.read_schema,
        }
        return await workflow.execute_activity_method(methods[job.ref.kind], job.ref, **PAID)


@workflow.defn(name=JobKind.TOPIC_CHOICE)
class TopicChoiceWorkflow(SingleAnswerWorkflow):
    """Chooses the topic of a question."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


@workflow.defn(name=JobKind.QUERY_GENERATION)
class QueryGenerationWorkflow(SingleAnswerWorkflow):
    """Makes the query of a question."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


@workflow.defn(name=JobKind.SCHEMA_READING)
class SchemaReadingWorkflow(SingleAnswerWorkflow):
    """Makes a semantic model of what a database holds."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.conduct(job, self._phases)


AI_WORKFLOWS = [AiJobWorkflow, TopicChoiceWorkflow, QueryGenerationWorkflow, SchemaReadingWorkflow]
