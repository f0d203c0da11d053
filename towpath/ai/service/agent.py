"""The agent behind AI jobs: one iteration after the other, each stored with its cost before the next."""

from __future__ import annotations

from typing import Any

from towpath.ai.domain.agent_actions import (
    ANSWER,
    CHART,
    AgentAction,
    build_action_schema,
    build_constrained_schema,
    build_query_schema,
    find_requested_chart,
    note_dropped_order,
    note_order,
    read_action,
    read_constrained,
    read_query,
)
from towpath.ai.domain.charts import NAMES, explain_undrawable
from towpath.ai.domain.linking import find_values, has_field_names, select_constrained_fields, select_fields
from towpath.ai.domain.prompts import SMALL_CHARACTERS, build_action_prompt, build_constrained_prompt
from towpath.ai.domain.results import find_last_drawable, write_plain_answer, write_unfinished_answer
from towpath.ai.domain.semantics.compile import Column, list_fields
from towpath.ai.domain.words import describe_rows
from towpath.ai.semantic_types import Query
from towpath.ai.service.agent_context import AgentContext, AgentRun
from towpath.ai.store.jobs import save_action
from towpath.ai.types import ActionType, ChartType, IterationTask, StoredAction
from towpath.core.errors import ErrorCode, JobFaultError, OutputInvalidError
from towpath.core.texts import format_count, shorten
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import DeliveryRef, JobRef
from towpath.llm.types import Answer
from towpath.webhooks.store.deliveries import find_queued_progress

MAX_FIELDS = 300
MAX_ERRORS = 3
ERROR_CHARACTERS = 500


