"""Drafts of models from what databases tell."""

from __future__ import annotations

from towpath.ai.databases.types import ForeignKey, Table, TableColumn
from towpath.ai.domain.semantics.content import find_paths, read_model
from towpath.ai.domain.semantics.draft import draft_model
from towpath.ai.semantic_types import DataType


def column(name: str, kind: DataType | None = DataType.STRING, *, key: bool = False) -> TableColumn:
    return TableColumn(name=name, type=kind, key=key)


FLIGHTS = Table(
    name="flights",
    namespace="main",
    columns=[
        column("id", DataType.NUMBER, key=True), column("carrier"), column("Dep Delay", DataType.NUMBER),
        column("count", DataType.NUMBER), column("tags", None), column("plane_id", DataType.NUMBER),
        column("2nd", DataType.DATE),
    ],
)  # fmt: skip
AIRLINES = Table(name="airlines", namespace="main", columns=[column("carrier", key=True), column("name")])
PLANES = Table(name="planes", namespace="main", columns=[column("id", DataType.NUMBER, key=True), column("seats")])


def test_views_measures_and_guessed_keys() -> None:
    content = draft_model([FLIGHTS, AIRLINES, PLANES])

    assert list(content.views["flights"].dimensions) == ["id", "carrier", "dep_delay", "count", "plane_id", "c_2nd"]
    assert content.views["flights"].dimensions["dep_delay"].sql == '"Dep Delay"'
    measures = content.views["flights"].measures
    assert set(measures) == {"total_dep_delay", "average_dep_delay", "total_count", "average_count", "row_count"}
    assert [(one.from_, one.to, one.on, one.type) for one in content.relationships] == [
        ("flights", "airlines", {"carrier": "carrier"}, "many_to_one"),
        ("flights", "planes", {"plane_id": "id"}, "many_to_one"),
    ]
    assert list(find_paths(content, "flights")) == ["flights", "airlines", "planes"]
    assert set(content.topics) == {"flights", "airlines", "planes"}
    assert read_model(content.model_dump(mode="json", by_alias=True, exclude_none=True)) == content


def test_declared_keys_win_and_a_shared_key_is_one_to_one() -> None:
    detail = Table(
        name="details",
        namespace="side",
        columns=[column("flight", DataType.NUMBER, key=True), column("carrier")],
        foreign_keys=[ForeignKey(columns=["flight"], table="flights", references=["id"])],
    )
    content = draft_model([FLIGHTS, AIRLINES, detail])

    assert content.views["details"].table == "side.details"
    assert [(one.from_, one.to, one.type) for one in content.relationships if one.from_ == "details"] == [
        ("details", "flights", "one_to_one")
    ]


def test_tables_of_one_name_are_told_apart() -> None:
    twin = FLIGHTS.model_copy(update={"namespace": "old"})

    assert list(draft_model([FLIGHTS, twin]).views) == ["flights", "old_flights"]


def test_a_model_of_many_tables_is_read_however_long_its_text_is() -> None:
    columns = [column(f"column_{number}", DataType.STRING) for number in range(20)]
    tables = [Table(name=f"table_{number}", namespace="temp", columns=columns) for number in range(200)]

    content = draft_model(tables)

    assert read_model(content.model_dump(mode="json", by_alias=True, exclude_none=True)) == content
