"""Translates what the providers' SDKs and instructor raise into errors that Temporal's retry policy understands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import anthropic
import openai
import pydantic
from instructor.core.exceptions import IncompleteOutputException, InstructorRetryException

from towpath.core.errors import (
    ContextTooLongError,
    ErrorCode,
    ModelError,
    ModelRetiredError,
    ModelTimeoutError,
    OutputInvalidError,
    ProviderDownError,
    RateLimitedError,
)
from towpath.core.texts import shorten
from towpath.core.usage import Usage
from towpath.llm.wire import RefusedError
from towpath.net.http import parse_retry_after

TOO_LONG = re.compile(
    r"context[_ ](?:length|size|window)|maximum context|prompt is too long|too many tokens", re.IGNORECASE
)
OVERLOADED = 529
PASSING = frozenset({408, 409, 425, OVERLOADED})
MAX_DETAIL = 500


def translate_error(model: str, error: Exception, usage: Usage) -> ModelError:
    """Translate what a call raised into an error of ours.

    Args:
        model: The model key, for the message.
        error: What was raised.
        usage: What the provider was paid before it failed.
    """
    cause = _root(error)
    # What is refused here before it is sent: the SDKs take it for a failed connection.
    refused = cause.__cause__
    translated = refused if isinstance(refused, ModelError) else _translate(model, error, cause)
    translated.usage = usage
    return translated


def _translate(model: str, error: Exception, cause: BaseException) -> ModelError:
    if isinstance(cause, openai.APITimeoutError | anthropic.APITimeoutError | TimeoutError):
        return ModelTimeoutError(f"{model} did not answer in time")
    if isinstance(cause, openai.APIStatusError | anthropic.APIStatusError):
        return _of_status(model, cause.status_code, _message(cause), cause.response.headers)
    if isinstance(cause, openai.APIConnectionError | anthropic.APIConnectionError | OSError):
        return _own(cause) or ProviderDownError(f"{model} cannot be reached: {_reason(cause)}"[:MAX_DETAIL])
    return _of_answer(model, error, cause)


def _of_answer(model: str, error: BaseException, cause: BaseException) -> ModelError:
    """Translate what is wrong with an answer that came."""
    if isinstance(error, IncompleteOutputException) or isinstance(cause, IncompleteOutputException):
        return OutputInvalidError(f"{model} did not come to an end of its answer")
    if isinstance(cause, RefusedError):
        return ModelError(f"{model} refuses to answer: {shorten(str(cause), MAX_DETAIL)}", code=ErrorCode.MODEL_REFUSED)
    if isinstance(cause, pydantic.ValidationError | json.JSONDecodeError | ValueError):
        return OutputInvalidError(f"{model} gave no valid answer: {_validation(cause)}")
    return ModelError(f"{model} failed: {_reason(cause)}"[:MAX_DETAIL])


def _own(error: BaseException) -> ModelError | None:
    """Return an error of ours that a request has ended with: the SDKs take it for one of the connection."""
    while error.__cause__ is not None and not isinstance(error, ModelError):
        error = error.__cause__
    return error if isinstance(error, ModelError) else None


def is_cut_off(error: BaseException) -> bool:
    """Return whether an answer ended where its room did."""
    return isinstance(error, IncompleteOutputException) or isinstance(_root(error), IncompleteOutputException)


def read_rejection(error: BaseException) -> str | None:
    """Return why a provider has rejected a request as it was written; None: it has not."""
    cause = _root(error)
    if isinstance(cause, openai.BadRequestError | anthropic.BadRequestError):
        return _message(cause)
    return None


def _root(error: BaseException) -> BaseException:
    """Return what went wrong in the last try: instructor wraps it."""
    while isinstance(error, InstructorRetryException) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _of_status(model: str, status: int, message: str, headers: Mapping[str, str]) -> ModelError:
    detail = f"{model} answered {status}: {message}"[:MAX_DETAIL]
    if status == 429:
        return RateLimitedError(detail, retry_after=parse_retry_after(headers))
    if TOO_LONG.search(message):
        return ContextTooLongError(detail)
    if status in {404, 410}:
        return ModelRetiredError(detail)
    if status in {401, 403}:
        return ModelError(f"{model}: the provider refuses the key: {message}"[:MAX_DETAIL])
    if status >= 500 or status in PASSING:
        return ProviderDownError(detail, retry_after=parse_retry_after(headers))
    return ModelError(detail, code=ErrorCode.MODEL_REFUSED)


def _message(error: Any) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    return str(getattr(error, "message", error))


def _reason(error: BaseException) -> str:
    # The SDKs say only "Connection error."; what happened is behind it.
    cause = error.__cause__
    return f"{error} ({cause})" if cause is not None and str(cause) else str(error) or type(error).__name__


def _validation(error: BaseException) -> str:
    if isinstance(error, pydantic.ValidationError):
        problems = error.errors(include_url=False)[:3]
        text = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in problems)
        return shorten(text, MAX_DETAIL)
    return shorten(str(error), MAX_DETAIL)