class Agent:
    """Answers questions over semantic models, one durable iteration after the other.

    Args:
        context: The stores, the models and the databases.
    """

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._database = context.database

    async def iterate(self, task: IterationTask) -> tuple[StoredAction, list[DeliveryRef]]:
        """Do the next thing that the question needs; what was done already is returned again.

        Returns:
            The finished iteration, and the deliveries that tell of it.
        """
        run = await self._context.open(task.ref)
        known = next((a for a in run.actions if (a.attempt, a.step) == (task.ref.attempt, task.step)), None)
        if known is not None:
            async with self._database.transaction() as connection:
                return known, await find_queued_progress(connection, task.ref, known.number)
        _assert_some_query_works(run)
        action = await self._next_action(run, task)
        summary = action.message if action.type is ActionType.SUMMARIZE else None
        if summary is not None:
            action.message = "Answering."
        async with self._database.transaction() as connection:
            deliveries = await save_action(
                connection,
                task.ref,
                action,
                topic=run.topic,
                summary=summary,
                announce=run.params.progress_webhook,
            )
            await add_warnings(connection, task.ref, run.warnings)
        return action, deliveries

    async def _next_action(self, run: AgentRun, task: IterationTask) -> StoredAction:
        is_small = self._context.is_small(run)
        if is_small and (redrawn := self._redraw(run, task.step)) is not None:
            return redrawn
        if run.topic is None:
            run.topic, answer = await self._context.choose_topic(run)
            return run.action(ActionType.PICK_TOPIC, f"The topic is {run.topic}.", task.step, answer)
        return await (self._constrained_action(run, task.step) if is_small else self._model_action(run, task))

    def _redraw(self, run: AgentRun, step: int) -> StoredAction | None:
        """Draw the last rows otherwise, where a question wants no more: that needs no query and no model."""
        chart, drawable = find_requested_chart(run.params.prompt), find_last_drawable(run.earlier)
        if chart is None or drawable is None:
            return None
        topic = run.earlier[-1].topic
        if topic is None or has_field_names(run.params.prompt, run.content, topic):
            return None
        run.topic = topic
        reason = explain_undrawable(drawable[0], chart)
        if not any(action.type is ActionType.VISUALIZE for action in run.actions):
            action = run.action(ActionType.VISUALIZE, f"Drawing the rows as {NAMES[chart]}.", step)
            return _as_chart(action, chart, reason)
        return run.action(ActionType.SUMMARIZE, reason or f"The rows of before, drawn as {NAMES[chart]}.", step)

    async def _constrained_action(self, run: AgentRun, step: int) -> StoredAction:
        answered = next((past for past in reversed(run.actions) if past.query is not None and past.error is None), None)
        if answered is not None:
            prompt = run.params.prompt
            values = find_values(prompt, run.content, run.chosen_topic)
            return run.action(ActionType.SUMMARIZE, write_plain_answer(prompt, answered, values), step)
        answer, query, notes = await self._ask_for_constrained_query(run)
        action = run.action(ActionType.GENERATE_QUERY, "Asking the database.", step, answer)
        action.topic, action.chart, action.notes = run.topic, find_requested_chart(run.params.prompt), notes
        await self._context.run_query(run, action, query)
        return _with_outcome(action)

    async def _ask_for_constrained_query(self, run: AgentRun) -> tuple[Answer, Query, list[str]]:
        """Ask the embedded model for its choice.

        Returns:
            The answer, the query that it leads to, and notes on what that leaves aside.
        """
        prompt = run.params.prompt
        measures, dimensions = select_constrained_fields(prompt, run.content, run.chosen_topic)
        errors = [action.error for action in run.actions if action.error is not None]
        schema = build_constrained_schema(measures, dimensions)
        answer = await self._context.ask(run, build_constrained_prompt(prompt, measures, dimensions, schema, errors))
        query = read_constrained(answer.data, prompt, measures, dimensions, run.base)
        notes = [*_unread_notes(run), *note_order(query, prompt, measures)]
        return answer, query, notes

    async def _model_action(self, run: AgentRun, task: IterationTask) -> StoredAction:
        fields = self._shown_fields(run)
        charts = any(action.drawable for action in run.actions) or find_last_drawable(run.earlier) is not None
        prompt = build_action_prompt(
            run.params.prompt,
            run.content,
            run.chosen_topic,
            fields,
            run.actions,
            build_action_schema(fields, charts=charts, last=task.last),
            earlier=run.earlier,
            attached=run.texts,
            images=run.images,
            attempt=task.ref.attempt,
        )
        try:
            answer = await self._context.ask(run, prompt)
        except JobFaultError as fault:
            if (
                task.last
                and isinstance(fault.__cause__, OutputInvalidError)
                and (rows := _last_drawable(run)) is not None
            ):
                message = write_unfinished_answer(run.params.prompt, rows, task.step)
                return run.action(ActionType.SUMMARIZE, message, task.step, usage=fault.__cause__.usage)
            raise
        choice = read_action(answer.data, run.base)
        if choice.action == ANSWER:
            return run.action(ActionType.SUMMARIZE, choice.answer or choice.message, task.step, answer)
        if choice.action == CHART:
            action = run.action(ActionType.VISUALIZE, choice.message, task.step, answer)
            rows = _last_drawable(run)
            drawable = find_last_drawable(run.earlier) if rows is None else (rows, None)
            reason = explain_undrawable(drawable[0], choice.chart) if drawable else "There are no rows to draw."
            return _as_chart(action, choice.chart, reason)
        action = run.action(ActionType.GENERATE_QUERY, choice.message, task.step, answer)
        action.notes = note_dropped_order(answer.data.get("query"))
        await self._query_database(run, action, choice)
        return _with_outcome(action)

    @staticmethod
    def _shown_fields(run: AgentRun) -> list[Column]:
        """Choose the fields that a model is shown."""
        fields = select_fields(run.params.prompt, run.content, run.chosen_topic, most=MAX_FIELDS)
        if len(fields) < (known := len(list_fields(run.content, run.chosen_topic))):
            message = f"the model is shown the {len(fields)} of {known} fields that are nearest to the question"
            run.warn(ErrorCode.FIELDS_LEFT_OUT, message, run.chosen_topic)
        return fields

    async def _query_database(self, run: AgentRun, action: StoredAction, choice: AgentAction) -> None:
        action.topic, action.title, action.chart = run.topic, choice.title, choice.chart
        if choice.query is None:
            action.error = choice.problem or "there is no query"
            return
        await self._context.run_query(run, action, choice.query)

    async def choose_topic(self, ref: JobRef) -> dict[str, Any]:
        """Choose the topic of a single question.

        Returns:
            The result of the job.
        """
        run = await self._context.open(ref)
        run.topic, answer = await self._context.choose_topic(run)
        action = run.action(ActionType.PICK_TOPIC, f"The topic is {run.topic}.", 1, answer)
        if not run.actions:
            await self._save(run, action)
        return {"topic": run.topic}

    async def generate_query(self, ref: JobRef) -> dict[str, Any]:
        """Find the query of a single question, and run it where that is asked for.

        A query that fails is asked for again with its error.

        Returns:
            The result of the job.
        """
        run = await self._context.open(ref)
        if run.topic is None:
            run.topic, answer = await self._context.choose_topic(run)
            await self._save(run, run.action(ActionType.PICK_TOPIC, f"The topic is {run.topic}.", 1, answer))
        while len(tried := [past for past in run.actions if past.type is ActionType.GENERATE_QUERY]) < MAX_ERRORS:
            if tried and tried[-1].error is None:
                break
            await self._save(run, await self._generate(run, len(tried) + 2))
        return {"topic": run.topic}

    async def _generate(self, run: AgentRun, step: int) -> StoredAction:
        prompt, notes = run.params.prompt, list[str]()
        if self._context.is_small(run):
            answer, query, notes = await self._ask_for_constrained_query(run)
            choice = AgentAction("query", "Asking the database.", None, query)
        else:
            fields = self._shown_fields(run)
            request = build_action_prompt(
                prompt, run.content, run.chosen_topic, fields, run.actions, build_query_schema(fields)
            )
            answer = await self._context.ask(run, request)
            choice = AgentAction("query", "Asking the database.", *read_query(answer.data, run.base))
            notes = note_dropped_order(answer.data)
        action = run.action(ActionType.GENERATE_QUERY, choice.message, step, answer)
        action.notes = notes
        if run.params.run or choice.query is None:
            await self._query_database(run, action, choice)
        else:
            action.topic, action.title, action.query = run.topic, choice.title, choice.query
            action.error = await self._context.find_fault(run, choice.query)
        return action

    async def _save(self, run: AgentRun, action: StoredAction) -> None:
        async with self._database.transaction() as connection:
            await save_action(connection, run.ref, action, topic=run.topic, summary=None)
            await add_warnings(connection, run.ref, run.warnings)
        run.actions.append(action)


