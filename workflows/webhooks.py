"""Notices of a job's end: the first attempts all at once, then a workflow for each receiver that failed.

A receiver that fails may need days; one that answers, as nearly all do, costs no workflow of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from towpath.activities.webhooks import WebhookActivities
from towpath.core.queues import Queue
from towpath.jobs import search_attributes as attributes
from towpath.jobs.types import DeliveryRef, JobRef
from towpath.webhooks.types import (
    DELIVERY,
    NOTICE,
    DeliveryInput,
    DeliveryOutcome,
    DeliveryState,
    NoticeInput,
    NoticeOutcome,
    TryTask,
)
from towpath.workflows.options import WEBHOOK

FIRST_AT_ONCE = 200

Run = Callable[[Any, Any], Awaitable[Any]]


@workflow.defn(name=DELIVERY)
class DeliveryWorkflow:
    """Tells one receiver of one event."""

    @workflow.run
    async def run(self, delivery: DeliveryInput) -> DeliveryOutcome:
        """Try until the receiver has it, wants it no more, or the schedule is over."""
        number = delivery.tried
        if delivery.wait:
            await workflow.sleep(delivery.wait, summary=f"before attempt {number + 1}")
        while True:
            task = TryTask(ref=delivery.ref, number=number)
            outcome = await workflow.execute_activity_method(
                WebhookActivities.try_delivery, task, **WEBHOOK, summary=f"attempt {number + 1}"
            )
            number += 1
            if outcome.state is not DeliveryState.PENDING:
                workflow.set_current_details(f"{outcome.state} after {number} attempts")
                return DeliveryOutcome(state=outcome.state, attempts=number)
            workflow.set_current_details(f"attempt {number} failed; the next in {outcome.wait:.0f} s")
            await workflow.sleep(outcome.wait, summary=f"before attempt {number + 1}")


@workflow.defn(name=NOTICE)
class NoticeWorkflow:
    """Tells all receivers of one job's end."""

    @workflow.run
    async def run(self, notice: NoticeInput) -> NoticeOutcome:
        """Try each once; who does not have it then is tried by a workflow of its own."""
        outcome = NoticeOutcome(delivered=0, pending=0)
        for first in range(0, len(notice.refs), FIRST_AT_ONCE):
            refs = notice.refs[first : first + FIRST_AT_ONCE]
            outcomes = await workflow.execute_activity_method(
                WebhookActivities.try_first, NoticeInput(refs=refs), **WEBHOOK, summary=f"{len(refs)} receivers"
            )
            left = [
                DeliveryInput(ref=ref, tried=1, wait=first_attempt.wait)
                for ref, first_attempt in zip(refs, outcomes, strict=True)
                if first_attempt.state is DeliveryState.PENDING
            ]
            await asyncio.gather(*(start_delivery(delivery) for delivery in left))
            outcome.pending += len(left)
            outcome.delivered += sum(attempt.state is DeliveryState.DELIVERED for attempt in outcomes)
        workflow.set_current_details(f"{outcome.delivered} have it, {outcome.pending} are tried again")
        return outcome


async def start_notice(job: JobRef, refs: list[DeliveryRef], *, step: int = 0) -> None:
    """Start a notice from within a job's workflow: of its end, or of a step's progress."""
    if refs:
        identity = f"{job.organization}/{NOTICE}/{job.job_id}.{job.attempt}" + (f".{step}" if step else "")
        await _start(NoticeWorkflow.run, NoticeInput(refs=refs), identity, job.organization, NOTICE)


async def start_delivery(delivery: DeliveryInput) -> bool:
    """Start a delivery from within a workflow; one that runs is left alone.

    Returns:
        Whether it was started.
    """
    return await _start(DeliveryWorkflow.run, delivery, delivery.ref.workflow_id, delivery.ref.organization, DELIVERY)


async def _start(run: Run, argument: BaseModel, identity: str, organization: str, kind: str) -> bool:
    try:
        await workflow.start_child_workflow(
            run,
            argument,
            id=identity,
            task_queue=Queue.ENGINE,
            # One that an operator has terminated may be taken up by the reconciler.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(attributes.ORGANIZATION, organization), SearchAttributePair(attributes.KIND, kind)]
            ),
            static_summary="tells of a job's end",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


WEBHOOK_WORKFLOWS = [NoticeWorkflow, DeliveryWorkflow]
