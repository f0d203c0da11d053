"""What a job's start has fixed, read once for all its steps that run in this process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from towpath.enrichment.cache_lead import CacheLead
from towpath.enrichment.domain.sources import ShownSources
from towpath.enrichment.types import Plan
from towpath.jobs.types import JobRef
from towpath.llm.types import ImagePart

MAX_IDLE_JOBS = 16
MAX_IDLE_CHARACTERS = 32 << 20


@dataclass(frozen=True, slots=True)
class JobInputs:
    """What a job's start has fixed, and what its steps share: sources as models are shown them, turns of calls."""

    plan: Plan
    texts: list[str]
    images: list[ImagePart]
    shown: dict[str, ShownSources] = field(default_factory=dict)
    lead: CacheLead = field(default_factory=CacheLead)

    @property
    def characters(self) -> int:
        """Return how much the source files hold, which is nearly all that the inputs take of memory."""
        return sum(len(text) for text in self.texts) + sum(len(image.base64) for image in self.images)


@dataclass(slots=True)
class _Entry:
    """The inputs of a job, and how many steps use them now."""

    users: int = 0
    inputs: JobInputs | None = None
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)


class InputCache:
    """Lends the inputs of jobs: loaded by the first step that needs them, for all steps beside and after it.

    Plan, check and pages of a job are activities of their own, which mostly run in the same worker one after the other.
    Between two of them nobody uses the inputs: those of the last few jobs are then held, as far as their source files
    are not too large together.

    Args:
        load: Loads the inputs of a run of a job.
        max_idle_jobs: How many inputs that nobody uses are held.
        max_idle_characters: How much their source files may hold together.
    """

    def __init__(
        self,
        load: Callable[[JobRef], Awaitable[JobInputs]],
        *,
        max_idle_jobs: int = MAX_IDLE_JOBS,
        max_idle_characters: int = MAX_IDLE_CHARACTERS,
    ) -> None:
        self._load = load
        self._max_idle_jobs = max_idle_jobs
        self._max_idle_characters = max_idle_characters
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    @asynccontextmanager
    async def lend(self, ref: JobRef) -> AsyncIterator[JobInputs]:
        """Lend the inputs of a run of a job.

        Raises:
            NotFoundError: One of its source files was deleted.
        """
        key = ref.workflow_id
        entry = self._entries.setdefault(key, _Entry())
        entry.users += 1
        try:
            async with entry.loading:
                if entry.inputs is None:
                    entry.inputs = await self._load(ref)
            yield entry.inputs
        finally:
            entry.users -= 1
            self._entries.move_to_end(key)
            self._drop_idle()

    def _drop_idle(self) -> None:
        jobs, characters = self._max_idle_jobs, self._max_idle_characters
        # From the last one used to the first.
        for key, entry in reversed(list(self._entries.items())):
            if entry.users:
                continue
            if entry.inputs is not None:
                jobs, characters = jobs - 1, characters - entry.inputs.characters
            if entry.inputs is None or jobs < 0 or characters < 0:
                del self._entries[key]
