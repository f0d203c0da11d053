"""A question to a language model that is paid for once: the answer is kept before anything else is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from temporalio import activity

from clients.llm import Catalog, LanguageModels
from contracts.jobs import JobRef
from contracts.llm import Answer, ImagePart, Prompt
from stores.db import Database
from stores.enrichment.answers import answer_digest, find_answer, keep_answer
from stores.enrichment.attachments import get_attachments

MAX_TRIES = 6
"""After so many tries of its activity a call that could be repeated counts as failed."""


class Asker:
    """Asks through the store of paid answers.

    Args:
        database: Where answers are kept.
        models: The language models.
    """

    def __init__(self, database: Database, models: LanguageModels) -> None:
        self._database = database
        self._models = models

    @property
    def catalog(self) -> Catalog:
        """What is known of the models."""
        return self._models.catalog

    async def ask(
        self, ref: JobRef, model: str, prompt: Prompt, *, bypass: bool = False, plain_json: bool = False
    ) -> Answer:
        """Ask, or take the answer that was paid for already.

        Args:
            ref: The job that asks.
            model: The model key.
            prompt: What is asked.
            bypass: Take no other job's answer; this job's own all the same.
            plain_json: Ask for JSON in words.

        Raises:
            ModelError: No usable answer.
        """
        own: UUID | None = ref.job_id if bypass else None
        digest = answer_digest(model, prompt, own=own)
        known = await find_answer(self._database, ref.organization, digest, ref.job_id, ref.attempt)
        if known is not None:
            return known
        answer = await self._models.ask(ref.organization, model, prompt, plain_json=plain_json)
        await keep_answer(self._database, ref.organization, digest, ref.job_id, ref.attempt, answer)
        return answer

    async def sources(self, organization: str, ids: Sequence[UUID]) -> tuple[list[str], list[ImagePart]]:
        """The texts and the images of attachments."""
        found = await get_attachments(self._database, organization, ids)
        texts = [f"{row.filename}\n{row.content}" for row in found if row.mode == "text"]
        images = [ImagePart(media_type=row.media_type, base64=row.content) for row in found if row.mode == "image"]
        return texts, images


def last_try() -> bool:
    """Whether a call that fails now is not repeated any more."""
    return activity.info().attempt >= MAX_TRIES
