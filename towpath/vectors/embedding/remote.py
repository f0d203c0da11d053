"""Any endpoint that speaks OpenAI's embeddings API, through the official client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from towpath.core.errors import (
    BadInputError,
    ErrorCode,
    JobFaultError,
    RateLimitedError,
    TooManyError,
    UnavailableError,
)
from towpath.core.imports import import_beside_loop
from towpath.jobs.waits import CURRENT_WAITS
from towpath.llm.limiter.limiter import ProviderLimiter
from towpath.llm.limiter.types import PoolKey
from towpath.net.http import parse_retry_after
from towpath.vectors.domain.ranking import normalise
from towpath.vectors.embedding.base import Embedded
from towpath.vectors.types import EmbeddingConfig

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from towpath.llm.slots import SlotClient

BATCH = 64
PART_TOKENS = 512
SECONDS = 60.0


class RemoteEmbedder:
    """Embeds by HTTP. The client's own retries are off: Temporal's are durable.

    Args:
        config: `model` is `openai::<model>`; `url` and `key` as the endpoint wants them.
        limiter: Says when a request of a job may be sent; None: at once.

    Raises:
        JobFaultError: No key.
    """

    def __init__(self, config: EmbeddingConfig, limiter: ProviderLimiter | None = None) -> None:
        if not config.key:
            raise JobFaultError(
                f"the embedding model {config.model} needs TOWPATH_EMBEDDING_KEY", code=ErrorCode.REFUSED
            )
        self.model = config.model
        self.batch = config.batch or BATCH
        self.part_tokens = config.part_tokens or PART_TOKENS
        self.overlap = min(config.overlap, self.part_tokens // 2)
        self._name = config.model.partition("::")[2]
        self._options: dict[str, Any] = {
            "api_key": config.key,
            "base_url": config.url,
            "max_retries": 0,
            "timeout": SECONDS,
        }
        self._client: AsyncOpenAI | None = None
        self._pool = None if limiter is None else limiter.pool(PoolKey.of(config.provider, config.key), config.budget)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """See `Embedder`."""
        await import_beside_loop("openai", "towpath.llm.slots")
        rows: list[list[float]] = []
        tokens = 0
        for start in range(0, len(texts), self.batch):
            vectors, used_tokens = await self._call(list(texts[start : start + self.batch]))
            rows += vectors
            tokens += used_tokens
        return Embedded(normalise(np.array(rows, dtype=np.float32)), tokens=tokens)

    async def send(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request of the embeddings API as it is, but for the model's name, and return what is answered.

        Raises:
            BadInputError: The model refuses it.
            UnavailableError: The endpoint does not answer now, or asks to slow down.
            JobFaultError: It never will: a wrong key, an unknown model.
        """
        await import_beside_loop("openai", "towpath.llm.slots")
        with self._translated():
            return dict(await self._sdk().post("/embeddings", body={**body, "model": self._name}, cast_to=object))

    async def _call(self, texts: list[str]) -> tuple[list[list[float]], int]:
        with self._translated():
            answer = await self._sdk().embeddings.create(model=self._name, input=texts, encoding_format="float")
        if len(answer.data) != len(texts):
            detail = f"{self.model} answered {len(answer.data)} vectors for {len(texts)} texts"
            raise UnavailableError(detail, code=ErrorCode.PROVIDER_DOWN)
        ordered = sorted(answer.data, key=lambda item: item.index)
        return [item.embedding for item in ordered], answer.usage.prompt_tokens if answer.usage else 0

    def _sdk(self) -> Any:
        import openai

        if self._client is None:
            self._client = openai.AsyncOpenAI(**self._options, http_client=self._http_client())
        self._queue_up()
        return self._client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise what the SDK raises as an error of ours."""
        import openai

        try:
            yield
        except openai.RateLimitError as error:
            detail = f"{self.model} asks to slow down"
            raise TooManyError(detail, code=ErrorCode.RATE_LIMITED, retry_after=_wait(error)) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise JobFaultError(
                f"{self.model} refuses: {error.message}"[:500], code=ErrorCode.EMBEDDING_FAILED
            ) from error
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise BadInputError(
                f"{self.model} refuses the text: {error.message}"[:500], code=ErrorCode.EMBEDDING_FAILED
            ) from error
        except openai.OpenAIError as error:
            if isinstance(held := error.__cause__, RateLimitedError):
                raise TooManyError(held.detail, code=held.code, retry_after=held.retry_after) from error
            code = ErrorCode.PROVIDER_TIMEOUT if isinstance(error, openai.APITimeoutError) else ErrorCode.PROVIDER_DOWN
            detail = f"{self.model} does not answer: {error}"[:500]
            raise UnavailableError(detail, code=code, retry_after=_wait(error)) from error

    def _http_client(self) -> SlotClient | None:
        if self._pool is None:
            return None
        from towpath.llm.slots import SlotClient

        return SlotClient(timeout=SECONDS)

    def _queue_up(self) -> None:
        """Let the next requests take their turns, as those of the job that the activity belongs to."""
        waits = CURRENT_WAITS.get()
        if self._pool is None or waits is None or waits.ref is None:
            return
        from towpath.llm.slots import CURRENT, Call

        CURRENT.set(Call(self._pool, waits.ref.organization, SECONDS, lambda usage: usage))

    async def close(self) -> None:
        """See `Embedder`."""
        if self._client is not None:
            await self._client.close()


def _wait(error: Exception) -> int | None:
    """Return how long the endpoint asks to wait; None: it does not say, and Temporal's own back-off decides."""
    response = getattr(error, "response", None)
    return None if response is None else parse_retry_after(response.headers)
