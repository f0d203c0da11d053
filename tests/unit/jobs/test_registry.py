"""The registry of kinds: both halves cover all kinds, and what a descriptor names exists."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import towpath
from towpath.api.console.panels import PANELS
from towpath.core.queues import Queue
from towpath.jobs import job_type as job_type_module
from towpath.jobs.job_type import EventVocabulary, JobType
from towpath.jobs.registry import job_types, kinds
from towpath.jobs.types import JobState

ROOT = Path(__file__).parents[3]


def test_both_halves_of_the_registry_cover_all_kinds() -> None:
    assert sorted(PANELS) == sorted(kinds())


def attributes_read() -> set[str]:
    """Every attribute that the code of the package reads, outside of the module that describes kinds."""
    roots = [Path(towpath.__file__).parent, *(ROOT / name for name in ("api", "workflows", "activities", "docs"))]
    files = {path.resolve() for root in roots for path in root.rglob("*.py")} - {Path(job_type_module.__file__)}
    trees = [ast.parse(path.read_text()) for path in files]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_field_of_a_descriptor_is_read() -> None:
    own = ast.parse(Path(job_type_module.__file__).read_text())
    by_itself = {node.attr for node in ast.walk(own) if isinstance(node, ast.Attribute)}
    fields = {field.name for described in (JobType, EventVocabulary) for field in dataclasses.fields(described)}

    assert fields - attributes_read() - by_itself == set()


def test_every_descriptor_names_parameters_of_its_model() -> None:
    def stored_names(model: Any) -> set[str]:
        return {field.alias or name for name, field in model.model_fields.items()}

    for kind in job_types():
        named = {kind.subject.partition(".")[0], *kind.shown_params, *([kind.headline] if kind.headline else [])}
        unknown = named - stored_names(kind.params)
        # A descriptor that several kinds share may name parameters of its neighbours.
        neighbours = {name for other in job_types() for name in stored_names(other.params)}
        assert {kind.subject.partition(".")[0]} <= stored_names(kind.params), kind.kind
        assert unknown <= neighbours, (kind.kind, unknown - neighbours)


def test_every_descriptor_has_a_status_for_each_state_and_activities_on_queues() -> None:
    for kind in job_types():
        assert set(kind.statuses) == set(JobState), kind.kind
        assert kind.activities, kind.kind
        assert set(kind.activities) <= set(Queue), kind.kind
