"""Results of questions: for how long they can be read, and the charts that they make."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.ai.domain.charts import UndrawableError, build_chart_spec, read_rows, render_png, render_svg
from towpath.ai.domain.results import find_last_drawable
from towpath.ai.domain.words import describe_cut
from towpath.ai.service.conversations import load_thread, load_turn
from towpath.ai.service.parts import AiParts
from towpath.ai.types import AiState, ChartType, StoredAction, Turn
from towpath.core.errors import NotFoundError


async def load_result(parts: AiParts, caller: Principal, job_id: UUID) -> Turn:
    """Load the result of a question.

    Raises:
        NotFoundError: No such question, or its result is not there yet, or not any more.
    """
    turn = await load_turn(parts, caller, job_id)
    if turn.state is not AiState.COMPLETE:
        raise NotFoundError(f"the job {turn.job_id} is {turn.state}; there is a result when it is COMPLETE")
    days = parts.result_days
    if turn.ended_at is not None and datetime.now(UTC) - turn.ended_at > timedelta(days=days):
        raise NotFoundError(f"the result of the job {turn.job_id} was kept for {days} days")
    return turn


def find_last_query(turn: Turn) -> StoredAction:
    """Return the last query that ran.

    Raises:
        NotFoundError: There is none.
    """
    for action in reversed(turn.actions):
        if action.csv is not None and action.error is None:
            return action
    raise NotFoundError(f"the job {turn.job_id} has no rows")


async def draw_chart(
    parts: AiParts,
    caller: Principal,
    job_id: UUID,
    *,
    conversation_id: UUID | None = None,
    width: int,
    height: int,
    svg: bool,
    dark: bool = False,
) -> bytes | str:
    """Draw the chart of a question: its last drawable query, or that of its thread where it only changed the style.

    Args:
        parts: The façade's parts.
        caller: Who looks.
        job_id: The job of the question.
        conversation_id: The conversation that it must belong to; None: any.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        svg: Whether an SVG is drawn; else a PNG.
        dark: Whether it is looked at on a dark page.

    Raises:
        NotFoundError: No such question, or it is not COMPLETE.
        UndrawableError: There is nothing to draw.
    """
    turn = await load_turn(parts, caller, job_id, conversation_id=conversation_id)
    if turn.state is not AiState.COMPLETE:
        raise NotFoundError(f"the job {job_id} is {turn.state}; there is a chart when it is COMPLETE")
    turns = [turn]
    if turn.conversation_id is not None and not any(action.drawable for action in turn.actions):
        thread = await load_thread(parts, caller, turn.conversation_id)
        turns = [earlier for earlier in thread.turns if earlier.created_at <= turn.created_at]
    drawable = find_last_drawable(turns)
    if drawable is None:
        raise UndrawableError("no query of this thread brought rows")
    action, chart = drawable
    return await asyncio.to_thread(_render, action, chart, width=width, height=height, svg=svg, dark=dark)


def _render(
    action: StoredAction, chart: ChartType | None, *, width: int, height: int, svg: bool, dark: bool
) -> bytes | str:
    rows = read_rows(action.columns, action.csv or "")
    spec = build_chart_spec(
        action.columns, rows, requested=chart, title=action.title or "", width=width, height=height, dark=dark,
        remark=describe_cut(action, len(rows)),
    )  # fmt: skip
    return render_svg(spec) if svg else render_png(spec)
