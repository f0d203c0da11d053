"""What of an item is embedded, and the ids that its vectors get."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.vectors.items import (
    Source,
    digest_of,
    item_source,
    object_uid,
    part_id,
    payload_text,
    query_text,
    read_part_id,
    text_version,
)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"text": "a paper", "title": "T"}, "a paper"),
        ({"title": "T", "body": "B", "year": 2025, "tags": ["x"]}, "B\nT"),
        ({"text": " ", "title": "T"}, "T"),
        ({"text": 5, "title": "T"}, "T"),
        ({"text": ""}, None),
        ({"year": 2025}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_text_of_a_payload(payload: dict[str, Any] | None, text: str | None) -> None:
    assert payload_text(payload) == text


@pytest.mark.parametrize(
    ("query", "text"),
    [("find", "find"), ("  ", None), (None, None), ({"text": "find"}, "find"), (["a", "b"], "a\nb"), (7, "7")],
)
def test_the_text_of_a_query(query: Any, text: str | None) -> None:
    assert query_text(query) == text


@pytest.mark.parametrize(
    ("info", "source"),
    [
        ({"url": "https://example.com/a.pdf"}, Source(url="https://example.com/a.pdf")),
        ({"source": "http://example.com/a"}, Source(url="http://example.com/a")),
        ({"path": "notes/a.md"}, Source(path="notes/a.md")),
        ({"file": "file:///data/a.md"}, Source(path="/data/a.md")),
        ({"source": "feed-a"}, None),
        ({"url": "ftp://example.com"}, None),
        ({"path": 5}, None),
        (None, None),
    ],
)
def test_the_file_that_an_item_names(info: dict[str, Any] | None, source: Source | None) -> None:
    assert item_source(info) == source


@given(st.text(min_size=1), st.integers(1, 2**63 - 1), st.integers(0, 10_000))
def test_a_part_id_says_object_version_and_part(object_id: str, version: int, part: int) -> None:
    uid = object_uid(object_id)

    assert 0 < uid < 2**63
    assert read_part_id(part_id(uid, version, part)) == (uid, version, part)


@given(st.text(), st.text())
def test_a_version_stands_for_its_text_and_how_it_is_cut(one: str, other: str) -> None:
    version = text_version(one, part_tokens=254, overlap=32)

    assert (version == text_version(other, part_tokens=254, overlap=32)) == (one == other)
    assert version != text_version(one, part_tokens=200, overlap=32)


def test_equal_json_has_an_equal_digest_whatever_the_order_of_its_keys() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})
