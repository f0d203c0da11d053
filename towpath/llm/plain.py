"""Requests in OpenAI's own form, sent as they are: for who asks a model directly, without a form of the answer.

They go through the same SDKs, slots and prices as all others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from towpath.core.errors import ErrorCode, ModelError, TowpathError
from towpath.core.json_values import read_json
from towpath.core.usage import Usage
from towpath.llm.flight import Flight
from towpath.llm.models import LanguageModels

ANSWER_ID = "x-request-id"
REJECTED_KEY = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider has answered, an error in its words too.

    Attributes:
        status: The HTTP status.
        body: The JSON.
        request_id: The provider's name for the request; None: it gives none.
        usage: What it was paid.
        seconds: How long it took, without the wait for a slot.
    """

    status: int
    body: dict[str, Any]
    request_id: str | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


class PlainRequests:
    """Sends requests to models in the words of their providers.

    Args:
        models: The language models.
    """

    def __init__(self, models: LanguageModels) -> None:
        self._models = models

    async def send(self, organization: str, model: str, path: str, body: dict[str, Any], *, flight: Flight) -> Reply:
        """Send a request, and return what is answered, also where it is refused.

        Args:
            organization: Whose request it is.
            model: The model key.
            path: Within the provider's API, such as `/chat/completions`.
            body: What is sent, the provider's name of the model included.
            flight: Tells whether it has left, and what was paid.

        Raises:
            ModelError: There is no answer now (`retryable`), or none that can be read, or the key is refused.
        """
        import anthropic
        import httpx2
        import openai

        from towpath.llm.faults import translate_error
        from towpath.llm.slots import CURRENT

        sdk, call = await self._models.open_sdk(organization, model, flight)
        # Each request runs in a task's context of its own: nobody else's call is seen.
        CURRENT.set(call)
        try:
            response: httpx2.Response = await sdk.post(path, body=body, cast_to=httpx2.Response)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            translated = translate_error(model, error, flight.usage)
            if translated.retryable or error.status_code in REJECTED_KEY:
                raise translated from error
            answer_id = error.response.headers.get(ANSWER_ID)
            return Reply(error.status_code, _error_body(error), answer_id, flight.usage, call.seconds)
        except Exception as error:
            raise translate_error(model, error, flight.usage) from error
        return Reply(
            response.status_code,
            _read_object(model, response.content, flight.usage),
            response.headers.get(ANSWER_ID) or response.headers.get("request-id"),
            flight.usage,
            call.seconds,
        )


def _read_object(model: str, content: bytes, usage: Usage) -> dict[str, Any]:
    try:
        value = read_json(content, "the answer")
    except TowpathError as error:
        detail = f"{model} gave no answer that can be stored: {error.detail}"
        raise ModelError(detail, code=ErrorCode.MODEL_OUTPUT_INVALID, usage=usage) from error
    if not isinstance(value, dict):
        raise ModelError(f"{model} answered with no object", code=ErrorCode.MODEL_OUTPUT_INVALID, usage=usage)
    return value


def _error_body(error: Any) -> dict[str, Any]:
    """Return an error of a provider in OpenAI's form, whoever's it is."""
    sent = error.body if isinstance(error.body, dict) else {}
    inner = sent.get("error", sent)
    details = inner if isinstance(inner, dict) else {}
    message = details.get("message")
    return {
        "error": {
            "message": message if isinstance(message, str) else str(error.message),
            "type": details.get("type") or "invalid_request_error",
            "param": details.get("param"),
            "code": details.get("code"),
        }
    }
