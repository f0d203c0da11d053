"""Which jobs a person sees, as a condition of a query: the lists' half of `towpath.jobs.policy`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, or_
from sqlmodel import col

from towpath.jobs.registry import personal_kinds
from towpath.jobs.store.tables import JobRow

SEEN = "(user_id = %(seer)s OR (user_id IS NULL AND kind <> ALL(%(questions)s)))"
"""Of rows of `jobs`: the person's own, and those of nobody that are no questions."""


def seen_by(seer: UUID) -> dict[str, Any]:
    """Return the parameters of `SEEN`."""
    return {"seer": seer, "questions": sorted(personal_kinds())}


def visible_to(seer: UUID) -> ColumnElement[bool]:
    """Return the same condition for a query of the session."""
    of_all = col(JobRow.user_id).is_(None) & col(JobRow.kind).not_in(sorted(personal_kinds()))
    return or_(of_all, col(JobRow.user_id) == seer)
