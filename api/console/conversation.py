"""A thread as its page shows it: each turn with its steps, tables, charts and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from towpath.ai.domain.charts import choose_chart, read_rows
from towpath.ai.domain.results import find_last_drawable
from towpath.ai.types import MAX_PROMPT, ActionType, AiState, ChartType, StoredAction, Thread, Turn
from towpath.api.console.rendering import Reader, render
from towpath.api.console.results import Table, describe_chart, make_table
from towpath.jobs.types import EventType

LONG_PROMPT = 1200
TITLE_CHARACTERS = 80
REDRAWN = "Chart: the rows of an earlier question, drawn anew."
WAITING = {
    AiState.QUEUED: "Waiting for its turn",
    AiState.EXECUTING: "Working on it",
    AiState.DELIVERING: "Storing the answer",
}


@dataclass(frozen=True, slots=True)
class StepView:
    """One finished iteration."""

    action: StoredAction
    table: Table | None
    query: str | None
    chart: str | None
    """What the chart shows, in words; None: no chart stands here."""

    @property
    def finds(self) -> bool:
        """Return whether it has more to show than its message."""
        return self.action.type is ActionType.GENERATE_QUERY or self.chart is not None


@dataclass(frozen=True, slots=True)
class TurnView:
    """One question."""

    turn: Turn
    steps: list[StepView]

    @property
    def now(self) -> str | None:
        """Return what it does now; None: it has ended."""
        if self.turn.paused and self.turn.active:
            return "Paused"
        return WAITING.get(self.turn.state)

    @property
    def status_text(self) -> str:
        """Return where it stands, in a sentence for those who only hear the page."""
        if self.turn.state is AiState.EXECUTING and self.turn.actions:
            return self.turn.actions[-1].message
        ends = {
            AiState.COMPLETE: "The answer is there.",
            AiState.FAILED: f"The question failed: {self.turn.error or 'no reason is known'}",
            AiState.CANCELLED: "The question was cancelled.",
        }
        return ends.get(self.turn.state) or f"{self.now}."

    @property
    def seconds(self) -> float | None:
        """Return how long it took; None: it has not ended."""
        ended, began = self.turn.ended_at, self.turn.started_at or self.turn.created_at
        return (ended - began).total_seconds() if ended else None

    @property
    def long(self) -> bool:
        """Return whether the prompt is too long to be shown at full height."""
        return len(self.turn.prompt) > LONG_PROMPT


def make_turn_view(turn: Turn) -> TurnView:
    """Return a question as it is shown."""
    place, words = _chart(turn)
    return TurnView(turn, [_step(action, words if action.number == place else None) for action in turn.actions])


def _step(action: StoredAction, chart: str | None) -> StepView:
    query = None if action.query is None else action.query.model_dump_json(indent=2, exclude_defaults=True)
    return StepView(action, make_table(action), query, chart)


def _chart(turn: Turn) -> tuple[int | None, str | None]:
    """Return at which step the job's one chart stands, and what it shows in words: where it was last decided on."""
    if turn.state is not AiState.COMPLETE:
        return None, None
    drawable = find_last_drawable([turn])
    styled = [step.number for step in turn.actions if step.type is ActionType.VISUALIZE and step.error is None]
    if drawable is None:
        return (styled[-1], REDRAWN) if styled else (None, None)
    action, requested = drawable
    kind = choose_chart(action.columns, read_rows(action.columns, action.csv or ""), requested)
    if kind is ChartType.TABLE:
        return None, None
    return max([action.number, *styled]), describe_chart(action, kind)


def make_title(thread: Thread) -> str:
    """Return what a conversation is called: its name, or how it began."""
    name = thread.conversation.name or (thread.turns[0].prompt if thread.turns else thread.conversation.last_prompt)
    words = " ".join(name.split())
    return words if len(words) <= TITLE_CHARACTERS else f"{words[: TITLE_CHARACTERS - 1].rstrip()}…"


def render_thread(thread: Thread, reader: Reader, *, notice: str | None = None, typed: str = "") -> str:
    """Render the whole page.

    Args:
        notice: Why what was sent was not taken.
        typed: What was sent, so that it is not lost.
    """
    turns = [make_turn_view(turn) for turn in thread.turns]
    return render(
        "conversation.html",
        thread=thread,
        title=make_title(thread),
        turns=turns,
        busy=any(view.turn.active for view in turns),
        events=list(EventType),
        base=get_address(thread.conversation.id),
        reader=reader,
        notice=notice,
        typed=typed,
        most=MAX_PROMPT,
    )


def render_turn(turn: Turn, conversation_id: UUID, reader: Reader) -> str:
    """Render one question's part of the page, by itself."""
    return render("turn.html", view=make_turn_view(turn), base=get_address(conversation_id), reader=reader)


def get_address(conversation_id: UUID) -> str:
    """Return the address of a conversation within the site."""
    return f"/chat/{conversation_id}"


def find_step_with_rows(actions: Sequence[StoredAction], number: int) -> StoredAction | None:
    """Return a step that brought rows; None: there is none of this number."""
    return next((action for action in actions if action.number == number and action.csv is not None), None)
