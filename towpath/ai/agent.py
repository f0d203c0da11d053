"""What an iteration of an AI job works on, and what its model is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from towpath.ai.databases import Database as Opened
from towpath.ai.databases import open_database
from towpath.ai.databases.types import Limits
from towpath.ai.domain.charts import wanted_but_not_drawn
from towpath.ai.domain.linking import rank, topic_texts
from towpath.ai.domain.moves import topic_form
from towpath.ai.domain.prompts import ATTACHED_CHARACTERS, topic_prompt
from towpath.ai.domain.results import title_of, write_csv
from towpath.ai.domain.semantics.compile import Compiled, Dialect, compile_count, compile_query
from towpath.ai.domain.semantics.draft import draft_model, left_out
from towpath.ai.domain.words import rows_notes
from towpath.ai.semantic_types import Content, Query
from towpath.ai.store.connections import opened_config
from towpath.ai.store.jobs import open_run, read_actions, read_ai
from towpath.ai.store.models import made_of, read_layers
from towpath.ai.store.tables import ConnectionRow
from towpath.ai.store.threads import turns_of
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
from towpath.db.engine import Database
from towpath.documents.sources import cut_sources
from towpath.jobs.types import JobRef, JobWarning
from towpath.llm.paid import Asker
from towpath.llm.types import Answer, ImagePart, Prompt
from towpath.net.http import GuardedClient
from towpath.secrets.vault import Vault

NEAREST_TOPICS = 3
NEARLY_ALIKE = 0.8
EARLIER_TURNS = 7
"""One more than a prompt tells of, and the question itself."""
MAX_COUNTED = 1_000_000
DATABASE = "database"


@dataclass(slots=True)
class Work:
    """One run of a job, as it stands."""

    ref: JobRef
    params: AiParams
    actions: list[StoredAction]
    topic: str | None
    earlier: list[Turn]
    reached: ConnectionRow | None
    content: Content
    texts: list[str]
    images: list[ImagePart]
    warnings: list[JobWarning] = field(default_factory=list)

    def warn(self, code: ErrorCode, message: str, item: str | None = None) -> None:
        """Note what was done worse than asked; it is kept with the iteration."""
        self.warnings.append(JobWarning(code=code, message=message, item=item))

    def action(self, kind: ActionType, message: str, step: int, answer: Answer | None = None) -> StoredAction:
        """The next iteration, with what it has cost."""
        number = self.actions[-1].number + 1 if self.actions else 1
        action = StoredAction(
            number=number, attempt=self.ref.attempt, step=step, type=kind, message=message, at=datetime.now(UTC)
        )
        if answer is not None:
            action.usd, action.model_seconds = answer.usd, answer.seconds
            action.input_tokens, action.output_tokens = answer.input_tokens, answer.output_tokens
        return action

    @property
    def connection(self) -> ConnectionRow:
        """The database that the model is over.

        Raises:
            JobFaultError: It is gone.
        """
        if self.reached is None:
            raise JobFaultError("the model's connection is gone", code=ErrorCode.QUERY_EXECUTION_ERROR)
        return self.reached

    @property
    def chosen_topic(self) -> str:
        """The topic, once there is one."""
        assert self.topic is not None
        return self.topic

    @property
    def base(self) -> str:
        """The topic's base view."""
        return self.content.topics[self.chosen_topic].base_view


