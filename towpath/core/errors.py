"""The one tree of errors: each knows its code, its HTTP status and whether a retry can help.

TowpathError
|-- BadInputError           400  what the caller sent is wrong; `field` names the place
|-- UnauthorizedError       401  no key, a wrong key, or two different keys
|-- ForbiddenError          403  the key may not do this
|-- NotFoundError           404  unknown, or another organisation's
|-- SlowBodyError           408  the body comes too slowly, or takes too long
|-- ConflictError           409  the state does not allow it now
|-- TooLargeError           413  beyond a limit
|-- UnsupportedMediaTypeError 415 the body is of a type that is not taken
|-- UnprocessableError      422  the same Idempotency-Key with another body
|-- TooManyError            429  slow down; carries `retry_after`
|   `-- LimitReachedError   429  a limit of the organization, key or account is used up; names it
|-- UnavailableError        503  a part is down; carries `retry_after`
|-- ModelError              502  a language model gave no usable answer; codes in small letters, as its users know them
|   |-- RateLimitedError    429  the provider asks to slow down; carries `retry_after`
|   |-- ProviderDownError   502  the provider does not answer now
|   |-- ModelTimeoutError   504  the provider took too long
|   |-- ContextTooLongError 422  the prompt is longer than the model takes
|   |-- ModelRetiredError   422  the provider no longer has the model
|   |-- OutputInvalidError  502  not the asked form, also after repairs
|   `-- CostLimitError      402  it could cost more than is left of the job's cap
|-- AnswerAwaitedError     500  an answer comes with a batch later; ends a page, and never leaves its activity
`-- JobFaultError           500  a job cannot go on; never retried
    `-- MissingExtraError   501  an optional part is not installed; names the extra
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, Field

from towpath.core.usage import Usage
from towpath.core.values import make_storable


class ErrorCode(StrEnum):
    """Every code that an answer, a job, a failed item or a warning can carry; the last block is of warnings alone."""

    INVALID_JSON = "INVALID_JSON"
    INVALID_VALUE = "INVALID_VALUE"
    INVALID_ENCODING = "INVALID_ENCODING"
    MISSING_FIELD = "MISSING_FIELD"
    NO_INDEXED_VALUE = "NO_INDEXED_VALUE"
    RESERVED_FIELD = "RESERVED_FIELD"
    EMPTY_LIST = "EMPTY_LIST"
    NULL_BYTE = "NULL_BYTE"
    TRUNCATED_BODY = "TRUNCATED_BODY"
    BODY_TOO_SLOW = "BODY_TOO_SLOW"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    CONFLICT = "CONFLICT"
    TOO_LARGE = "TOO_LARGE"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    LIMIT_REACHED = "LIMIT_REACHED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    ALL_ITEMS_FAILED = "ALL_ITEMS_FAILED"
    WORKFLOW_LOST = "WORKFLOW_LOST"
    ATTEMPT_LOST = "ATTEMPT_LOST"
    JOB_NOT_ACTIVE = "JOB_NOT_ACTIVE"
    INDEX_DROPPED = "INDEX_DROPPED"
    REFUSED = "REFUSED"
    NOTHING_TO_EMBED = "NOTHING_TO_EMBED"
    SOURCE_FAILED = "SOURCE_FAILED"
    EMBEDDING_FAILED = "EMBEDDING_FAILED"
    TOO_MANY_PARTS = "TOO_MANY_PARTS"
    QUERY_TOO_SLOW = "QUERY_TOO_SLOW"
    QUERY_EXECUTION_ERROR = "QUERY_EXECUTION_ERROR"
    MODEL_ERROR = "MODEL_ERROR"
    TOPIC_NOT_FOUND = "TOPIC_NOT_FOUND"
    REVIEW_REJECTED = "REVIEW_REJECTED"
    ADDRESS_REFUSED = "ADDRESS_REFUSED"
    UNREADABLE = "UNREADABLE"
    RATE_LIMITED = "rate_limited"
    CONTEXT_TOO_LONG = "context_length_exceeded"
    MODEL_OUTPUT_INVALID = "model_output_invalid"
    MODEL_RETIRED = "model_retired"
    MODEL_REFUSED = "model_refused"
    NO_FAILED_EXPERTISES = "no_failed_expertises"
    PROVIDER_DOWN = "provider_unavailable"
    PROVIDER_TIMEOUT = "provider_timeout"
    MODEL_LIMIT = "model_limit_exceeded"
    COST_LIMIT = "cost_limit_exceeded"
    CLASSIFICATION = "classification_mismatch"
    ENRICHMENT_FAILED = "enrichment_failed"
    DOCUMENT_ENCRYPTED = "DOCUMENT_ENCRYPTED"
    DOCUMENT_DAMAGED = "DOCUMENT_DAMAGED"
    DOCUMENT_TOO_LARGE = "DOCUMENT_TOO_LARGE"
    UNSUPPORTED_FILE_TYPE = "UNSUPPORTED_FILE_TYPE"
    PAGE_TIMEOUT = "PAGE_TIMEOUT"
    PAGE_TOO_LARGE = "PAGE_TOO_LARGE"
    PAGE_OUT_OF_RANGE = "PAGE_OUT_OF_RANGE"
    READER_DIED = "READER_DIED"
    REQUIRED_MISSING = "REQUIRED_MISSING"
    SOURCE_TRUNCATED = "SOURCE_TRUNCATED"
    RESULT_TRUNCATED = "RESULT_TRUNCATED"
    PAGES_LEFT_OUT = "PAGES_LEFT_OUT"
    FIELDS_LEFT_OUT = "FIELDS_LEFT_OUT"
    TOPIC_GUESSED = "TOPIC_GUESSED"
    BATCH_FAILED = "BATCH_FAILED"
    MORE_WARNINGS = "MORE_WARNINGS"


class ErrorBody(BaseModel):
    """What every error answer looks like: `detail` and the RFC 9457 members."""

    detail: str = Field(description="One readable sentence.", examples=["entities[3].id is required"])
    status: int = Field(examples=[400])
    title: str = Field(examples=["Bad Request"])
    code: ErrorCode = Field(examples=[ErrorCode.MISSING_FIELD])
    request_id: str = Field(examples=["0198f0d6-3a51-7cc2-9f1e-0f6a0a1b2c3d"])


class WrongValue(BaseModel):
    """One value that is wrong."""

    loc: list[str | int] = Field(description="Where it is.", examples=[["body", "items", 0, "object_id"]])
    msg: str
    type: str


class ErrorList(BaseModel):
    """What the embeddings API answers to values that are wrong, with 422: all of them."""

    detail: list[WrongValue]
    status: int = Field(examples=[422])
    title: str = Field(examples=["Unprocessable Content"])
    code: ErrorCode
    request_id: str


class TowpathError(Exception):
    """Base of all: an answer of `status` with `code` and one readable sentence."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal Server Error"
    default_code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        code: ErrorCode | None = None,
        field: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Make the error.

        Args:
            detail: One sentence for a person.
            code: The machine's word for it; the class's own by default.
            field: The path of the value that is wrong, such as `entities[3].id`.
            retry_after: Seconds after which a repeat may succeed.
        """
        detail = make_storable(detail)
        # It may quote a provider, a file or a server, and is kept with jobs, items and deliveries.
        detail = make_storable(detail)
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.field = field
        self.retry_after = retry_after
        self.extra: dict[str, object] = {}
        """Further members of the answer."""


class BadInputError(TowpathError):
    """400: what the caller sent is wrong."""

    status = 400
    title = "Bad Request"
    default_code = ErrorCode.INVALID_VALUE


class UnauthorizedError(TowpathError):
    """401: no key, a wrong key, or two different keys."""

    status = 401
    title = "Unauthorized"
    default_code = ErrorCode.UNAUTHORIZED


class ForbiddenError(TowpathError):
    """403: the key may not do this."""

    status = 403
    title = "Forbidden"
    default_code = ErrorCode.FORBIDDEN


class NotFoundError(TowpathError):
    """404: unknown here, or another organisation's."""

    status = 404
    title = "Not Found"
    default_code = ErrorCode.NOT_FOUND


