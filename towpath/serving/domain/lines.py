"""One line of an input file: read, checked, and told what is wrong with it in the words of OpenAI's API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from towpath.core.errors import BadInputError
from towpath.core.json_stream import Slice
from towpath.core.json_values import read_json, write_json
from towpath.serving.types import LineProblem

MAX_CUSTOM_ID = 512
MAX_PROBLEMS = 100
"""So many lines with a problem are told; a file with more is refused as well."""
MEMBERS = frozenset({"custom_id", "method", "url", "body"})
ResolveModel = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A request of a batch.

    Attributes:
        custom_id: How its client calls it.
        model: The whole key of the model that is asked.
        body: The request, as JSON.
    """

    custom_id: str
    model: str
    body: bytes


class LineError(Exception):
    """A line is no request of its batch.

    Args:
        code: The API's word for it.
        message: One sentence.
        param: The member that is wrong.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param

    def at(self, line: int) -> LineProblem:
        """Return what is told of a line by its number, from 1."""
        return LineProblem(code=self.code, line=line, message=self.message, param=self.param)


class LineReader:
    """Reads the lines of a file, each of which must differ from the others by its `custom_id`.

    Args:
        endpoint: The endpoint of the batch.
        max_bytes: How large a line may be.
        resolve: Returns the whole key of a model; raises `BadInputError` where there is none.
    """

    def __init__(self, endpoint: str, *, max_bytes: int, resolve: ResolveModel) -> None:
        self._endpoint = endpoint
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._keys: dict[str, str] = {}
        self._custom_ids: set[str] = set()

    def read(self, line: Slice) -> BatchLine:
        """Read one line.

        Raises:
            LineError: It is no request of this batch.
        """
        if not line.whole:
            raise LineError("request_too_large", f"This line is larger than {self._max_bytes:,} bytes.")
        try:
            value = read_json(line.raw, "the line")
        except BadInputError as error:
            raise LineError("invalid_json_line", f"This line is not parseable as valid JSON: {error.detail}") from error
        if not isinstance(value, dict):
            raise LineError("invalid_json_line", "This line is not a JSON object.")
        self._check_members(value)
        custom_id, body = value["custom_id"], value["body"]
        model = self._model_of(body)
        if body.get("stream"):
            raise LineError("invalid_request", "Streaming is not supported in a batch.", "body.stream")
        self._custom_ids.add(custom_id)
        return BatchLine(custom_id, model, write_json(body))

    def _check_members(self, value: dict[str, Any]) -> None:
        for name in ("custom_id", "method", "url", "body"):
            if value.get(name) is None:
                raise LineError("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
        unknown = next((name for name in value if name not in MEMBERS), None)
        if unknown is not None:
            raise LineError("unknown_parameter", f"Unknown parameter: '{unknown[:80]}'.", unknown[:80])
        custom_id = value["custom_id"]
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID:
            detail = f"'custom_id' must be a text of 1 to {MAX_CUSTOM_ID} characters."
            raise LineError("invalid_custom_id", detail, "custom_id")
        if custom_id in self._custom_ids:
            detail = f"The custom_id '{custom_id}' is used by another request of this file."
            raise LineError("duplicate_custom_id", detail, "custom_id")
        if value["method"] != "POST":
            raise LineError("invalid_method", "'method' must be 'POST'.", "method")
        if value["url"] != self._endpoint:
            detail = f"'url' must be the batch's endpoint, '{self._endpoint}'."
            raise LineError("invalid_url", detail, "url")
        if not isinstance(value["body"], dict):
            raise LineError("invalid_request", "'body' must be an object.", "body")

    def _model_of(self, body: dict[str, Any]) -> str:
        name = body.get("model")
        if name is None:
            raise LineError("missing_required_parameter", "Missing required parameter: 'body.model'.", "body.model")
        if not isinstance(name, str):
            raise LineError("invalid_request", "'body.model' must be a text.", "body.model")
        if name not in self._keys:
            try:
                self._keys[name] = self._resolve(name)
            except BadInputError as error:
                raise LineError("model_not_found", error.detail, "body.model") from error
        return self._keys[name]
