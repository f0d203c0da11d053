"""What the agent works with: the state of a run, the language models and the databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from towpath.ai.databases import Database as SourceDatabase
from towpath.ai.databases import open_database
from towpath.ai.databases.types import Limits
from towpath.ai.domain.agent_actions import build_topic_schema
from towpath.ai.domain.charts import explain_undrawable
from towpath.ai.domain.linking import describe_topics
from towpath.ai.domain.prompts import ATTACHED_CHARACTERS, build_topic_prompt
from towpath.ai.domain.results import make_title, write_csv
from towpath.ai.domain.semantics.compile import Compiled, Dialect, compile_count, compile_query
from towpath.ai.domain.semantics.draft import draft_model, warn_of_left_out
from towpath.ai.domain.words import note_missing_rows
from towpath.ai.semantic_types import Content, Query
from towpath.ai.store.connections import open_config
from towpath.ai.store.jobs import read_actions, read_details
from towpath.ai.store.models import merge_layers, read_layers
from towpath.ai.store.tables import ConnectionRow
from towpath.ai.store.threads import read_turns
from towpath.ai.types import ActionType, AiParams, ResultColumn, StoredAction, Turn
from towpath.core.errors import (
    BadInputError,
    ErrorCode,
    JobFaultError,
    ModelError,
    NotFoundError,
    QueryTooSlowError,
    TowpathError,
    UnavailableError,
)
from towpath.core.usage import Usage
from towpath.core.word_ranking import rank
from towpath.db.engine import Database
from towpath.documents.sources import cut_sources
from towpath.jobs.params import params_of
from towpath.jobs.store.runs import lock_run
from towpath.jobs.types import JobRef, JobWarning
from towpath.llm.gateway import LlmGateway
from towpath.llm.types import Answer, ImagePart, Prompt, Purpose, Site
from towpath.net.http import GuardedClient
from towpath.secrets.vault import Vault

NEAREST_TOPICS = 3
NEARLY_ALIKE = 0.8
EARLIER_TURNS = 7
"""One more than a prompt tells of, and the question itself."""
MAX_COUNTED = 1_000_000
DATABASE = "database"


@dataclass(slots=True)
class AgentRun:
    """One run of a job, as it stands.

    Attributes:
        earlier: The turns of its thread before this one.
        database_row: The connection that the model is over; None: it is gone.
        texts: What came with the question as text.
        images: What came with it as images.
    """

    ref: JobRef
    params: AiParams
    actions: list[StoredAction]
    topic: str | None
    earlier: list[Turn]
    database_row: ConnectionRow | None
    content: Content
    texts: list[str]
    images: list[ImagePart]
    warnings: list[JobWarning] = field(default_factory=list)

    def warn(self, code: ErrorCode, message: str, item: str | None = None) -> None:
        """Add a warning of what was done worse than asked; it is stored with the iteration."""
        self.warnings.append(JobWarning(code=code, message=message, item=item))

    def action(
        self, kind: ActionType, message: str, step: int, answer: Answer | None = None, *, usage: Usage | None = None
    ) -> StoredAction:
        """Make the next iteration, with what it has cost: its answer, or a question that brought none."""
        number = self.actions[-1].number + 1 if self.actions else 1
        action = StoredAction(
            number=number, attempt=self.ref.attempt, step=step, type=kind, message=message, at=datetime.now(UTC)
        )
        if answer is not None:
            usage, action.model_seconds = answer.usage, answer.seconds
        if usage is not None:
            action.usd = usage.usd
            action.input_tokens, action.output_tokens = usage.input_tokens, usage.output_tokens
        return action

    @property
    def connection(self) -> ConnectionRow:
        """Return the database that the model is over.

        Raises:
            JobFaultError: It is gone.
        """
        if self.database_row is None:
            raise JobFaultError("the model's connection is gone", code=ErrorCode.QUERY_EXECUTION_ERROR)
        return self.database_row

    @property
    def chosen_topic(self) -> str:
        """Return the topic, once there is one."""
        if self.topic is None:
            raise RuntimeError("no topic is chosen yet")
        return self.topic

    @property
    def base(self) -> str:
        """Return the topic's base view."""
        return self.content.topics[self.chosen_topic].base_view


