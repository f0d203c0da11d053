"""Asks the model of one line: in its provider's own words, whatever those are."""

from __future__ import annotations

import time
from typing import Any, Protocol

from towpath.core.errors import BadInputError, TowpathError
from towpath.core.json_values import parse_json, write_json
from towpath.core.usage import Usage
from towpath.llm import Catalog, LanguageModels
from towpath.llm.flight import Flight
from towpath.llm.plain import PlainRequests, Reply
from towpath.llm.types import WireFormat, split_key
from towpath.serving.domain.anthropic_format import translate_answer, translate_request
from towpath.serving.store.lines import LineAnswer, OpenLine
from towpath.serving.types import EMBEDDINGS

KEY_MARK = "::"


class EmbeddingModels(Protocol):
    """Answers requests of the embeddings API."""

    def resolve(self, name: str) -> str:
        """Return the whole key of a model.

        Raises:
            BadInputError: It is not known here.
        """
        ...

    async def answer(self, model: str, body: dict[str, Any]) -> Reply:
        """Answer a request.

        Raises:
            BadInputError: The model cannot do what it asks for.
            TowpathError: There is no answer, now (`retryable`) or at all.
        """
        ...


class LineModels:
    """The models that lines may ask.

    Args:
        models: The language models.
        embeddings: The embedding models.
    """

    def __init__(self, models: LanguageModels, embeddings: EmbeddingModels) -> None:
        self._catalog = models.catalog
        self._plain = PlainRequests(models)
        self._embeddings = embeddings

    def resolve(self, endpoint: str, name: str) -> str:
        """Return the whole key of the model that a line names.

        Raises:
            BadInputError: It is not known, not set up, or several providers have one of that name.
        """
        if endpoint == EMBEDDINGS:
            return self._embeddings.resolve(name)
        return resolve_chat_model(self._catalog, name)

    async def ask(
        self, organization: str, endpoint: str, line: OpenLine, request_id: str, *, flight: Flight
    ) -> LineAnswer:
        """Ask the model of a line.

        Args:
            organization: Whose line.
            endpoint: The endpoint of the batch.
            line: The line.
            request_id: The request's name, where its provider gives it none.
            flight: Tells whether it has left, and what was paid.

        Raises:
            BadInputError: The model cannot do what the line asks for.
            TowpathError: There is no answer, now (`retryable`) or at all.
        """
        body = parse_json(line.body)
        if endpoint == EMBEDDINGS:
            flight.depart()
            reply = await self._embeddings.answer(line.model, body)
        else:
            reply = await self._complete(organization, line.model, body, flight)
        return LineAnswer(
            status=reply.status,
            request_id=reply.request_id or request_id,
            response=write_json(reply.body),
            usage=reply.usage,
            reasoning_tokens=_reasoning_tokens(reply.body),
        )

    async def _complete(self, organization: str, model: str, body: dict[str, Any], flight: Flight) -> Reply:
        provider, name = split_key(model)
        known = self._catalog.provider(provider)
        if known is None or known.api is not WireFormat.ANTHROPIC:
            request = {**body, "model": name}
            return await self._plain.send(organization, model, "/chat/completions", request, flight=flight)
        request = {**translate_request(body), "model": name}
        reply = await self._plain.send(organization, model, "/v1/messages", request, flight=flight)
        if reply.status >= 300:
            return reply
        answer = translate_answer(reply.body, created=int(time.time()))
        return Reply(reply.status, answer, reply.request_id, reply.usage, reply.seconds)


def resolve_chat_model(catalog: Catalog, name: str) -> str:
    """Return the whole key of a language model: its own, or that of the only provider with such a model.

    Raises:
        BadInputError: It is not known, not set up, or several providers have one of that name.
    """
    if KEY_MARK in name:
        catalog.check(name, "body.model")
        return name
    matches = []
    for provider in dict.fromkeys(split_key(info.key)[0] for info in catalog.models()):
        key = f"{provider}{KEY_MARK}{name}"
        try:
            catalog.check(key, "body.model")
        except BadInputError:
            continue
        matches.append(key)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise BadInputError(f"several providers have the model {name[:80]}; name one: {', '.join(sorted(matches))}")
    raise BadInputError(f"the model {name[:80]} is not available here; a model is named provider::model")


def failed_answer(error: TowpathError, request_id: str, usage: Usage) -> LineAnswer:
    """Return what the error file says of a line that has no answer."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body = {
        "error": {"message": error.detail, "type": kind, "param": error.field, "code": str(error.code.value).lower()}
    }
    return LineAnswer(status=error.status, request_id=request_id, response=write_json(body), usage=usage)


def _reasoning_tokens(body: dict[str, Any]) -> int:
    usage = body.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    tokens = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return tokens if isinstance(tokens, int) else 0
