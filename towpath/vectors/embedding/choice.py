"""The embedder that the settings ask for."""

from __future__ import annotations

from towpath.core.errors import ErrorCode, JobFaultError
from towpath.llm.limiter.limiter import ProviderLimiter
from towpath.vectors.embedding.base import Embedder
from towpath.vectors.embedding.local import LocalEmbedder
from towpath.vectors.embedding.remote import RemoteEmbedder
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig


def make_embedder(config: EmbeddingConfig, limiter: ProviderLimiter | None = None) -> Embedder:
    """Make the embedder of a model key.

    Args:
        config: The model, and where it is.
        limiter: Says when a request of a job may be sent; None: at once.

    Raises:
        JobFaultError: The key is of no known form, or what the model needs is missing.
    """
    if config.model == LOCAL_MODEL:
        return LocalEmbedder(config)
    provider, _, name = config.model.partition("::")
    if provider == "openai" and name:
        return RemoteEmbedder(config, limiter)
    raise JobFaultError(
        f"the embedding model {config.model} is not known: {LOCAL_MODEL} or openai::<model>", code=ErrorCode.REFUSED
    )
