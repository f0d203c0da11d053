"""Lines of batches: staged when their file is right, answered one by one, read again for the files of the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from towpath.core.usage import Usage
from towpath.db.engine import Connection, Database
from towpath.serving.domain.lines import BatchLine

READ_AT_ONCE = 20
"""An answer may have some megabytes."""


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A request that has no answer yet."""

    number: int
    custom_id: str
    model: str
    body: bytes


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What became of a request.

    Attributes:
        status: The HTTP status.
        request_id: The provider's name for it, or ours.
        response: The body, as JSON.
        usage: What the provider was paid.
        reasoning_tokens: Of the output, what the model has thought.
    """

    status: int
    request_id: str
    response: bytes
    usage: Usage = field(default_factory=Usage)
    reasoning_tokens: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the request was answered."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class AnsweredLine:
    """A line of an output or error file; without a status it was never asked."""

    number: int
    custom_id: str
    status: int | None
    request_id: str | None
    response: bytes | None


async def stage_lines(connection: Connection, job_id: UUID, first: int, lines: Sequence[BatchLine]) -> None:
    """Add lines, the first of which has the number `first`."""
    async with (
        connection.cursor() as cursor,
        cursor.copy("COPY served_lines (job_id, number, custom_id, model, body) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(["uuid", "int4", "text", "text", "bytea"])
        for number, line in enumerate(lines, first):
            await copy.write_row((job_id, number, line.custom_id, line.model, line.body))


async def count_lines(connection: Connection, job_id: UUID) -> tuple[int, int]:
    """Return how many lines a batch has, and how many of them are answered."""
    cursor = await connection.execute("SELECT count(*), count(status) FROM served_lines WHERE job_id = %s", (job_id,))
    row = await cursor.fetchone()
    return (0, 0) if row is None else (row[0], row[1])


async def find_models(connection: Connection, job_id: UUID) -> list[str]:
    """Find the models that the lines of a batch ask, two at most."""
    cursor = await connection.execute("SELECT DISTINCT model FROM served_lines WHERE job_id = %s LIMIT 2", (job_id,))
    return [row[0] for row in await cursor.fetchall()]


async def find_open_pages(connection: Connection, job_id: UUID, size: int) -> list[int]:
    """Find the pages of so many lines that hold one without an answer, rising."""
    cursor = await connection.execute(
        "SELECT DISTINCT number / %s FROM served_lines WHERE job_id = %s AND status IS NULL ORDER BY 1", (size, job_id)
    )
    return [row[0] for row in await cursor.fetchall()]


async def load_open_lines(database: Database, job_id: UUID, page: int, size: int) -> list[OpenLine]:
    """Load the lines of a page that have no answer yet."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            """
            SELECT number, custom_id, model, body FROM served_lines
            WHERE job_id = %s AND number >= %s AND number < %s AND status IS NULL ORDER BY number
            """,
            (job_id, page * size, (page + 1) * size),
        )
        return [OpenLine(row[0], row[1], row[2], bytes(row[3])) for row in await cursor.fetchall()]


async def keep_answer(connection: Connection, job_id: UUID, number: int, answer: LineAnswer) -> bool:
    """Store the answer to a line; the first one stays.

    Returns:
        Whether it is the first.
    """
    usage = answer.usage
    updated = await connection.execute(
        """
        UPDATE served_lines SET status = %s, request_id = %s, response = %s,
               input_tokens = input_tokens + %s, cached_tokens = cached_tokens + %s,
               output_tokens = output_tokens + %s, reasoning_tokens = reasoning_tokens + %s, cost_usd = cost_usd + %s
        WHERE job_id = %s AND number = %s AND status IS NULL
        """,
        (
            answer.status, answer.request_id, answer.response, usage.input_tokens, usage.cache_read_tokens,
            usage.output_tokens, answer.reasoning_tokens, usage.usd, job_id, number,
        ),
    )  # fmt: skip
    return updated.rowcount == 1


async def sum_usage(database: Database, job_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int, int, int]]:
    """Sum the tokens of batches: of the input, of them cached, of the output, of them reasoning."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            """
            SELECT job_id, sum(input_tokens)::bigint, sum(cached_tokens)::bigint, sum(output_tokens)::bigint,
                   sum(reasoning_tokens)::bigint
            FROM served_lines WHERE job_id = ANY(%s) GROUP BY job_id
            """,
            (list(job_ids),),
        )
        return {row[0]: (row[1], row[2], row[3], row[4]) for row in await cursor.fetchall()}


async def read_lines(connection: Connection, job_id: UUID, *, succeeded: bool) -> AsyncIterator[AnsweredLine]:
    """Read the lines of a batch that belong in its output file, or in its error file, in the order of the input."""
    last = -1
    while True:
        cursor = await connection.execute(
            """
            SELECT number, custom_id, status, request_id, response FROM served_lines
            WHERE job_id = %s AND number > %s AND coalesce(status BETWEEN 200 AND 299, false) = %s
            ORDER BY number LIMIT %s
            """,
            (job_id, last, succeeded, READ_AT_ONCE),
        )
        rows = await cursor.fetchall()
        for row in rows:
            yield AnsweredLine(row[0], row[1], row[2], row[3], None if row[4] is None else bytes(row[4]))
        if len(rows) < READ_AT_ONCE:
            return
        last = rows[-1][0]
