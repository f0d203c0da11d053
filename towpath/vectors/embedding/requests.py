"""Requests of OpenAI's embeddings API, answered by the embedding models that are known here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from towpath.core.errors import BadInputError
from towpath.core.usage import Usage
from towpath.llm.plain import Reply
from towpath.vectors.embedding.local import DIMENSIONS, MODEL_TOKENS, LocalEmbedder
from towpath.vectors.embedding.remote import RemoteEmbedder
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig

MAX_TEXTS = 2_048
MEMBERS = frozenset({"model", "input", "encoding_format", "dimensions"})
OK = 200


class EmbeddingRequests:
    """Answers requests by the local model, or passes them to the endpoint of the settings.

    Args:
        config: Which model the settings name, and how it is reached.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        self._config = config
        self._local: LocalEmbedder | None = None
        self._remote: RemoteEmbedder | None = None

    def resolve(self, name: str) -> str:
        """Return the whole key of a model.

        Raises:
            BadInputError: It is not known here.
        """
        keys = list(dict.fromkeys([LOCAL_MODEL, self._config.model]))
        matches = [key for key in keys if name in (key, key.partition("::")[2])]
        if len(matches) != 1:
            raise BadInputError(f"the embedding model {name[:80]} is not known here; there are: {', '.join(keys)}")
        return matches[0]

    async def answer(self, model: str, body: dict[str, Any]) -> Reply:
        """Answer a request.

        Args:
            model: As `resolve` returned it.
            body: The request.

        Raises:
            BadInputError: The model cannot do what it asks for.
            UnavailableError: The endpoint does not answer now, or asks to slow down.
            JobFaultError: It never will: a wrong key, an unknown model.
        """
        if model == LOCAL_MODEL:
            return await self._answer_locally(body)
        if self._remote is None:
            self._remote = RemoteEmbedder(self._config)
        answer = await self._remote.send(body)
        usage = answer.get("usage") or {}
        return Reply(OK, answer, usage=Usage(input_tokens=int(usage.get("prompt_tokens") or 0)))

    async def close(self) -> None:
        """Let go of threads and connections."""
        for embedder in (self._local, self._remote):
            if embedder is not None:
                await embedder.close()

    async def _answer_locally(self, body: dict[str, Any]) -> Reply:
        texts = _read_texts(body)
        if self._local is None:
            self._local = LocalEmbedder(self._config)
        counts = await self._local.count_tokens(texts)
        for place, count in enumerate(counts):
            if count > MODEL_TOKENS:
                detail = f"input[{place}] has {count} tokens, and {LOCAL_MODEL} reads {MODEL_TOKENS} at most"
                raise BadInputError(detail, field="input")
        vectors = (await self._local.embed(texts)).vectors
        encoded = body.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode() if encoded else row.tolist(),
            }
            for place, row in enumerate(vectors)
        ]
        tokens = sum(counts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        return Reply(OK, answer, usage=Usage(input_tokens=tokens))


def _read_texts(body: dict[str, Any]) -> Sequence[str]:
    """Read the texts of a request for the local model.

    Raises:
        BadInputError: It has no texts, or asks for something else that this model does not do.
    """
    for name, value in body.items():
        if name not in MEMBERS and value is not None:
            raise BadInputError(f"{name} is not understood by {LOCAL_MODEL}", field=name)
    if body.get("encoding_format") not in {None, "float", "base64"}:
        raise BadInputError("encoding_format must be float or base64", field="encoding_format")
    if body.get("dimensions") not in {None, DIMENSIONS}:
        raise BadInputError(f"dimensions: the vectors of {LOCAL_MODEL} have {DIMENSIONS}", field="dimensions")
    value = body.get("input")
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 0 < len(texts) <= MAX_TEXTS:
        raise BadInputError(f"input must be a text, or a list of 1 to {MAX_TEXTS:,} texts", field="input")
    if not all(isinstance(text, str) and text for text in texts):
        detail = f"input must be texts that are not empty; {LOCAL_MODEL} takes no token ids"
        raise BadInputError(detail, field="input")
    return texts
