"""The options that every start of a job's workflow has, from the façade or from within another workflow."""

from __future__ import annotations

from typing import TypedDict

from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy

from towpath.core.queues import Queue
from towpath.jobs import search_attributes as attributes
from towpath.jobs.types import JobStart


class StartOptions(TypedDict):
    """Arguments of `Client.start_workflow` and of `workflow.start_child_workflow` alike."""

    id: str
    task_queue: str
    id_reuse_policy: WorkflowIDReusePolicy
    priority: Priority
    search_attributes: TypedSearchAttributes
    static_summary: str
    static_details: str


def start_options(start: JobStart) -> StartOptions:
    """Return the options of a run: its id, how it is found and shown in the Temporal UI, its share of the workers."""
    ref = start.input.ref
    return StartOptions(
        id=ref.workflow_id,
        task_queue=Queue.ENGINE,
        # By default a closed id would run again.
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        priority=Priority(fairness_key=ref.organization[:64]),
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(attributes.ORGANIZATION, ref.organization),
                SearchAttributePair(attributes.KIND, ref.kind),
                SearchAttributePair(attributes.STATE, start.state),
            ]
        ),
        static_summary=start.summary,
        static_details=start.details,
    )
