"""Lines of input files: which are requests, and what is told of those that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from towpath.core.errors import BadInputError
from towpath.core.json_stream import LineSplitter, Slice
from towpath.serving.domain.lines import LineError, LineReader
from towpath.serving.domain.numbers import LineNumbers

CHAT = "/v1/chat/completions"
RIGHT: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "m", "messages": []}}


def resolve(name: str) -> str:
    if name != "m":
        raise BadInputError(f"no {name}")
    return f"house::{name}"


def read(value: Any, reader: LineReader | None = None) -> Any:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return (reader or LineReader(CHAT, max_bytes=1000, resolve=resolve)).read(Slice(0, raw))


def test_a_request_is_read_with_its_whole_model() -> None:
    found = read(RIGHT)

    assert (found.custom_id, found.model) == ("a", "house::m")
    assert json.loads(found.body) == RIGHT["body"]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"custom_id": ""}, "invalid_custom_id", "custom_id"),
        ({"custom_id": 7}, "invalid_custom_id", "custom_id"),
        ({"custom_id": "x" * 513}, "invalid_custom_id", "custom_id"),
        ({"custom_id": None}, "missing_required_parameter", "custom_id"),
        ({"method": "PUT"}, "invalid_method", "method"),
        ({"url": "/v1/embeddings"}, "invalid_url", "url"),
        ({"body": None}, "missing_required_parameter", "body"),
        ({"body": "text"}, "invalid_request", "body"),
        ({"body": {}}, "missing_required_parameter", "body.model"),
        ({"body": {"model": 5}}, "invalid_request", "body.model"),
        ({"body": {"model": "other"}}, "model_not_found", "body.model"),
        ({"body": {"model": "m", "stream": True}}, "invalid_request", "body.stream"),
        ({"more": 1}, "unknown_parameter", "more"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(LineError) as error:
        read({**RIGHT, **change})

    assert (error.value.code, error.value.param) == (code, param)
    assert error.value.at(3).line == 3


@pytest.mark.parametrize("raw", [b"no json", b"[]", b'"text"', b'{"custom_id": "\\u0000"}', b"\xff"])
def test_a_line_that_is_no_object_is_told(raw: bytes) -> None:
    with pytest.raises(LineError) as error:
        read(raw)
    assert error.value.code == "invalid_json_line"


def test_a_custom_id_comes_once() -> None:
    reader = LineReader(CHAT, max_bytes=1000, resolve=resolve)
    read(RIGHT, reader)

    with pytest.raises(LineError) as error:
        read(RIGHT, reader)

    assert error.value.code == "duplicate_custom_id"
    assert read({**RIGHT, "custom_id": "b"}, reader).custom_id == "b"


def test_a_line_beyond_the_limit_is_told() -> None:
    splitter = LineSplitter(most_bytes=10)
    (cut,) = [*splitter.feed(b"x" * 50 + b"\n"), *splitter.close()]

    with pytest.raises(LineError) as error:
        LineReader(CHAT, max_bytes=10, resolve=resolve).read(cut)

    assert error.value.code == "request_too_large"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_numbered_as_an_editor_does_however_the_file_is_cut(size: int) -> None:
    data = b"\n\n{1}\n\n  {2}\r\n{3}\n{4}"
    splitter, numbers = LineSplitter(most_bytes=100), LineNumbers()
    found: list[tuple[int, bytes]] = []
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        numbers.feed(piece)
        found += [(numbers.line_at(one.offset), one.raw) for one in splitter.feed(piece)]
    found += [(numbers.line_at(one.offset), one.raw) for one in splitter.close()]

    assert found == [(3, b"{1}"), (5, b"{2}"), (6, b"{3}"), (7, b"{4}")]
