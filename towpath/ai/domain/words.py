"""How the rows of a query are told in words: the same in messages, prompts, answers and on pages."""

from __future__ import annotations

from towpath.ai.types import StoredAction
from towpath.core.texts import format_count


def describe_total(action: StoredAction) -> str:
    """Say how many rows a query has in all: `3,323 rows`, `more than 1,000,000 rows`."""
    return format_count(action.rows, "row") if action.exact else f"more than {format_count(action.rows, 'row')}"


def describe_rows(action: StoredAction) -> str:
    """Describe what a query brought: `16 rows`, or `the first 500 of 3,323 rows`, where its limit cuts off the rest."""
    if not action.limited:
        return format_count(action.rows, "row")
    return f"the first {action.brought or 0:,} of {describe_total(action)}"


def describe_cut(action: StoredAction, shown: int) -> str | None:
    """Remark that there are fewer rows to see than a query has; None: all are there."""
    if action.exact and shown >= action.rows:
        return None
    return f"The first {shown:,} of {describe_total(action)}"


def note_missing_rows(action: StoredAction, stored: int) -> list[str]:
    """Note in sentences what of a query's rows is left out.

    Args:
        action: The query.
        stored: How many rows its CSV has.
    """
    notes = []
    brought = action.rows if action.brought is None else action.brought
    if action.limited:
        limit = action.query.limit if action.query is not None else brought
        notes.append(f"The query's limit is {limit:,}: these are {describe_rows(action)}.")
    if stored < brought:
        notes.append(f"The CSV is cut: it holds the first {stored:,} of {describe_total(action)}.")
    return notes
