"""What of an item is embedded, and the ids that its vectors get."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.core.errors import BadInputError, ErrorCode
from towpath.vectors.domain.items import (
    Source,
    digest_of,
    entry_id,
    entry_of,
    item_source,
    object_uid,
    payload_text,
    query_text,
    read_entry_id,
    text_version,
)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"text": "a paper", "title": "T"}, "a paper"),
        ({"title": "T", "body": "B", "year": 2025, "tags": ["x"]}, "B\nT"),
        ({"text": " ", "title": "T"}, "T"),
        ({"text": 5, "title": "T"}, "5"),
        ({"text": 2.5}, "2.5"),
        ({"text": ["a line", 7, " ", "another"], "title": "T"}, "a line\n7\nanother"),
        ({"text": [], "title": "T"}, "T"),
        ({"text": None, "title": "T"}, "T"),
        ({"text": ""}, None),
        ({"year": 2025}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_text_of_a_payload(payload: dict[str, Any] | None, text: str | None) -> None:
    assert payload_text(payload) == text


@pytest.mark.parametrize(
    ("text", "what"), [({"de": "x"}, "an object"), (True, "true or false"), (["a", {}], "a list with something else")]
)
def test_a_text_that_is_none_is_named(text: Any, what: str) -> None:
    with pytest.raises(BadInputError, match=rf"payload\.text is {what}") as error:
        payload_text({"text": text, "title": "T"})
    assert error.value.code is ErrorCode.NOTHING_TO_EMBED
    with pytest.raises(BadInputError, match=r"search_query\.text is"):
        query_text({"text": text})


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


@given(st.text(min_size=1))
def test_an_object_has_a_number(object_id: str) -> None:
    assert 0 < object_uid(object_id) < 2**63


@given(st.text(), st.text())
def test_an_entry_stands_for_the_text_of_a_part(one: str, other: str) -> None:
    entry = entry_of(one)

    assert 0 < entry < 2**63
    assert (entry == entry_of(other)) == (one == other)
    assert read_entry_id(entry_id(entry)) == entry


@given(st.text(), st.text())
def test_a_version_stands_for_its_text_and_how_it_is_cut(one: str, other: str) -> None:
    version = text_version(one, part_tokens=254, overlap=32)

    assert (version == text_version(other, part_tokens=254, overlap=32)) == (one == other)
    assert version != text_version(one, part_tokens=200, overlap=32)


def test_equal_json_has_an_equal_digest_whatever_the_order_of_its_keys() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})
