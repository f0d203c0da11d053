"""The splitter cuts the same entities out of a body however it arrives, and says where a body is broken."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import BadInput, ErrorCode, TooLarge
from domain.json_stream import ArraySplitter, LineSplitter, Splitter

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def cut(body: bytes, size: int, splitter: Splitter) -> list[bytes]:
    pieces: Iterable[bytes] = (body[start : start + size] for start in range(0, len(body), size))
    found = [item.raw for piece in pieces for item in splitter.feed(piece)]
    return found + [item.raw for item in splitter.close()]


@given(items=st.lists(values, max_size=8), size=st.integers(1, 40), wrapped=st.booleans(), indent=st.booleans())
@settings(max_examples=300)
def test_an_array_gives_its_items_however_it_is_cut(
    items: list[object], size: int, wrapped: bool, indent: bool
) -> None:
    whole: object = {"first": [1, {"a": "]"}], "entities": items, "last": "x"} if wrapped else items
    body = json.dumps(whole, ensure_ascii=False, indent=2 if indent else None).encode("utf-8", "surrogatepass")

    found = cut(body, size, ArraySplitter(most_bytes=1 << 20))

    assert [json.loads(raw) for raw in found] == items


@given(items=st.lists(values, max_size=8), size=st.integers(1, 40))
@settings(max_examples=200)
def test_lines_give_their_items_however_they_are_cut(items: list[object], size: int) -> None:
    body = b"\n".join(json.dumps(item).encode() for item in items)

    found = cut(body, size, LineSplitter(most_bytes=1 << 20))

    assert [json.loads(raw) for raw in found] == items


def test_offsets_are_those_of_the_body() -> None:
    body = b'{"entities": [{"id": 1}, {"id": 2}]}'

    found = list(ArraySplitter(most_bytes=100).feed(body))

    assert [body[item.offset : item.offset + len(item.raw)] for item in found] == [b'{"id": 1}', b'{"id": 2}']


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b'[{"id": 1} {"id": 2}]', 11),
        (b'[{"id": 1},]', 11),
        (b'{"entities" [1]}', 12),
        (b'[{"id": 1}] x', 12),
        (b"nonsense", 0),
        (b'{"entities": [1], "entities": [2]}', 30),
    ],
)
def test_broken_json_names_its_offset(body: bytes, offset: int) -> None:
    with pytest.raises(BadInput, match=rf"offset {offset}\b"):
        cut(body, 5, ArraySplitter(most_bytes=100))


@pytest.mark.parametrize("body", [b"[", b'[{"id": 1}', b'[{"id": 1},', b'{"entities": [{"id": "a', b'{"entities": [1]'])
def test_a_body_that_ends_too_early_is_truncated(body: bytes) -> None:
    with pytest.raises(BadInput) as raised:
        cut(body, 3, ArraySplitter(most_bytes=100))

    assert raised.value.code is ErrorCode.TRUNCATED_BODY


def test_an_object_without_entities_says_so() -> None:
    with pytest.raises(BadInput, match="entities is required"):
        cut(b'{"id": 1, "name": "x"}', 4, ArraySplitter(most_bytes=100))


def test_an_entity_beyond_the_limit_is_refused_before_it_is_whole() -> None:
    splitter = ArraySplitter(most_bytes=1000)
    list(splitter.feed(b'[{"id": "' + b"x" * 900))

    with pytest.raises(TooLarge):
        list(splitter.feed(b"x" * 200))


def test_a_line_beyond_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge):
        list(LineSplitter(most_bytes=10).feed(b"x" * 11))
