"""JSON keeps its exact values, and what no part can hold is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import MAX_DEPTH, BadValueError, parse_json, read_json, write_json

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)  # fmt: skip
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


@given(value=values, marked=st.booleans())
@settings(max_examples=300, deadline=None)
def test_what_is_read_and_written_is_the_same(value: Any, marked: bool) -> None:
    raw = json.dumps(value).encode()

    assert read_json(b"\xef\xbb\xbf" * marked + raw) == value
    assert json.loads(write_json(value)) == value
    assert parse_json(write_json(value)) == value


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**30, -(10**300), 2**64 + 1])
def test_an_integer_keeps_all_of_its_digits(number: int) -> None:
    value = {"x": [number, "ü"], "f": float("nan")}

    assert read_json(b'{"x": %d}' % number) == {"x": number}
    assert write_json(value) == b'{"x":[%d,"\xc3\xbc"],"f":null}' % number
    assert write_json(value, options=orjson.OPT_SORT_KEYS) == b'{"f":null,"x":[%d,"\xc3\xbc"]}' % number
    assert write_json(value, options=orjson.OPT_INDENT_2).startswith(b'{\n  "x": [\n')


@pytest.mark.parametrize(
    ("raw", "code", "place"),
    [
        (b'{"a": ["x", {"b": "x\\u0000"}]}', ErrorCode.NULL_BYTE, "e[3].a[1].b"),
        (b'{"a": {"x\\u0000": 1}}', ErrorCode.NULL_BYTE, "e[3].a"),
        (b'{"a": "\\ud800"}', ErrorCode.INVALID_ENCODING, "e[3].a"),
        (b'{"a": {"\\udfff": 1}}', ErrorCode.INVALID_ENCODING, "e[3].a"),
        (b'{"a": 1e400}', ErrorCode.INVALID_VALUE, "e[3].a"),
        (b'{"a": [-1e400]}', ErrorCode.INVALID_VALUE, "e[3].a[0]"),
        (b'{"a": ' + b"9" * 400 + b"}", ErrorCode.INVALID_VALUE, "e[3].a"),
        (b'{"a": ' + b"9" * 5000 + b"}", ErrorCode.INVALID_VALUE, "e[3]"),
        (b"[" * 221 + b"]" * 221, ErrorCode.INVALID_VALUE, "e[3]"),
        (b"[" * 1100 + b"]" * 1100, ErrorCode.INVALID_VALUE, "e[3]"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ErrorCode.INVALID_VALUE, "e[3]"),
    ],
)
def test_a_value_that_no_part_can_hold_is_refused_with_its_place(raw: bytes, code: ErrorCode, place: str) -> None:
    with pytest.raises(BadValueError) as refused:
        read_json(raw, "e[3]")

    assert refused.value.code is code
    assert refused.value.field == place
    assert place in refused.value.detail


@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b'{"a": Infinity}', b'"\xff"', b"[1,]", b'"\xed\xa0\x80"', b"1 2"])
def test_what_is_no_json_is_refused_with_its_offset(raw: bytes) -> None:
    with pytest.raises(BadInputError, match=r"offset \d+") as refused:
        read_json(raw, "the answer", offset=7)

    assert refused.value.code is ErrorCode.INVALID_JSON
    assert not isinstance(refused.value, BadValueError)


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert read_json(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


def test_as_many_levels_as_can_be_written_are_taken() -> None:
    raw = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    assert write_json({"a": {"b": read_json(raw)}}) == b'{"a":{"b":%s}}' % raw
