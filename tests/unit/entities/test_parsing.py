"""What of an entity is refused, with its place; and what of it is stored."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.entities.builders import index
from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import BYTE_ORDER_MARK
from towpath.entities.domain.parsing import (
    MAX_DYNAMIC_FIELDS,
    MAX_ID_CHARACTERS,
    ScalarFields,
    append_fields,
    bare_draft,
    make_draft,
    parse_entity,
    read_checked_entity,
)
from towpath.entities.types import FieldType, IndexConfig, IndexField

LONG = "x" * (MAX_ID_CHARACTERS + 1)


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (b"[1]", ErrorCode.INVALID_VALUE, None),
        (b'"name"', ErrorCode.INVALID_VALUE, None),
        (b"{}", ErrorCode.MISSING_FIELD, "id"),
        (b'{"id":null}', ErrorCode.MISSING_FIELD, "id"),
        (b'{"id":true}', ErrorCode.INVALID_VALUE, "id"),
        (b'{"id":1.5}', ErrorCode.INVALID_VALUE, "id"),
        (b'{"id":[1]}', ErrorCode.INVALID_VALUE, "id"),
        (b'{"id":{"a":1}}', ErrorCode.INVALID_VALUE, "id"),
        (b'{"id":18446744073709551616}', ErrorCode.INVALID_VALUE, "id"),
        (b'{"id":-9223372036854775809}', ErrorCode.INVALID_VALUE, "id"),
        (b'{"id":""}', ErrorCode.INVALID_VALUE, "id"),
        (f'{{"id":"{LONG}"}}'.encode(), ErrorCode.INVALID_VALUE, "id"),
        (f'{{"id":1,"sku":"{LONG}"}}'.encode(), ErrorCode.INVALID_VALUE, "sku"),
        (b'{"id":1,"duplicates":[]}', ErrorCode.RESERVED_FIELD, "duplicates"),
    ],
)
def test_an_entity_is_refused_with_its_code_and_place(raw: bytes, code: ErrorCode, field: str | None) -> None:
    with pytest.raises(BadInputError) as alone:
        parse_entity(raw)
    with pytest.raises(BadInputError) as listed:
        parse_entity(raw, "entities[3]")

    assert (alone.value.code, alone.value.field) == (code, field)
    assert listed.value.code is code
    assert listed.value.field == (f"entities[3].{field}" if field else "entities[3]")
    assert listed.value.detail.startswith("entities[3]")


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"id":1', b'{"id":1,}', b"{'id':1}", b'{"id":"\\ud800"}', b'{"id":"\xff"}']
)
def test_what_is_no_json_or_holds_what_nobody_can_keep_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInputError):
        parse_entity(raw)


@pytest.mark.parametrize(
    "identity", [0, -(1 << 63), (1 << 64) - 1, "a", "0", "é" * MAX_ID_CHARACTERS, "x" * MAX_ID_CHARACTERS]
)
def test_every_id_within_the_bounds_is_taken(identity: int | str) -> None:
    assert parse_entity(orjson.dumps({"id": identity}))["id"] == identity


def test_what_was_accepted_reads_the_same_again() -> None:
    raw = BYTE_ORDER_MARK + b'{"id":7,"name":"Vega","size":123456789012345678901234567890}'

    assert read_checked_entity(raw) == parse_entity(raw)


def test_a_draft_names_the_required_field_that_is_missing() -> None:
    config = IndexConfig(
        index_name="test",
        fields=[
            IndexField(name="name", type=FieldType.STRING),
            IndexField(name="city", type=FieldType.STRING, required=True),
        ],
    )

    with pytest.raises(BadInputError, match=r"^entities\[2\]\.city is required") as caught:
        make_draft({"id": 1, "name": "Vega"}, b"{}", config, "entities[2]")

    assert (caught.value.code, caught.value.field) == (ErrorCode.MISSING_FIELD, "entities[2].city")


def test_a_draft_without_an_indexed_value_names_the_fields_that_are_looked_at() -> None:
    with pytest.raises(BadInputError, match=r"^the entity has no value in any indexed field \(name, city\)") as caught:
        make_draft({"id": 1, "colour": "red"}, b"{}", index(name="string", city="string"))

    assert caught.value.code is ErrorCode.NO_INDEXED_VALUE


@pytest.mark.parametrize(("sku", "stored"), [("A-1", "A-1"), ("", None), (7, None), (None, None)])
def test_only_a_text_is_stored_as_the_sku(sku: object, stored: str | None) -> None:
    assert make_draft({"id": 1, "name": "Vega", "sku": sku}, b"{}", index(name="string")).sku == stored


def test_the_digest_tells_of_content_and_not_of_the_order_of_members() -> None:
    config = index(name="string")
    first = make_draft({"id": 1, "name": "Vega", "size": 2}, b"{}", config)

    assert make_draft({"size": 2, "name": "Vega", "id": 1}, b"{}", config).digest == first.digest
    assert make_draft({"id": 1, "name": "Vega", "size": 3}, b"{}", config).digest != first.digest
    assert make_draft({"id": "1", "name": "Vega", "size": 2}, b"{}", config).digest != first.digest


def test_what_an_index_can_no_longer_match_is_stored_without_values_and_keys() -> None:
    draft = bare_draft({"id": 1, "name": "Vega"}, b'{"id":1,"name":"Vega"}', index(city="string", born="date"))

    assert (draft.values, draft.source, len(draft.keys)) == ((None, None), None, 0)
    assert draft.body == '{"id":1,"name":"Vega"}'


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.lists(st.integers())
ENTITIES = st.lists(st.dictionaries(st.text("abid", max_size=3), SCALARS, max_size=4), max_size=8)


@given(ENTITIES)
def test_a_field_that_is_ever_a_text_is_one_whatever_comes_when(entities: list[dict[str, Any]]) -> None:
    forward, backward = ScalarFields(), ScalarFields()
    for entity in entities:
        forward.see(entity)
    for entity in reversed(entities):
        backward.see(entity)
    config = index(known="string")
    types = {field.name: field.type for field in forward.extend(config).fields}
    texts = {name for entity in entities for name, value in entity.items() if isinstance(value, str)} - {"id", ""}

    assert {name for name, kind in types.items() if kind is FieldType.TEXT} == texts
    assert types.keys() == {field.name for field in backward.extend(config).fields}
    assert not {"id", ""} & types.keys()
    assert forward.left_out(forward.extend(config)) is None


def test_fields_beyond_the_bound_are_only_stored_and_named() -> None:
    fields = ScalarFields()
    fields.see({f"field_{number:03}": "x" for number in range(MAX_DYNAMIC_FIELDS + 6)})
    config = fields.extend(index(name="string"))

    assert len(config.fields) == MAX_DYNAMIC_FIELDS
    assert fields.left_out(config) == (
        "the index compares 100 fields at most; 7 more are only stored: field_099, field_100, field_101, field_102, "
        "field_103, ..."
    )


def test_a_configuration_without_new_fields_stays_the_same_object() -> None:
    config = index(name="string")

    assert append_fields(config, config.fields) is config