def _with_outcome(action: StoredAction) -> StoredAction:
    """Add to an action's message what came of it, for who looks on."""
    if action.error is not None:
        action.message = f"{action.message} It failed: {shorten(action.error, ERROR_CHARACTERS)}"
    else:
        brought = describe_rows(action)
        action.message = f"{action.message} {brought[0].upper()}{brought[1:]}."
    return action


def _as_chart(action: StoredAction, chart: ChartType | None, reason: str | None) -> StoredAction:
    """Make a change of style of an action.

    Args:
        reason: Why the rows do not allow the chart: the message says so instead of claiming it.
    """
    action.chart = chart
    if reason is not None:
        action.message = f"{action.message} {reason}"
        action.notes = [reason]
    return action


def _last_drawable(run: AgentRun) -> StoredAction | None:
    """Return the last query of a job that brought rows."""
    return next((action for action in reversed(run.actions) if action.drawable), None)


def _unread_notes(run: AgentRun) -> list[str]:
    """Note what of a question the embedded model does not look at."""
    notes = []
    if files := len(run.texts) + len(run.images):
        were = "was" if files == 1 else "were"
        notes.append(f"{format_count(files, 'attached file')} {were} not read by the embedded model.")
    if len(run.params.prompt) > SMALL_CHARACTERS:
        notes.append(f"The embedded model was shown the first {SMALL_CHARACTERS:,} characters of the question.")
    return notes


def _assert_some_query_works(run: AgentRun) -> None:
    """Stop after several failed queries in a row.

    Raises:
        JobFaultError: With the last error.
    """
    queries = [
        action
        for action in run.actions
        if action.attempt == run.ref.attempt and action.type is ActionType.GENERATE_QUERY
    ]
    if len(queries) >= MAX_ERRORS and all(query.error is not None for query in queries[-MAX_ERRORS:]):
        raise JobFaultError(
            f"{MAX_ERRORS} queries failed, the last one so: {queries[-1].error}", code=ErrorCode.QUERY_EXECUTION_ERROR
        )
