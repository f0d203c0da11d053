"""The workflow of a count: one activity and its result."""

from __future__ import annotations

from word_count.activities import WordCountActivities
from word_count.types import WORD_COUNT

from towpath.workflows.options import CHUNK
from towpath.workflows.single import single_activity_job

WordCountWorkflow = single_activity_job(
    WORD_COUNT, WordCountActivities.count_words, CHUNK, module=__name__, shows_phase=True
)