class SlowBodyError(TowpathError):
    """408: the body comes too slowly, or takes too long; nothing of it is kept."""

    status = 408
    title = "Request Timeout"
    default_code = ErrorCode.BODY_TOO_SLOW


class ConflictError(TowpathError):
    """409: the present state does not allow it."""

    status = 409
    title = "Conflict"
    default_code = ErrorCode.CONFLICT


class TooLargeError(TowpathError):
    """413: the body is beyond a limit."""

    status = 413
    title = "Content Too Large"
    default_code = ErrorCode.TOO_LARGE


class UnsupportedMediaTypeError(TowpathError):
    """415: the body is of a type that the route does not take."""

    status = 415
    title = "Unsupported Media Type"
    default_code = ErrorCode.UNSUPPORTED_MEDIA_TYPE


class UnprocessableError(TowpathError):
    """422: the same Idempotency-Key came with another body."""

    status = 422
    title = "Unprocessable Content"
    default_code = ErrorCode.IDEMPOTENCY_MISMATCH


class TooManyError(TowpathError):
    """429: slow down."""

    status = 429
    title = "Too Many Requests"
    default_code = ErrorCode.TOO_MANY_REQUESTS
    retryable = True


class LimitReachedError(TooManyError):
    """429: a limit is used up.

    Args:
        limit: Its name, as `GET /v1/limits` and the settings have it.
        most: What it allows.
        window: The seconds that it counts over; None: what is there at the moment.
        retry_after: Seconds after which there may be room.
        detail: One sentence; None: the usual one.
    """

    default_code = ErrorCode.LIMIT_REACHED

    def __init__(
        self, limit: str, most: int, *, window: int | None = None, retry_after: int, detail: str | None = None
    ) -> None:
        span = "" if window is None else " a minute" if window == 60 else f" in {window} s"
        super().__init__(
            detail or f"the limit {limit} is reached: {most:,}{span}; try again in {retry_after} s",
            retry_after=retry_after,
        )
        self.limit = limit
        self.most = most
        self.window = window
        self.extra = {"limit": limit}


