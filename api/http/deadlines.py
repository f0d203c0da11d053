"""The deadline that a request sets for the job it starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import Request

from towpath.core.errors import BadInputError
from towpath.core.values import LATEST_DEADLINE, bounded_time


def read_deadline(request: Request) -> datetime | None:
    """Read the header `Towpath-Deadline`: seconds from now, or an ISO time.

    Returns:
        The time until which a job may run; None: the request sets none.

    Raises:
        BadInputError: It is neither, or it has passed.
    """
    text = request.headers.get("towpath-deadline")
    if text is None:
        return None
    now = datetime.now(UTC)
    try:
        deadline = bounded_time(_time_of(text, now), LATEST_DEADLINE)
    except (ValueError, OverflowError) as error:
        raise BadInputError(
            f"Towpath-Deadline must be seconds or an ISO time, before the year {LATEST_DEADLINE.year}",
            field="Towpath-Deadline",
        ) from error
    if deadline <= now:
        raise BadInputError("Towpath-Deadline has passed", field="Towpath-Deadline")
    return deadline


def _time_of(text: str, now: datetime) -> datetime:
    try:
        seconds = float(text)
    except ValueError:
        return datetime.fromisoformat(text)
    return now + timedelta(seconds=seconds)
