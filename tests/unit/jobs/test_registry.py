"""The registry of kinds: both halves cover all kinds, and what a descriptor names exists."""

from __future__ import annotations

from typing import Any

from towpath.api.console.panels import PANELS
from towpath.core.queues import Queue
from towpath.jobs.registry import job_types, kinds
from towpath.jobs.types import JobState


def test_both_halves_of_the_registry_cover_all_kinds() -> None:
    assert sorted(PANELS) == sorted(kinds())


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
