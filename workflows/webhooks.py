"""Deliveries: the first attempts of an event all at once, then a workflow for each one that failed.

An endpoint that fails may need days; one that answers, as nearly all do, costs no workflow of its own.
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
    FIRST_ATTEMPTS,
    AttemptTask,
    DeliveryInput,
    DeliveryOutcome,
    DeliveryState,
    FirstAttemptsInput,
    FirstAttemptsOutcome,
)
from towpath.workflows.options import WEBHOOK

FIRST_AT_ONCE = 200

Run = Callable[[Any, Any], Awaitable[Any]]


@workflow.defn(name=DELIVERY)
class DeliveryWorkflow:
    """Sends one event to one endpoint."""

    @workflow.run
    async def run(self, delivery: DeliveryInput) -> DeliveryOutcome:
        """Repeat attempts until the endpoint has it or wants it no more, or the schedule is over."""
        number = delivery.tried
        if delivery.wait:
            await workflow.sleep(delivery.wait, summary=f"before attempt {number + 1}")
        while True:
            task = AttemptTask(ref=delivery.ref, number=number)
            outcome = await workflow.execute_activity_method(
                WebhookActivities.attempt_delivery, task, **WEBHOOK, summary=f"attempt {number + 1}"
            )
            number += 1
            if outcome.state is not DeliveryState.PENDING:
                workflow.set_current_details(f"{outcome.state} after {number} attempts")
                return DeliveryOutcome(state=outcome.state, attempts=number)
            workflow.set_current_details(f"attempt {number} failed; the next in {outcome.wait:.0f} s")
            await workflow.sleep(outcome.wait, summary=f"before attempt {number + 1}")


@workflow.defn(name=FIRST_ATTEMPTS)
class FirstAttemptsWorkflow:
    """Sends one event to all its endpoints for the first time."""

    @workflow.run
    async def run(self, first: FirstAttemptsInput) -> FirstAttemptsOutcome:
        """Attempt each delivery once; one that fails gets a workflow of its own."""
        outcome = FirstAttemptsOutcome(delivered=0, pending=0)
        for place in range(0, len(first.refs), FIRST_AT_ONCE):
            refs = first.refs[place : place + FIRST_AT_ONCE]
            attempts = await workflow.execute_activity_method(
                WebhookActivities.make_first_attempts,
                FirstAttemptsInput(refs=refs),
                **WEBHOOK,
                summary=f"{len(refs)} receivers",
            )
            pending = [
                DeliveryInput(ref=ref, tried=1, wait=attempt.wait)
                for ref, attempt in zip(refs, attempts, strict=True)
                if attempt.state is DeliveryState.PENDING
            ]
            await asyncio.gather(*(start_delivery(delivery) for delivery in pending))
            outcome.pending += len(pending)
            outcome.delivered += sum(attempt.state is DeliveryState.DELIVERED for attempt in attempts)
        workflow.set_current_details(f"{outcome.delivered} have it, {outcome.pending} are tried again")
        return outcome


async def start_first_attempts(job: JobRef, refs: list[DeliveryRef], *, step: int = 0) -> None:
    """Start the first attempts from within a job's workflow: at its end, or at a step's progress."""
    if refs:
        identity = f"{job.organization}/{FIRST_ATTEMPTS}/{job.job_id}.{job.attempt}" + (f".{step}" if step else "")
        await _start(
            FirstAttemptsWorkflow.run, FirstAttemptsInput(refs=refs), identity, job.organization, FIRST_ATTEMPTS
        )


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


WEBHOOK_WORKFLOWS = [FirstAttemptsWorkflow, DeliveryWorkflow]
