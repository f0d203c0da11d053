"""Which jobs a person sees, as a condition of a query: the lists' half of `domain.policy.jobs`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, or_
from sqlmodel import col

from towpath.db.tables import JobRow
from towpath.jobs.types import QUESTIONS

SEEN = "(user_id = %(seer)s OR (user_id IS NULL AND kind <> ALL(%(questions)s)))"
"""Of rows of `jobs`: the person's own, and those of nobody that are no questions."""


def seen_by(seer: UUID) -> dict[str, Any]:
    """The parameters of `SEEN`."""
    return {"seer": seer, "questions": [kind.value for kind in sorted(QUESTIONS)]}


def visible_to(seer: UUID) -> ColumnElement[bool]:
    """The same for a query of the session."""
    of_all = col(JobRow.user_id).is_(None) & col(JobRow.kind).not_in(sorted(QUESTIONS))
    return or_(of_all, col(JobRow.user_id) == seer)
