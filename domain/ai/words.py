"""How counts, cuts and rows are told in words: the same in messages, prompts, answers and on pages."""

from __future__ import annotations

from contracts.ai import StoredAction

CUT = " …"


def counted(number: int, thing: str) -> str:
    """A number of things: `1 row`, `3,323 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def shorten(text: str, most: int) -> str:
    """A text of at most so many characters; what is longer ends between two words, and with an ellipsis."""
    if len(text) <= most:
        return text
    room = most - len(CUT)
    kept, _, rest = text[: room + 1].rpartition(" ")
    # A single long word has no place to be cut at.
    return (kept if len(kept) > room // 2 or not rest else text[:room]).rstrip() + CUT


def beginning(text: str, most: int, what: str) -> str:
    """The beginning of a text, with a line behind it that says how much of it this is; all of it if it is no longer."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[The {what} goes on: these are the first {most:,} of {len(text):,} characters.]"


def all_rows(action: StoredAction) -> str:
    """How many rows a query has in all: `3,323 rows`, `more than 1,000,000 rows`."""
    return counted(action.rows, "row") if action.exact else f"more than {counted(action.rows, 'row')}"


def rows_brought(action: StoredAction) -> str:
    """What a query brought: `16 rows`, or `the first 500 of 3,323 rows`, where its limit has cut off the rest."""
    if not action.limited:
        return counted(action.rows, "row")
    return f"the first {action.brought or 0:,} of {all_rows(action)}"


def more_rows(action: StoredAction, kept: int) -> str | None:
    """A remark where there are fewer rows to see than a query has; None: all are there."""
    if action.exact and kept >= action.rows:
        return None
    return f"The first {kept:,} of {all_rows(action)}"


def rows_notes(action: StoredAction, kept: int) -> list[str]:
    """Sentences on what of a query's rows is left out.

    Args:
        action: The query.
        kept: How many rows its CSV has.
    """
    told = []
    brought = action.rows if action.brought is None else action.brought
    if action.limited:
        limit = action.query.limit if action.query is not None else brought
        told.append(f"The query's limit is {limit:,}: these are {rows_brought(action)}.")
    if kept < brought:
        told.append(f"The CSV is cut: it holds the first {kept:,} of {all_rows(action)}.")
    return told
