"""The lines of output and error files, as they are written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import NAMESPACE_OID, uuid5

from towpath.core.json_values import write_json
from towpath.serving.store.lines import AnsweredLine
from towpath.serving.store.tables import ServedBatchRow
from towpath.serving.types import BatchStatus

UNANSWERED = {
    BatchStatus.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    BatchStatus.CANCELLED: ("batch_cancelled", "This request was not executed before the batch was cancelled."),
    BatchStatus.FAILED: ("batch_failed", "This request was not executed before the batch failed."),
}


async def show_lines(batch: ServedBatchRow, answered: AsyncIterator[AnsweredLine]) -> AsyncIterator[bytes]:
    """Write the lines of a batch that has ended as its status says."""
    async for line in answered:
        yield _show_line(batch, line)


def _show_line(batch: ServedBatchRow, line: AnsweredLine) -> bytes:
    """Return a line of an output or error file; the answer stands in it as it was kept."""
    name = uuid5(NAMESPACE_OID, f"{batch.job_id}/{line.number}").hex
    start = write_json({"id": f"batch_req_{name}", "custom_id": line.custom_id})[:-1]
    if line.status is None or line.response is None:
        code, message = UNANSWERED[batch.status]
        return start + b',"response":null,"error":' + write_json({"code": code, "message": message}) + b"}\n"
    response = write_json({"status_code": line.status, "request_id": line.request_id})[:-1]
    return start + b',"response":' + response + b',"body":' + line.response + b'},"error":null}\n'


async def chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a piece that has been read already, and those behind it."""
    yield first
    async for piece in rest:
        yield piece
