"""Binds the agent of AI jobs, single questions and the reading of schemas to Temporal."""

from __future__ import annotations

from typing import Any

from temporalio import activity

from towpath.ai.service.agent import Agent
from towpath.ai.service.schema_reading import SchemaReader
from towpath.ai.types import ActionType, IterationTask, Step
from towpath.jobs.types import JobRef


class AiActivities:
    """Serves what AI jobs do.

    Args:
        agent: Answers questions.
        schema_reader: Makes models of databases.
        full_details: Whether the Temporal UI shows what a step says, not its type alone.
    """

    def __init__(self, agent: Agent, schema_reader: SchemaReader, *, full_details: bool = False) -> None:
        self._agent = agent
        self._schema_reader = schema_reader
        self._full = full_details

    @activity.defn(name="iterate")
    async def iterate(self, task: IterationTask) -> Step:
        """Do the next thing that the question needs."""
        action, deliveries = await self._agent.iterate(task)
        return Step(
            number=action.number,
            type=action.type,
            message=action.message if self._full else action.type,
            done=action.type is ActionType.SUMMARIZE,
            deliveries=deliveries,
        )

    @activity.defn(name="choose_topic")
    async def choose_topic(self, ref: JobRef) -> dict[str, Any]:
        """Choose the topic of a single question."""
        return await self._agent.choose_topic(ref)

    @activity.defn(name="generate_query")
    async def generate_query(self, ref: JobRef) -> dict[str, Any]:
        """Find the query of a single question, and run it where that is asked for."""
        return await self._agent.generate_query(ref)

    @activity.defn(name="read_schema")
    async def read_schema(self, ref: JobRef) -> dict[str, Any]:
        """Make a schema model of what a database says of itself, or bring one up to date."""
        return await self._schema_reader.read_schema(ref)
