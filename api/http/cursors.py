"""Cursors of lists that are ordered by time and id."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from uuid import UUID

from towpath.core.errors import BadInputError
from towpath.core.values import bounded_time

Cursor = tuple[datetime, UUID]


def write_cursor(cursor: Cursor) -> str:
    """Where a page ends, for the next one."""
    return base64.urlsafe_b64encode(f"{cursor[0].isoformat()} {cursor[1]}".encode()).decode()


def read_cursor(text: str) -> Cursor:
    """What `write_cursor` wrote.

    Raises:
        BadInputError: It did not.
    """
    try:
        moment, job_id = base64.urlsafe_b64decode(text).decode().rsplit(" ", 1)
        return bounded_time(datetime.fromisoformat(moment)), UUID(job_id)
    except (ValueError, binascii.Error) as error:
        raise BadInputError("cursor is not one that a page before has given", field="cursor") from error
