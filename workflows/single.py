"""Workflows of jobs that are one activity and its result: a class each, made of the kind and the activity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio import workflow

from towpath.jobs.types import JobInput, JobOutcome, RunState
from towpath.workflows.job import JobWorkflow
from towpath.workflows.options import Options

Activity = Callable[[Any, Any], Any]


class SingleActivityWorkflow(JobWorkflow[RunState]):
    """What these workflows share.

    Attributes:
        called: The activity's name, and how it is run.
        shows_phase: Whether the row shows what the job does; else the Temporal UI alone does.
    """

    called: tuple[Activity, Options]
    shows_phase: bool

    def __init__(self) -> None:
        super().__init__(RunState())

    async def _phases(self, job: JobInput) -> dict[str, Any]:
        phase = job.ref.kind.replace("_", " ")
        if self.shows_phase:
            await self.enter_phase(job, phase)
        else:
            self.show_phase(phase)
        await workflow.wait_condition(lambda: not self.paused)
        method, options = self.called
        result: dict[str, Any] = await workflow.execute_activity_method(method, job.ref, **options)
        return result


def single_activity_job(
    kind: str, activity: Activity, options: Options, *, module: str, shows_phase: bool = False
) -> type[SingleActivityWorkflow]:
    """Make the workflow of a kind of job that is one activity and its result.

    The class must be assigned to its own name, for the sandbox looks it up there: `TopicChoiceWorkflow` for the kind
    `topic_choice`.

    Args:
        kind: The kind; also the workflow's name.
        activity: The activity's method: it takes the job's reference, and returns its small result.
        options: How it is run, and on which queue.
        module: The `__name__` of the module that assigns it.
        shows_phase: Whether the job's row shows what it does, for readers who follow it.
    """
    name = "".join(word.capitalize() for word in kind.split("_")) + "Workflow"

    async def run(self: SingleActivityWorkflow, job: JobInput) -> JobOutcome:
        return await self.run_job(job, self._phases)

    # Temporal skips `self` where it has no type, and takes a class for local whose method says so.
    del run.__annotations__["self"]
    run.__qualname__, run.__module__ = f"{name}.run", module
    members = {
        "__module__": module,
        "__doc__": f"Runs a job of the kind {kind}: one activity, and its result.",
        "called": (activity, options),
        "shows_phase": shows_phase,
        "run": workflow.run(run),
    }
    return workflow.defn(name=kind)(type(name, (SingleActivityWorkflow,), members))
