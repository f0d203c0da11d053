"""Which jobs a person sees, as a condition of a query: the lists' half of `domain.policy.jobs`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from contracts.jobs import QUESTIONS

SEEN = "(user_id = %(seer)s OR (user_id IS NULL AND kind <> ALL(%(questions)s)))"
"""Of rows of `jobs`: the person's own, and those of nobody that are no questions."""


def seen_by(seer: UUID) -> dict[str, Any]:
    """The parameters of `SEEN`."""
    return {"seer": seer, "questions": [kind.value for kind in sorted(QUESTIONS)]}
