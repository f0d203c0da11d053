"""AI jobs: iterations until there is an answer; and the small jobs around them, of one activity each."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.ai import AiActivities
from towpath.ai.types import AI_JOB, QUERY_GENERATION, SCHEMA_READING, TOPIC_CHOICE, AiRunState, IterationTask
from towpath.jobs.types import JobInput, JobOutcome
from towpath.workflows.job import JobWorkflow
from towpath.workflows.options import LLM_CALL
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
        return await self.run_job(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any]:
        state = self.state
        while True:
            await workflow.wait_condition(lambda: not self.paused)
            if workflow.info().is_continue_as_new_suggested():
                self.continue_as_new(job)
            step = state.iterations + 1
            self.show_phase(f"{EXECUTE}, iteration {step}")
            task = IterationTask(ref=job.ref, step=step, last=step >= MAX_ITERATIONS)
            outcome = await workflow.execute_activity_method(
                AiActivities.iterate, task, **LLM_CALL, summary=f"iteration {step}"
            )
            state.iterations = step
            await start_first_attempts(job.ref, outcome.deliveries, step=outcome.number)
            if outcome.done:
                return {"iterations": step}
            self.show_phase(f"{EXECUTE}, iteration {step}: {outcome.message[:200]}")


TopicChoiceWorkflow = single_activity_job(TOPIC_CHOICE, AiActivities.choose_topic, LLM_CALL, module=__name__)
QueryGenerationWorkflow = single_activity_job(QUERY_GENERATION, AiActivities.generate_query, LLM_CALL, module=__name__)
SchemaReadingWorkflow = single_activity_job(SCHEMA_READING, AiActivities.read_schema, LLM_CALL, module=__name__)

AI_WORKFLOWS: list[type] = [AiJobWorkflow, TopicChoiceWorkflow, QueryGenerationWorkflow, SchemaReadingWorkflow]