class Desk:
    """Opens the work of a run, asks the models, asks the databases.

    Args:
        database: Jobs, models, connections.
        asker: The language models.
        vault: Opens connections.
        guard: Which hosts a database may be on.
        root: The folder of DuckDB files.
        seconds: Longest time of one query.
    """

    def __init__(
        self, database: Database, asker: Asker, vault: Vault, *, guard: GuardedClient, root: Path | None, seconds: float
    ) -> None:
        self.database = database
        self.asker = asker
        self._vault = vault
        self._guard = guard
        self._root = root
        self._seconds = seconds

    async def open(self, ref: JobRef) -> Work:
        """A run's work.

        Raises:
            JobNotActive: It has ended.
            JobFaultError: Its model is gone or has become invalid, or has no such topic.
        """
        async with self.database.transaction() as connection:
            job = await open_run(connection, ref)
            params = AiParams.model_validate(job.params)
            actions = (await read_actions(connection, [ref.job_id]))[ref.job_id]
            more = (await read_ai(connection, [ref.job_id]))[ref.job_id]
            earlier: list[Turn] = []
            if params.conversation_id is not None:
                turns = await turns_of(connection, params.conversation_id, limit=EARLIER_TURNS)
                earlier = [turn for turn in turns if turn.job_id != ref.job_id]
            try:
                reached, layers = await read_layers(connection, ref.organization, params.branch_id or params.model_id)
                content = made_of(layers)
            except (NotFoundError, BadInputError) as error:
                raise JobFaultError(f"the model cannot be used any more: {error.detail}") from error
        topic = more.topic or params.topic_name
        if topic is not None and topic not in content.topics:
            raise JobFaultError(f"the model has no topic {topic}", code=ErrorCode.TOPIC_NOT_FOUND)
        texts, images = await self.asker.sources(ref.organization, params.attachment_ids)
        cut = cut_sources(texts, ATTACHED_CHARACTERS)
        return Work(ref, params, actions, topic, earlier, reached, content, texts, images, cut)

    async def ask(self, work: Work, prompt: Prompt) -> Answer:
        """Ask the job's model, once for each question.

        Raises:
            ModelError: It does not answer now; the activity is tried again.
            JobFaultError: It gives no usable answer.
        """
        try:
            return await self.asker.ask(work.ref, work.params.llm, prompt)
        except ModelError as error:
            if error.retryable:
                raise
            raise JobFaultError(error.detail, code=ErrorCode.MODEL_ERROR) from error

    def is_small(self, work: Work) -> bool:
        """Whether the job's model is a small one, which is led by the hand."""
        return self.asker.catalog.is_small(work.params.llm)

    async def choose_topic(self, work: Work) -> tuple[str, Answer | None]:
        """The topic that a question is about; asked of the model only where there is a choice.

        Raises:
            JobFaultError: There is no topic.
        """
        shown = [name for name, topic in work.content.topics.items() if not topic.hidden]
        names = work.params.topics or shown
        if not names:
            raise JobFaultError("the model has no topic", code=ErrorCode.TOPIC_NOT_FOUND)
        if len(names) == 1:
            return names[0], None
        texts = topic_texts(work.content, names)
        if self.is_small(work):
            nearest = rank(work.params.prompt, texts)[:NEAREST_TOPICS]
            (best, score), (second, next_score) = nearest[:2]
            if score > next_score:
                if next_score > score * NEARLY_ALIKE:
                    told = f"the question's words fit the topics {best} and {second} nearly alike; {best} was taken"
                    work.warn(ErrorCode.TOPIC_GUESSED, told)
                return best, None
            names = [name for name, _ in nearest]
            texts = {name: texts[name] for name in names}
        answer = await self.ask(work, topic_prompt(work.params.prompt, texts, topic_form(names), work.earlier))
        return str(answer.data["topic"]), answer

    async def run(self, work: Work, action: StoredAction, query: Query) -> None:
        """Compile a query, run it, and put into the action what it brought, or why it brought nothing.

        Raises:
            UnavailableError: The database does not answer now; the activity is tried again.
            JobFaultError: It cannot be reached at all.
        """
        connection = work.connection
        action.query = query
        try:
            # One row more than wanted tells whether there are more.
            wanted = query.model_copy(update={"limit": query.limit + 1})
            compiled = compile_query(work.content, work.chosen_topic, wanted, Dialect(connection.kind))
        except BadInputError as error:
            action.error = error.detail
            return
        action.columns = [
            ResultColumn(name=one.name, label=one.label, type=one.type, measure=one.measure) for one in compiled.columns
        ]
        action.title = action.title or title_of(action.columns)
        started = time.monotonic()
        rows = await self._rows(work, compiled, query, action)
        action.database_seconds = time.monotonic() - started
        if rows is not None:
            action.csv, kept = write_csv(action.columns, rows)
            action.truncated = kept < action.rows or not action.exact
            action.notes += rows_notes(action, kept)
            # Who asks for the first three has them; what nobody asked to leave out is told.
            if action.truncated and (kept < len(rows) or "limit" not in query.model_fields_set):
                more = f"{action.rows:,}" if action.exact else f"more than {action.rows:,}"
                message = f"its result has {more} rows, of which {kept:,} are kept"
                work.warn(ErrorCode.RESULT_TRUNCATED, message, action.title or f"query {action.number}")
            if (otherwise := wanted_but_not_drawn(action, action.chart)) is not None and action.rows:
                action.notes.append(otherwise)

    async def fault_of(self, work: Work, query: Query) -> str | None:
        """What is wrong with a query that is not run; None: nothing."""
        connection = work.connection
        try:
            compile_query(work.content, work.chosen_topic, query, Dialect(connection.kind))
        except BadInputError as error:
            return error.detail
        return None

    async def draft(self, ref: JobRef, row: ConnectionRow) -> tuple[Content, list[JobWarning]]:
        """A model of what a database tells of itself, and what of it was left out.

        Raises:
            UnavailableError: It does not answer now.
            JobFaultError: It cannot be reached at all, or holds no table.
        """
        opened = await self._opened(ref, row)
        try:
            tables = await opened.tables()
        except UnavailableError as error:
            raise await self._away(ref, error) from error
        finally:
            await opened.close()
        if not tables:
            raise JobFaultError("the database holds no table", code=ErrorCode.QUERY_EXECUTION_ERROR)
        return draft_model(tables), left_out(tables)

    async def _rows(
        self, work: Work, compiled: Compiled, query: Query, action: StoredAction
    ) -> Sequence[Sequence[Any]] | None:
        """The rows within the query's limit; how many there are in all is noted in the action."""
        opened = await self._opened(work.ref, work.connection)
        try:
            limits = Limits(rows=query.limit, seconds=self._seconds)
            await opened.check_own(compiled.tables)
            found = await opened.run(compiled.sql, compiled.parameters, limits)
            action.rows = action.brought = len(found.rows)
            if found.truncated:
                number = await self._count(opened, work, query)
                action.exact = number is not None and number <= MAX_COUNTED
                action.rows = max(min(number or 0, MAX_COUNTED), len(found.rows) + (1 if action.exact else 0))
        except (QueryTooSlowError, BadInputError) as error:
            action.error = error.detail
            return None
        except UnavailableError as error:
            raise await self._away(work.ref, error) from error
        finally:
            await opened.close()
        await self.asker.patience.answered(work.ref, DATABASE)
        return found.rows

    async def _count(self, opened: Opened, work: Work, query: Query) -> int | None:
        """How many rows a query has without its limit, at most one above what is counted; None: it takes too long."""
        dialect = Dialect(work.connection.kind)
        counting = compile_count(work.content, work.chosen_topic, query, dialect, most=MAX_COUNTED)
        try:
            found = await opened.run(counting.sql, counting.parameters, Limits(rows=1, seconds=self._seconds))
        except QueryTooSlowError:
            return None
        return int(found.rows[0][0])

    async def _opened(self, ref: JobRef, row: ConnectionRow) -> Opened:
        try:
            return await open_database(
                opened_config(self._vault, row), row.organization, root=self._root, guard=self._guard
            )
        except (BadInputError, NotFoundError) as error:
            raise JobFaultError(error.detail, code=ErrorCode.QUERY_EXECUTION_ERROR) from error
        except UnavailableError as error:
            raise await self._away(ref, error) from error

    async def _away(self, ref: JobRef, error: UnavailableError) -> TowpathError:
        """What to raise for a database that does not answer now."""
        judged = await self.asker.patience.judge(ref, "the database", DATABASE, error)
        return judged if judged.retryable else JobFaultError(judged.detail, code=ErrorCode.QUERY_EXECUTION_ERROR)
