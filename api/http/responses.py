"""JSON answers, ready as they are: FastAPI's own way would walk through every entity a second time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import Response

from towpath.core.json_values import write_json
from towpath.core.texts import utc_text


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer whose body is ready for JSON."""
    return Response(write_json(body), status, dict(headers or {}), media_type="application/json")


def moment(at: datetime | None) -> str | None:
    """A time as ISO 8601 in UTC, with milliseconds."""
    return None if at is None else utc_text(at)
