"""AI jobs: iterations until there is an answer; and the small jobs around them, of one activity each."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.ai import AiActivities
from towpath.ai.types import AI_JOB, QUERY_GENERATION, SCHEMA_READING, TOPIC_CHOICE, AiRunState, IterationTask
from towpath.jobs.types import JobInput, JobOutcome
from towpath.workflows.job import JobWorkflow
from towpath.workflows.options import PAID
from towpath.workflows.single import single_activity_job
from towpath.workflows.webhooks import start_first_attempts

EXECUTE = "execute"
MAX_ITERATIONS = 10


@workflow.defn(name=AI_JOB)
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
            await start_first_attempts(job.ref, found.deliveries, step=found.number)
            if found.done:
                return {"iterations": step}
            self.tell_phase(f"{EXECUTE}, iteration {step}: {found.message[:200]}")


TopicChoiceWorkflow = single_activity_job(TOPIC_CHOICE, AiActivities.choose_topic, PAID, module=__name__)
QueryGenerationWorkflow = single_activity_job(QUERY_GENERATION, AiActivities.generate_query, PAID, module=__name__)
SchemaReadingWorkflow = single_activity_job(SCHEMA_READING, AiActivities.read_schema, PAID, module=__name__)

AI_WORKFLOWS: list[type] = [AiJobWorkflow, TopicChoiceWorkflow, QueryGenerationWorkflow, SchemaReadingWorkflow]
