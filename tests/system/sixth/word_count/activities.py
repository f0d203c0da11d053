"""Binds counting to Temporal."""

from __future__ import annotations

from typing import Any

from temporalio import activity
from word_count.service import WordCounts

from towpath.jobs.types import JobRef


class WordCountActivities:
    """The steps of a count.

    Args:
        counts: Does them.
    """

    def __init__(self, counts: WordCounts) -> None:
        self._counts = counts

    @activity.defn(name="count_words")
    async def count_words(self, ref: JobRef) -> dict[str, Any]:
        """Count the words of all texts of a job."""
        return await self._counts.count(ref)
