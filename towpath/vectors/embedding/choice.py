"""The embedder that the settings ask for."""

from __future__ import annotations

from towpath.core.errors import ErrorCode, JobFaultError
from towpath.vectors.embedding.base import Embedder
from towpath.vectors.embedding.local import LocalEmbedder
from towpath.vectors.embedding.remote import RemoteEmbedder
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig


def make_embedder(config: EmbeddingConfig) -> Embedder:
    """Make the embedder of a model key.

    Raises:
        JobFaultError: The key is of no known form, or what the model needs is missing.
    """
    if config.model == LOCAL_MODEL:
        return LocalEmbedder(config)
    provider, _, name = config.model.partition("::")
    if provider == "openai" and name:
        return RemoteEmbedder(config)
    raise JobFaultError(
        f"the embedding model {config.model} is not known: {LOCAL_MODEL} or openai::<model>", code=ErrorCode.REFUSED
    )