class UnavailableError(TowpathError):
    """503: a part of the system does not answer now."""

    status = 503
    title = "Service Unavailable"
    default_code = ErrorCode.UNAVAILABLE
    retryable = True


class QueryTooSlowError(BadInputError):
    """A query of a user's database took longer than it may."""

    default_code = ErrorCode.QUERY_TOO_SLOW


class JobFaultError(TowpathError):
    """A job cannot go on; Temporal must not retry."""

    default_code = ErrorCode.INTERNAL


class JobNotActiveError(JobFaultError):
    """A chunk came to write after its job had ended; its transaction is rolled back."""

    default_code = ErrorCode.JOB_NOT_ACTIVE


class MissingExtraError(JobFaultError):
    """501: an optional part is not installed.

    Args:
        extra: The extra of the package that brings it.
        purpose: What it is needed for, as the subject of a sentence.
    """

    status = 501
    title = "Not Implemented"

    def __init__(self, extra: str, purpose: str) -> None:
        self.missing = extra
        self.purpose = purpose
        super().__init__(f"{purpose} needs an optional part that is not installed: pip install 'towpath[{extra}]'")


class ModelError(TowpathError):
    """502: a language model gave no usable answer, and a repeat would not either.

    Args:
        detail: One sentence for a person.
        code: The machine's word for it; the class's own by default.
        retry_after: Seconds after which a repeat may succeed.
        usage: What the provider was paid all the same, repairs included.
    """

    status = 502
    title = "Bad Gateway"
    default_code = ErrorCode.MODEL_REFUSED

    def __init__(
        self,
        detail: str,
        *,
        code: ErrorCode | None = None,
        retry_after: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(detail, code=code, retry_after=retry_after)
        self.usage = usage or Usage()


class RateLimitedError(ModelError):
    """429: the provider asks to slow down."""

    status = 429
    title = "Too Many Requests"
    default_code = ErrorCode.RATE_LIMITED
    retryable = True


class ProviderDownError(ModelError):
    """502: the provider does not answer now."""

    default_code = ErrorCode.PROVIDER_DOWN
    retryable = True


class ModelTimeoutError(ModelError):
    """504: the provider took too long."""

    status = 504
    title = "Gateway Timeout"
    default_code = ErrorCode.PROVIDER_TIMEOUT
    retryable = True


class ContextTooLongError(ModelError):
    """422: the prompt is longer than the model takes."""

    status = 422
    title = "Unprocessable Content"
    default_code = ErrorCode.CONTEXT_TOO_LONG


class ModelRetiredError(ModelError):
    """422: the provider no longer has the model."""

    status = 422
    title = "Unprocessable Content"
    default_code = ErrorCode.MODEL_RETIRED


class OutputInvalidError(ModelError):
    """502: the answer has not the form that was asked for, also after repairs."""

    default_code = ErrorCode.MODEL_OUTPUT_INVALID


class CostLimitError(ModelError):
    """402: a request could cost more than is left of its job's cap; it was not made."""

    status = 402
    title = "Payment Required"
    default_code = ErrorCode.COST_LIMIT


class AnswerAwaitedError(TowpathError):
    """A call waits for a batch of its provider: no failure, and no answer yet. It ends a page, and no more."""


class PaymentRequiredError(TowpathError):
    """402: a limit of models, jobs or money is reached."""

    status = 402
    title = "Payment Required"
    default_code = ErrorCode.COST_LIMIT
