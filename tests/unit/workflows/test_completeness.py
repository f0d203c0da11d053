"""Nothing that a workflow names is missing from the workers, and no name that histories know has changed."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from temporalio import workflow

from tests.unit.workflows.named import activity_name, modules_of, served_by, unnamed, uses_of
from towpath import activities, workflows
from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.jobs.registry import kinds
from towpath.runtime.settings import Settings
from towpath.worker import WORKFLOWS, Parts

NAMES = Path(__file__).with_name("names.txt")
HISTORIES = Path(__file__).parents[2] / "replay" / "histories"
WORKFLOW_MODULES = modules_of(workflows.__name__)
ACTIVITY_MODULES = modules_of(activities.__name__)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Queue]]:
    """The queues of each activity, of the objects that a worker process makes; they connect to nothing."""
    home = tmp_path_factory.mktemp("home")
    parts = Parts.make(Database("postgresql://127.0.0.1/none"), Settings(home=home, encryption_keys="k"))
    return served_by(parts.serve)


def defined(modules: list[ModuleType], *, methods: bool) -> Iterator[Any]:
    """All classes that modules define, or all of their functions and methods."""
    for module in modules:
        own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
        classes = [value for value in own if inspect.isclass(value)]
        yield from (one for kind in [*classes, module] for one in vars(kind).values()) if methods else classes


def scheduled(history: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and queue of all activities of a recorded history; a local one runs where the workflow does."""
    for event in history["events"]:
        if attributes := event.get("activityTaskScheduledEventAttributes"):
            yield attributes["activityType"]["name"], attributes["taskQueue"]["name"]
        marker = event.get("markerRecordedEventAttributes")
        if marker and marker["markerName"] == "core_local_activity":
            data = json.loads(base64.b64decode(marker["details"]["data"]["payloads"][0]["data"]))
            yield data["activity_type"], Queue.ENGINE


def test_every_activity_that_a_workflow_names_is_served_on_the_queue_of_its_options(
    served: dict[str, set[Queue]],
) -> None:
    uses = [use for module in WORKFLOW_MODULES for use in uses_of(module)]

    assert [use for use in uses if not use.queues] == [], "nothing tells with which options these are called"
    assert [use for use in uses if not use.queues <= served.get(use.activity, set())] == []
    assert {use.activity for use in uses} == set(served), "an activity that no workflow names is served for nobody"


def test_every_activity_of_a_recorded_history_is_served_where_it_was_scheduled(served: dict[str, set[Queue]]) -> None:
    recorded = {
        (path.name, name, queue)
        for path in sorted(HISTORIES.glob("*.json"))
        for name, queue in scheduled(json.loads(path.read_text()))
    }

    assert {name for _, name, _ in recorded} >= {"begin_job", "finish_job", "try_first"}
    assert [one for one in sorted(recorded) if one[2] not in served.get(one[1], set())] == []


def test_every_activity_that_is_defined_is_served(served: dict[str, set[Queue]]) -> None:
    names = [name for value in defined(ACTIVITY_MODULES, methods=True) if (name := activity_name(value))]

    assert sorted(names) == sorted(served)


def test_every_workflow_that_is_defined_is_registered_and_every_kind_has_one() -> None:
    classes = defined(WORKFLOW_MODULES, methods=False)
    found = [kind for kind in classes if workflow._Definition.from_class(kind) is not None]

    assert set(found) == set(WORKFLOWS)
    assert len(WORKFLOWS) == len(set(WORKFLOWS))
    names = {workflow._Definition.must_from_class(kind).name for kind in found}
    assert names == {*kinds(), "notice", "delivery", "reconcile", "batch_closing"}


@pytest.mark.parametrize(
    "module", [*WORKFLOW_MODULES, *ACTIVITY_MODULES], ids=lambda module: str(module.__name__)
)  # fmt: skip
def test_every_definition_has_a_name_of_its_own(module: ModuleType) -> None:
    assert unnamed(module) == []


def test_no_name_that_recorded_histories_know_has_changed(served: dict[str, set[Queue]]) -> None:
    """A new one is added to `names.txt`; one that is there already is never changed, for jobs may be running."""
    definitions = [workflow._Definition.must_from_class(kind) for kind in WORKFLOWS]
    names = {
        *(f"activity {name}" for name in served),
        *(f"workflow {definition.name}" for definition in definitions),
        *(f"signal {name}" for definition in definitions for name in definition.signals),
        *(f"update {name}" for definition in definitions for name in definition.updates),
        *(f"query {name}" for definition in definitions for name in definition.queries),
    }

    assert sorted(names) == NAMES.read_text().splitlines()
