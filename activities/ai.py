"""AI jobs: one iteration after the other, each kept with its cost before the next; and single questions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from temporalio import activity

from towpath.ai.agent import Desk, Work
from towpath.ai.domain.charts import NAMES, wanted_but_not_drawn
from towpath.ai.domain.linking import fields_for, shares_words, small_choice, values_in
from towpath.ai.domain.moves import (
    ANSWER,
    CHART,
    Move,
    move_form,
    order_left_out,
    order_notes,
    query_form,
    read_move,
    read_query,
    read_small,
    small_form,
    wanted_chart,
)
from towpath.ai.domain.prompts import SMALL_CHARACTERS, move_prompt, small_prompt
from towpath.ai.domain.results import last_drawable, plain_answer, unfinished_answer
from towpath.ai.domain.semantics.compile import Column, fields_of
from towpath.ai.domain.words import rows_brought
from towpath.ai.semantic_types import Query
from towpath.ai.store.connections import get_connection
from towpath.ai.store.jobs import keep_action, open_run
from towpath.ai.store.models import add_model, change_model
from towpath.ai.store.tables import ModelRow
from towpath.ai.types import ActionType, ChartType, IterationTask, ModelKind, Step, StoredAction
from towpath.core.errors import ErrorCode, JobFaultError, OutputInvalidError
from towpath.core.texts import counted, shorten
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import DeliveryRef, JobRef
from towpath.llm.types import Answer
from towpath.webhooks.store.deliveries import progress_queued

MAX_FIELDS = 300
MAX_ERRORS = 3
TOLD_CHARACTERS = 500


class AiActivities:
    """What AI jobs do.

    Args:
        desk: The stores, the models and the databases.
        full_details: Whether the Temporal UI shows what a step says, not its type alone.
    """

    def __init__(self, desk: Desk, *, full_details: bool = False) -> None:
        self._desk = desk
        self._full = full_details
        self._database = desk.database

    @activity.defn(name="iterate")
    async def iterate(self, task: IterationTask) -> Step:
        """Do the next thing that the question needs; what was done already is told again."""
        work = await self._desk.open(task.ref)
        known = next((a for a in work.actions if (a.attempt, a.step) == (task.ref.attempt, task.step)), None)
        if known is not None:
            async with self._database.transaction() as connection:
                queued = await progress_queued(connection, task.ref, known.number)
            return self._step(known, queued)
        _assert_not_hopeless(work)
        action = await self._next(work, task)
        summary = action.message if action.type is ActionType.SUMMARIZE else None
        if summary is not None:
            action.message = "Answering."
        async with self._database.transaction() as connection:
            queued = await keep_action(connection, task.ref, action, topic=work.topic, summary=summary)
            await add_warnings(connection, task.ref, work.warnings)
        return self._step(action, queued)

    def _step(self, action: StoredAction, queued: list[DeliveryRef]) -> Step:
        return Step(
            number=action.number,
            type=action.type,
            message=action.message if self._full else action.type,
            done=action.type is ActionType.SUMMARIZE,
            deliveries=queued,
        )

    async def _next(self, work: Work, task: IterationTask) -> StoredAction:
        small = self._desk.is_small(work)
        if small and (drawn := self._restyled(work, task.step)) is not None:
            return drawn
        if work.topic is None:
            work.topic, answer = await self._desk.choose_topic(work)
            return work.action(ActionType.PICK_TOPIC, f"The topic is {work.topic}.", task.step, answer)
        return await (self._small(work, task.step) if small else self._move(work, task))

    def _restyled(self, work: Work, step: int) -> StoredAction | None:
        """A question that only wants the last rows drawn otherwise needs no query and no model."""
        chart, before = wanted_chart(work.params.prompt), last_drawable(work.earlier)
        if chart is None or before is None:
            return None
        topic = work.earlier[-1].topic
        if topic is None or shares_words(work.params.prompt, work.content, topic):
            return None
        work.topic = topic
        otherwise = wanted_but_not_drawn(before[0], chart)
        if not any(one.type is ActionType.VISUALIZE for one in work.actions):
            action = work.action(ActionType.VISUALIZE, f"Drawing the rows as {NAMES[chart]}.", step)
            return _drawn(action, chart, otherwise)
        return work.action(ActionType.SUMMARIZE, otherwise or f"The rows of before, drawn as {NAMES[chart]}.", step)

    async def _small(self, work: Work, step: int) -> StoredAction:
        found = next((one for one in reversed(work.actions) if one.query is not None and one.error is None), None)
        if found is not None:
            prompt = work.params.prompt
            left_out = values_in(prompt, work.content, work.chosen_topic)
            return work.action(ActionType.SUMMARIZE, plain_answer(prompt, found, left_out), step)
        answer, query, notes = await self._small_query(work)
        action = work.action(ActionType.GENERATE_QUERY, "Asking the database.", step, answer)
        action.topic, action.chart, action.notes = work.topic, wanted_chart(work.params.prompt), notes
        await self._desk.run(work, action, query)
        return _told(action)

    async def _small_query(self, work: Work) -> tuple[Answer, Query, list[str]]:
        """The query that the embedded model leads to, and what it leaves aside."""
        prompt = work.params.prompt
        measures, dimensions = small_choice(prompt, work.content, work.chosen_topic)
        errors = [one.error for one in work.actions if one.error is not None]
        form = small_form(measures, dimensions)
        answer = await self._desk.ask(work, small_prompt(prompt, measures, dimensions, form, errors))
        query = read_small(answer.data, prompt, measures, dimensions, work.base)
        notes = [*_unread(work), *order_notes(query, prompt, measures)]
        return answer, query, notes

    async def _move(self, work: Work, task: IterationTask) -> StoredAction:
        fields = self._fields(work)
        charts = any(one.drawable for one in work.actions) or last_drawable(work.earlier) is not None
        prompt = move_prompt(
            work.params.prompt,
            work.content,
            work.chosen_topic,
            fields,
            work.actions,
            move_form(fields, charts=charts, last=task.last),
            earlier=work.earlier,
            attached=work.texts,
            images=work.images,
            attempt=task.ref.attempt,
        )
        try:
            answer = await self._desk.ask(work, prompt)
        except JobFaultError as fault:
            if task.last and isinstance(fault.__cause__, OutputInvalidError) and (rows := _last_rows(work)) is not None:
                told = unfinished_answer(work.params.prompt, rows, task.step)
                return work.action(ActionType.SUMMARIZE, told, task.step)
            raise
        move = read_move(answer.data, work.base)
        if move.action == ANSWER:
            return work.action(ActionType.SUMMARIZE, move.answer or move.message, task.step, answer)
        if move.action == CHART:
            action = work.action(ActionType.VISUALIZE, move.message, task.step, answer)
            rows = _last_rows(work)
            before = last_drawable(work.earlier) if rows is None else (rows, None)
            otherwise = wanted_but_not_drawn(before[0], move.chart) if before else "There are no rows to draw."
            return _drawn(action, move.chart, otherwise)
        action = work.action(ActionType.GENERATE_QUERY, move.message, task.step, answer)
        action.notes = order_left_out(answer.data.get("query"))
        await self._ask_database(work, action, move)
        return _told(action)

    @staticmethod
    def _fields(work: Work) -> list[Column]:
        """The fields that a model is shown."""
        fields = fields_for(work.params.prompt, work.content, work.chosen_topic, most=MAX_FIELDS)
        if len(fields) < (known := len(fields_of(work.content, work.chosen_topic))):
            told = f"the model is shown the {len(fields)} of {known} fields that are nearest to the question"
            work.warn(ErrorCode.FIELDS_LEFT_OUT, told, work.chosen_topic)
        return fields

    async def _ask_database(self, work: Work, action: StoredAction, move: Move) -> None:
        action.topic, action.title, action.chart = work.topic, move.title, move.chart
        if move.query is None:
            action.error = move.problem or "there is no query"
            return
        await self._desk.run(work, action, move.query)

    @activity.defn(name="choose_topic")
    async def choose_topic(self, ref: JobRef) -> dict[str, Any]:
        """Which topic a single question is about."""
        work = await self._desk.open(ref)
        work.topic, answer = await self._desk.choose_topic(work)
        action = work.action(ActionType.PICK_TOPIC, f"The topic is {work.topic}.", 1, answer)
        if not work.actions:
            await self._keep(work, action)
        return {"topic": work.topic}

    @activity.defn(name="generate_query")
    async def generate_query(self, ref: JobRef) -> dict[str, Any]:
        """The query of a single question, run where that is wanted; a failed one is asked for again with its error."""
        work = await self._desk.open(ref)
        if work.topic is None:
            work.topic, answer = await self._desk.choose_topic(work)
            await self._keep(work, work.action(ActionType.PICK_TOPIC, f"The topic is {work.topic}.", 1, answer))
        while len(tried := [one for one in work.actions if one.type is ActionType.GENERATE_QUERY]) < MAX_ERRORS:
            if tried and tried[-1].error is None:
                break
            await self._keep(work, await self._question(work, len(tried) + 2))
        return {"topic": work.topic}

    async def _question(self, work: Work, step: int) -> StoredAction:
        prompt, notes = work.params.prompt, list[str]()
        if self._desk.is_small(work):
            answer, query, notes = await self._small_query(work)
            move = Move("query", "Asking the database.", None, query)
        else:
            fields = self._fields(work)
            asked = move_prompt(prompt, work.content, work.chosen_topic, fields, work.actions, query_form(fields))
            answer = await self._desk.ask(work, asked)
            move = Move("query", "Asking the database.", *read_query(answer.data, work.base))
            notes = order_left_out(answer.data)
        action = work.action(ActionType.GENERATE_QUERY, move.message, step, answer)
        action.notes = notes
        if work.params.run or move.query is None:
            await self._ask_database(work, action, move)
        else:
            action.topic, action.title, action.query = work.topic, move.title, move.query
            action.error = await self._desk.fault_of(work, move.query)
        return action

    async def _keep(self, work: Work, action: StoredAction) -> None:
        async with self._database.transaction() as connection:
            await keep_action(connection, work.ref, action, topic=work.topic, summary=None)
            await add_warnings(connection, work.ref, work.warnings)
        work.actions.append(action)

    @activity.defn(name="read_schema")
    async def read_schema(self, ref: JobRef) -> dict[str, Any]:
        """Make a schema model of what a database tells of itself, or bring one up to date."""
        async with self._database.transaction() as connection:
            params = (await open_run(connection, ref)).params
        row = await get_connection(self._database, ref.organization, UUID(params["connection_id"]))
        drafted, warnings = await self._desk.draft(ref, row)
        content = drafted.model_dump(mode="json", by_alias=True, exclude_none=True)
        model_id = UUID(params["model_id"])
        if params.get("refresh"):
            await change_model(self._database, ref.organization, model_id, {"content": content})
        else:
            model = ModelRow(
                id=model_id,
                organization=ref.organization,
                connection_id=row.id,
                name=params.get("name") or row.name,
                kind=ModelKind.SCHEMA,
                content=content,
            )
            await add_model(self._database, model)
        async with self._database.transaction() as connection:
            await add_warnings(connection, ref, warnings)
        return {"model_id": str(model_id), "views": len(content["views"])}


def _told(action: StoredAction) -> StoredAction:
    """The message tells what came of it, for who looks on."""
    if action.error is not None:
        action.message = f"{action.message} It failed: {shorten(action.error, TOLD_CHARACTERS)}"
    else:
        brought = rows_brought(action)
        action.message = f"{action.message} {brought[0].upper()}{brought[1:]}."
    return action


def _drawn(action: StoredAction, chart: ChartType | None, otherwise: str | None) -> StoredAction:
    """A change of style; where the rows do not allow it, the message says so instead of claiming it."""
    action.chart = chart
    if otherwise is not None:
        action.message = f"{action.message} {otherwise}"
        action.notes = [otherwise]
    return action


def _last_rows(work: Work) -> StoredAction | None:
    """The last query of a job that brought rows."""
    return next((one for one in reversed(work.actions) if one.drawable), None)


def _unread(work: Work) -> list[str]:
    """What of a question the embedded model does not look at."""
    found = []
    if files := len(work.texts) + len(work.images):
        were = "was" if files == 1 else "were"
        found.append(f"{counted(files, 'attached file')} {were} not read by the embedded model.")
    if len(work.params.prompt) > SMALL_CHARACTERS:
        found.append(f"The embedded model was shown the first {SMALL_CHARACTERS:,} characters of the question.")
    return found


def _assert_not_hopeless(work: Work) -> None:
    """Stop after several failed queries in a row.

    Raises:
        JobFaultError: With the last error.
    """
    mine = [one for one in work.actions if one.attempt == work.ref.attempt and one.type is ActionType.GENERATE_QUERY]
    if len(mine) >= MAX_ERRORS and all(one.error is not None for one in mine[-MAX_ERRORS:]):
        raise JobFaultError(
            f"{MAX_ERRORS} queries failed, the last one so: {mine[-1].error}", code=ErrorCode.QUERY_EXECUTION_ERROR
        )
