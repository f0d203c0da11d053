"""The words, bodies and results of the feature."""

from __future__ import annotations

from pydantic import BaseModel, Field

from towpath.core.bodies import Strict
from towpath.core.words import Word
from towpath.jobs.types import JobState

WORD_COUNT = "word_count"
"""The kind. It is stored, it is the name of the workflow and a part of its id: it never changes."""
MAX_TEXTS = 1_000
MAX_CHARACTERS = 10_000


class WordCountBody(Strict):
    """Which texts are counted, under what title."""

    title: str = Field(min_length=1, max_length=200)
    texts: list[str] = Field(min_length=1, max_length=MAX_TEXTS)


class WordCountParams(BaseModel):
    """What a job was asked for, as it is stored."""

    title: str
    texts: list[str]


class WordCountResult(BaseModel):
    """How many words there are, and how many different ones."""

    words: int
    different: int


class WordCountStatus(Word):
    """A job's state in the words of this API."""

    WAITING = "waiting"
    COUNTING = "counting"
    COUNTED = "counted"
    FAILED = "failed"
    STOPPED = "stopped"


STATUS_OF: dict[JobState, WordCountStatus] = {
    JobState.PENDING: WordCountStatus.WAITING,
    JobState.RUNNING: WordCountStatus.COUNTING,
    JobState.PAUSED: WordCountStatus.WAITING,
    JobState.COMPLETED: WordCountStatus.COUNTED,
    JobState.FAILED: WordCountStatus.FAILED,
    JobState.CANCELLED: WordCountStatus.STOPPED,
}
