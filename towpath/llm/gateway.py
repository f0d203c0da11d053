"""A question to a language model that is paid for once: the answer is kept before anything else is done with it.

A model that does not answer now is waited for (`towpath.jobs.patience`): the caller lets a retryable error through to
Temporal, and takes any other as the answer that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from towpath.core.errors import ModelError
from towpath.db.engine import Database
from towpath.jobs.patience import Patience
from towpath.jobs.types import JobRef
from towpath.llm import Catalog, LanguageModels
from towpath.llm.batches.choice import plan_of
from towpath.llm.batches.collecting import collect, is_collecting
from towpath.llm.batches.types import BatchPlan
from towpath.llm.store.answers import answer_digest, find_answer, keep_answer
from towpath.llm.store.attachments import as_source, get_attachments
from towpath.llm.types import Answer, ImagePart, Prompt


class LlmGateway:
    """Asks language models through the store of paid answers.

    Args:
        database: Where answers are kept.
        models: The language models.
        patience: How long one that does not answer is waited for.
    """

    def __init__(self, database: Database, models: LanguageModels, patience: Patience) -> None:
        self.patience = patience
        self._database = database
        self._models = models

    @property
    def catalog(self) -> Catalog:
        """Return what is known of the models."""
        return self._models.catalog

    @property
    def batch_plan(self) -> BatchPlan:
        """Return how a job waits whose calls go through batches."""
        return plan_of(self._models.config)

    async def ask(
        self,
        ref: JobRef,
        model: str,
        prompt: Prompt,
        *,
        bypass: bool = False,
        plain_json: bool = False,
        repairs: int | None = None,
    ) -> Answer:
        """Ask, or take the answer that was paid for already.

        Args:
            ref: The job that asks.
            model: The model key.
            prompt: What is asked.
            bypass: Take no other job's answer; this job's own all the same.
            plain_json: Ask for JSON in words.
            repairs: See `LanguageModels.ask`.

        Raises:
            ModelError: No usable answer; `retryable` while the model is waited for.
            AnswerAwaitedError: In collecting mode: the answer comes with a batch.
        """
        own: UUID | None = ref.job_id if bypass else None
        digest = answer_digest(model, prompt, own=own)
        known = await find_answer(self._database, ref.organization, digest, ref.job_id, ref.attempt)
        if known is not None:
            return known
        exchange = None
        if is_collecting() and self.catalog.has_batches(model):
            exchange = await collect(self._database, self._models, ref, model, prompt, digest, plain_json=plain_json)
        try:
            answer = await self._models.ask(
                ref.organization, model, prompt, plain_json=plain_json, repairs=repairs, exchange=exchange
            )
        except ModelError as error:
            if not error.retryable:
                raise
            raise await self.patience.judge(ref, model, digest, error) from error
        await keep_answer(self._database, ref.organization, digest, ref.job_id, ref.attempt, answer)
        return answer

    async def sources(self, organization: str, ids: Sequence[UUID]) -> tuple[list[str], list[ImagePart]]:
        """Load the texts and the images of attachments."""
        attachments = await get_attachments(self._database, organization, ids)
        texts = [as_source(row) for row in attachments if row.mode == "text"]
        images = [
            ImagePart(media_type=row.media_type, base64=row.content) for row in attachments if row.mode == "image"
        ]
        return texts, images
