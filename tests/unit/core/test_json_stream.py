"""The splitter cuts the same entities out of a body however it arrives, and says where a body is broken."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import BadInputError, ErrorCode, TooLargeError
from towpath.core.json_stream import ArraySplitter, LineSplitter, Splitter, scalar_member

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
    with pytest.raises(BadInputError, match=rf"offset {offset}\b"):
        cut(body, 5, ArraySplitter(most_bytes=100))


@pytest.mark.parametrize("body", [b"[", b'[{"id": 1}', b'[{"id": 1},', b'{"entities": [{"id": "a', b'{"entities": [1]'])
def test_a_body_that_ends_too_early_is_truncated(body: bytes) -> None:
    with pytest.raises(BadInputError) as raised:
        cut(body, 3, ArraySplitter(most_bytes=100))

    assert raised.value.code is ErrorCode.TRUNCATED_BODY


def test_an_object_without_entities_says_so() -> None:
    with pytest.raises(BadInputError, match="entities is required"):
        cut(b'{"id": 1, "name": "x"}', 4, ArraySplitter(most_bytes=100))


@given(
    items=st.lists(values | st.text(min_size=100, max_size=300) | st.integers(10**80, 10**90), max_size=8),
    size=st.integers(1, 150),
    most=st.integers(1, 120),
    lines=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_an_item_that_is_too_large_is_passed_over_and_its_neighbours_are_whole(
    items: list[object], size: int, most: int, lines: bool
) -> None:
    raws = [json.dumps(item, ensure_ascii=False).encode("utf-8", "surrogatepass") for item in items]
    body = b"\n".join(raws) if lines else b"[" + b", ".join(raws) + b"]"
    splitter: Splitter = LineSplitter(most_bytes=most) if lines else ArraySplitter(most_bytes=most)

    found = [item for start in range(0, len(body), size) for item in splitter.feed(body[start : start + size])]
    found += splitter.close()

    assert [item.whole for item in found] == [len(raw) <= most for raw in raws]
    for item, raw in zip(found, raws, strict=True):
        assert item.raw == raw
        assert item.whole or item.digest == sha256(raw).digest()
        assert body[item.offset : item.offset + len(raw)] == raw


@pytest.mark.parametrize("splitter", [ArraySplitter(most_bytes=1 << 20), LineSplitter(most_bytes=1 << 20)])
def test_passing_over_an_item_holds_no_more_than_its_beginning(splitter: Splitter) -> None:
    before = b'[{"id": "first"}, ' if isinstance(splitter, ArraySplitter) else b'{"id": "first"}\n'
    after = b', {"id": "last"}]' if isinstance(splitter, ArraySplitter) else b'\n{"id": "last"}\n'
    piece = (b"x" * 994 + b"\\u0041") * 60
    gc.collect()
    tracemalloc.start()

    found = list(splitter.feed(before + b'{"id": 7, "note": "'))
    for _ in range(500):
        found += splitter.feed(piece)
    found += splitter.feed(b'", "tags": [{}]}' + after)
    found += splitter.close()

    assert tracemalloc.get_traced_memory()[1] < 6 << 20
    tracemalloc.stop()
    assert [scalar_member(item.raw, "id") for item in found] == [b'"first"', b"7", b'"last"']
    assert [item.whole for item in found] == [True, False, True]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_byte_order_mark_is_ignored(size: int) -> None:
    assert cut(b"\xef\xbb\xbf[1, 2]", size, ArraySplitter(most_bytes=100)) == [b"1", b"2"]
    assert cut(b'\xef\xbb\xbf{"entities": [1]}', size, ArraySplitter(most_bytes=100)) == [b"1"]
    assert cut(b'\xef\xbb\xbf{"id": 1}\n2', size, LineSplitter(most_bytes=100)) == [b'{"id": 1}', b"2"]
    with pytest.raises(BadInputError, match="offset 1"):
        cut(b" \xef\xbb\xbf[1]", size, ArraySplitter(most_bytes=100))


def test_a_member_beside_the_list_that_is_too_large_is_refused_before_it_is_whole() -> None:
    splitter = ArraySplitter(most_bytes=1000)
    list(splitter.feed(b'{"entities": [], "note": "' + b"x" * 900))

    with pytest.raises(TooLargeError):
        list(splitter.feed(b"x" * 200))


@pytest.mark.parametrize(
    ("raw", "member"),
    [
        (b'{"a": {"id": 1}, "id": "x\\"y", "b', b'"x\\"y"'),
        (b'{"id" : -12, "b": [', b"-12"),
        (b'{"a": "id", "b": {"id": 2}', None),
        (b'{"id": 12', None),
        (b'{"id": 1.5}', None),
        (b'["id", 1]', None),
    ],
)
def test_a_member_is_found_in_the_beginning_of_an_object(raw: bytes, member: bytes | None) -> None:
    assert scalar_member(raw, "id") == member
