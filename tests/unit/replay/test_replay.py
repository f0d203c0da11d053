"""Recorded histories still replay: a running job survives the next deploy."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from towpath.jobs.registry import kinds
from towpath.runtime.plugin import towpath_plugin
from towpath.worker import WORKFLOWS

HISTORIES = sorted((Path(__file__).parents[2] / "replay" / "histories").glob("*.json"))


def test_every_workflow_has_a_history() -> None:
    recorded = {path.name.split(".")[0] for path in HISTORIES}

    assert recorded == {*kinds(), "notice", "delivery", "reconcile"}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    replayer = Replayer(workflows=WORKFLOWS, plugins=[towpath_plugin()])

    await replayer.replay_workflow(WorkflowHistory.from_json(path.stem, path.read_text()))
