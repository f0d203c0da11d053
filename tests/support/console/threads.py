"""Threads as the store gives them, in every state that a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from towpath.ai.domain.results import write_csv
from towpath.ai.semantic_types import DataType, Query, Sort
from towpath.ai.types import ActionType, AiState, ChartType, Conversation, ResultColumn, StoredAction, Thread, Turn

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def column(name: str, label: str, kind: DataType = DataType.STRING, *, measure: bool = False) -> ResultColumn:
    return ResultColumn(name=name, label=label, type=kind, measure=measure)


WAREHOUSE = column("shipments.warehouse", "Warehouse")
LATE = column("shipments.late_count", "Late shipments", DataType.NUMBER, measure=True)
SHARE = column("shipments.late_share", "Share late", DataType.NUMBER, measure=True)
MONTH = column("shipments.shipped_at[month]", "Month", DataType.DATE)
SHIPPED = column("shipments.shipped_at", "Shipped at", DataType.TIMESTAMP)
ORDER = column("shipments.order_id", "Order", DataType.NUMBER)
EXPRESS = column("shipments.express", "Express", DataType.BOOLEAN)
CARRIER = column("shipments.carrier", "Carrier")


def found(
    number: int,
    columns: Sequence[ResultColumn],
    lines: Sequence[Sequence[Any]],
    *,
    title: str = "Late shipments by warehouse",
    message: str = "Counting late shipments by warehouse.",
    **more: Any,
) -> StoredAction:
    """A query that brought rows."""
    text, kept = write_csv(columns, lines)
    query = Query(
        table="shipments",
        fields=[one.name for one in columns],
        filters={"shipments.shipped_at": {"gte": "2026-05-01", "lt": "2026-06-01"}},
        sorts=[Sort(column_name=columns[-1].name, sort_descending=True)],
        limit=1000,
    )
    values = {
        "query": query,
        "columns": list(columns),
        "csv": text,
        "truncated": kept < len(lines),
        "rows": len(lines),
    } | more
    at = NOON + timedelta(seconds=number)
    return StoredAction(
        number=number, type=ActionType.GENERATE_QUERY, message=message, at=at, title=title, topic="shipments", **values
    )


def failed_query(number: int) -> StoredAction:
    error = "the measure shipments.late_days is not in the topic shipments; there are late_count, late_share"
    return StoredAction(
        number=number, type=ActionType.GENERATE_QUERY, message="Summing up the days of delay.", at=NOON,
        title="Days of delay", error=error, query=Query(table="shipments", fields=["shipments.late_days"]),
    )  # fmt: skip


def did(number: int, kind: ActionType, message: str, **more: Any) -> StoredAction:
    return StoredAction(number=number, type=kind, message=message, at=NOON + timedelta(seconds=number), **more)


BY_WAREHOUSE = [["North", 41, 0.1213], ["East", 33, 0.0987], ["Dock 5", 29, 0.0456], ["Harbour", 12, 0.0312]]


def turn(prompt: str = "Which warehouses shipped late most often in May?", **more: Any) -> Turn:
    """A question; COMPLETE by default, with the two steps that led to its answer."""
    actions = [
        did(1, ActionType.PICK_TOPIC, "Shipments is the topic that knows warehouses and delays.", topic="shipments"),
        found(2, (WAREHOUSE, LATE, SHARE), BY_WAREHOUSE, chart=ChartType.BAR),
        did(3, ActionType.SUMMARIZE, "Ranking them."),
    ]
    answer = (
        "**North** shipped late most often: 41 times, which is 12 % of what left it.\n\n"
        "1. North: 41\n2. East: 33\n3. Dock 5: 29"
    )
    values: dict[str, Any] = {
        "job_id": uuid4(), "state": AiState.COMPLETE, "topic": "shipments", "actions": actions, "answer": answer,
        "usd": 0.0042, "input_tokens": 3214, "output_tokens": 412, "last_event": 6, "created_at": NOON,
        "started_at": NOON + timedelta(seconds=1), "ended_at": NOON + timedelta(seconds=8.4),
    }  # fmt: skip
    return Turn(prompt=prompt, **(values | more))


def unfinished(state: AiState, **more: Any) -> Turn:
    """A question that has no answer."""
    ended = None if state in {AiState.QUEUED, AiState.EXECUTING, AiState.DELIVERING} else NOON + timedelta(seconds=8)
    started = None if state is AiState.QUEUED else NOON + timedelta(seconds=1)
    values = {"state": state, "answer": None, "actions": [], "started_at": started, "ended_at": ended}
    if state is AiState.QUEUED:
        values |= {"usd": 0.0, "input_tokens": 0, "output_tokens": 0, "topic": None}
    return turn(**(values | more))


def long_rows(count: int) -> list[list[Any]]:
    carriers = ("Postal One", "Baltic Freight", "Alpen Express", "Canal & Sons", "Nordlys")
    return [
        [
            700_000 + number, datetime(2026, 5, 1, 6, 30) + timedelta(minutes=37 * number), carriers[number % 5],
            number % 3 == 0, None if number % 11 == 5 else round(1234.5 + 97.25 * number, 2),
        ]
        for number in range(count)
    ]  # fmt: skip


VALUE = column("shipments.value", "Value in EUR", DataType.NUMBER, measure=True)
LONG = (ORDER, SHIPPED, CARRIER, EXPRESS, VALUE)


def thread(*turns: Turn, name: str | None = "Late shipments in May", user_id: UUID | None = None) -> Thread:
    """A conversation with some turns."""
    conversation = Conversation(
        id=uuid4(), organization="lamp-works", user_id=user_id, model_id=uuid4(), name=name,
        last_prompt=turns[-1].prompt if turns else "", created_at=NOON, updated_at=NOON,
    )  # fmt: skip
    return Thread(conversation=conversation, model_name="Logistics", turns=list(turns))