class AgentContext:
    """Opens the run of a job, asks the models, queries the databases.

    Args:
        database: Jobs, models, connections.
        llm_gateway: The language models.
        vault: Opens connections.
        guard: Which hosts a database may be on.
        root: The folder of DuckDB files.
        seconds: Longest time of one query.
    """

    def __init__(
        self,
        database: Database,
        llm_gateway: LlmGateway,
        vault: Vault,
        *,
        guard: GuardedClient,
        root: Path | None,
        seconds: float,
    ) -> None:
        self.database = database
        self.llm_gateway = llm_gateway
        self._vault = vault
        self._guard = guard
        self._root = root
        self._seconds = seconds

    async def open(self, ref: JobRef) -> AgentRun:
        """Load a run as it stands, everything once.

        Raises:
            JobNotActiveError: It has ended.
            JobFaultError: Its model is gone or has become invalid, or has no such topic.
        """
        async with self.database.transaction() as connection:
            job = await lock_run(connection, ref)
            params = params_of(job, AiParams)
            actions = (await read_actions(connection, [ref.job_id]))[ref.job_id]
            details = (await read_details(connection, [ref.job_id]))[ref.job_id]
            earlier: list[Turn] = []
            if params.conversation_id is not None:
                earlier = await read_turns(
                    connection, params.conversation_id, limit=EARLIER_TURNS, except_job=ref.job_id
                )
            try:
                database_row, layers = await read_layers(
                    connection, ref.organization, params.branch_id or params.model_id
                )
            except NotFoundError as error:
                raise _unusable_model_error(error) from error
        try:
            # Outside the transaction, which would hold the job's row, and beside the event loop: a model that this
            # process has not met yet may have some thousand expressions to parse.
            content = await asyncio.to_thread(merge_layers, layers)
        except BadInputError as error:
            raise _unusable_model_error(error) from error
        topic = details.topic or params.topic_name
        if topic is not None and topic not in content.topics:
            raise JobFaultError(f"the model has no topic {topic}", code=ErrorCode.TOPIC_NOT_FOUND)
        texts, images = await self.llm_gateway.sources(ref.organization, params.attachment_ids)
        cut = cut_sources(texts, ATTACHED_CHARACTERS)
        return AgentRun(ref, params, actions, topic, earlier, database_row, content, texts, images, cut)

    async def ask(self, run: AgentRun, prompt: Prompt) -> Answer:
        """Ask the job's model, once for each question.

        Raises:
            ModelError: It does not answer now; the activity is tried again.
            JobFaultError: It gives no usable answer.
        """
        try:
            site = Site(Purpose.QUESTION, len(run.actions))
            return await self.llm_gateway.ask(run.ref, run.params.llm, prompt, site=site)
        except ModelError as error:
            if error.retryable:
                raise
            raise JobFaultError(error.detail, code=ErrorCode.MODEL_ERROR) from error

    def is_small(self, run: AgentRun) -> bool:
        """Return whether the job's model is a small one, which chooses among few things and writes nothing."""
        return self.llm_gateway.catalog.is_small(run.params.llm)

    async def choose_topic(self, run: AgentRun) -> tuple[str, Answer | None]:
        """Choose the topic that a question is about; the model is asked only where there is a choice.

        Raises:
            JobFaultError: There is no topic.
        """
        shown = [name for name, topic in run.content.topics.items() if not topic.hidden]
        names = run.params.topics or shown
        if not names:
            raise JobFaultError("the model has no topic", code=ErrorCode.TOPIC_NOT_FOUND)
        if len(names) == 1:
            return names[0], None
        texts = describe_topics(run.content, names)
        if self.is_small(run):
            nearest = rank(run.params.prompt, texts)[:NEAREST_TOPICS]
            (best, score), (second, next_score) = nearest[:2]
            if score > next_score:
                if next_score > score * NEARLY_ALIKE:
                    message = f"the question's words fit the topics {best} and {second} nearly alike; {best} was taken"
                    run.warn(ErrorCode.TOPIC_GUESSED, message)
                return best, None
            names = [name for name, _ in nearest]
            texts = {name: texts[name] for name in names}
        answer = await self.ask(
            run, build_topic_prompt(run.params.prompt, texts, build_topic_schema(names), run.earlier)
        )
        return str(answer.data["topic"]), answer

    async def run_query(self, run: AgentRun, action: StoredAction, query: Query) -> None:
        """Compile a query, run it, and put into the action what it brought, or why it brought nothing.

        Raises:
            UnavailableError: The database does not answer now; the activity is tried again.
            JobFaultError: It cannot be reached at all.
        """
        connection = run.connection
        action.query = query
        try:
            # One row more than the limit shows whether there are more.
            probe = query.model_copy(update={"limit": query.limit + 1})
            compiled = compile_query(run.content, run.chosen_topic, probe, Dialect(connection.kind))
        except BadInputError as error:
            action.error = error.detail
            return
        action.columns = [
            ResultColumn(name=column.name, label=column.label, type=column.type, measure=column.measure)
            for column in compiled.columns
        ]
        action.title = action.title or make_title(action.columns)
        started = time.monotonic()
        rows = await self._fetch_rows(run, compiled, query, action)
        action.database_seconds = time.monotonic() - started
        if rows is not None:
            action.csv, stored = write_csv(action.columns, rows)
            action.truncated = stored < action.rows or not action.exact
            action.notes += note_missing_rows(action, stored)
            # Who asks for the first three has them; what nobody asked to leave out is worth a warning.
            if action.truncated and (stored < len(rows) or "limit" not in query.model_fields_set):
                more = f"{action.rows:,}" if action.exact else f"more than {action.rows:,}"
                message = f"its result has {more} rows, of which {stored:,} are kept"
                run.warn(ErrorCode.RESULT_TRUNCATED, message, action.title or f"query {action.number}")
            if (reason := explain_undrawable(action, action.chart)) is not None and action.rows:
                action.notes.append(reason)

    async def find_fault(self, run: AgentRun, query: Query) -> str | None:
        """Say what is wrong with a query that is not run; None: nothing."""
        connection = run.connection
        try:
            compile_query(run.content, run.chosen_topic, query, Dialect(connection.kind))
        except BadInputError as error:
            return error.detail
        return None

    async def draft_content(self, ref: JobRef, row: ConnectionRow) -> tuple[Content, list[JobWarning]]:
        """Draft a model of what a database says of itself.

        Returns:
            The model, and warnings of what was left out of it.

        Raises:
            UnavailableError: It does not answer now.
            JobFaultError: It cannot be reached at all, or holds no table.
        """
        opened = await self._open(ref, row)
        try:
            tables = await opened.tables()
        except UnavailableError as error:
            raise await self._unavailable_error(ref, error) from error
        finally:
            await opened.close()
        if not tables:
            raise JobFaultError("the database holds no table", code=ErrorCode.QUERY_EXECUTION_ERROR)
        return draft_model(tables), warn_of_left_out(tables)

    async def _fetch_rows(
        self, run: AgentRun, compiled: Compiled, query: Query, action: StoredAction
    ) -> Sequence[Sequence[Any]] | None:
        """Fetch the rows within the query's limit; how many there are in all is noted in the action."""
        opened = await self._open(run.ref, run.connection)
        try:
            limits = Limits(rows=query.limit, seconds=self._seconds)
            await opened.check_own(compiled.tables)
            result = await opened.run(compiled.sql, compiled.parameters, limits)
            action.rows = action.brought = len(result.rows)
            if result.truncated:
                number = await self._count(opened, run, query)
                action.exact = number is not None and number <= MAX_COUNTED
                action.rows = max(min(number or 0, MAX_COUNTED), len(result.rows) + (1 if action.exact else 0))
        except (QueryTooSlowError, BadInputError) as error:
            action.error = error.detail
            return None
        except UnavailableError as error:
            raise await self._unavailable_error(run.ref, error) from error
        finally:
            await opened.close()
        await self.llm_gateway.patience.note_answer(run.ref, DATABASE)
        return result.rows

    async def _count(self, opened: SourceDatabase, run: AgentRun, query: Query) -> int | None:
        """Count the rows of a query without its limit, up to one above `MAX_COUNTED`; None: it takes too long."""
        dialect = Dialect(run.connection.kind)
        counting = compile_count(run.content, run.chosen_topic, query, dialect, most=MAX_COUNTED)
        try:
            result = await opened.run(counting.sql, counting.parameters, Limits(rows=1, seconds=self._seconds))
        except QueryTooSlowError:
            return None
        return int(result.rows[0][0])

    async def _open(self, ref: JobRef, row: ConnectionRow) -> SourceDatabase:
        try:
            return await open_database(
                open_config(self._vault, row), row.organization, root=self._root, guard=self._guard
            )
        except (BadInputError, NotFoundError) as error:
            raise JobFaultError(error.detail, code=ErrorCode.QUERY_EXECUTION_ERROR) from error
        except UnavailableError as error:
            raise await self._unavailable_error(ref, error) from error

    async def _unavailable_error(self, ref: JobRef, error: UnavailableError) -> TowpathError:
        """Return what to raise for a database that does not answer now."""
        judged = await self.llm_gateway.patience.judge(ref, "the database", DATABASE, error)
        return judged if judged.retryable else JobFaultError(judged.detail, code=ErrorCode.QUERY_EXECUTION_ERROR)


def _unusable_model_error(error: TowpathError) -> JobFaultError:
    return JobFaultError(f"the model cannot be used any more: {error.detail}")
