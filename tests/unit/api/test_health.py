"""What `/health` concludes from what it hears of workers and parts."""

from __future__ import annotations

from pathlib import Path

from towpath.api.http.health import select_workers
from towpath.core.queues import Queue
from towpath.runtime.embedded.demand import chroma_demand, llm_demand
from towpath.runtime.embedded.home import Home
from towpath.runtime.settings import Settings


def test_a_worker_that_is_busy_counts_and_one_that_died_does_not() -> None:
    """All its slots are taken, so it polls no more; a dead one's last poll is remembered by the server for minutes."""
    beats = {("compute", "busy"): True, ("compute", "dead"): False, ("io", "other"): True}

    assert select_workers(Queue.COMPUTE, beats, polled={"dead"}) == {"busy"}


def test_a_worker_that_sends_no_heartbeats_is_known_by_its_polls() -> None:
    assert select_workers(Queue.COMPUTE, {("llm", "old"): False}, polled={"old"}) == {"old"}


def test_parts_on_demand_are_idle_until_they_are_asked_for(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    assert chroma_demand(settings).state == llm_demand(settings).state == "not configured"
    assert not settings.home.exists()

    home = Home(settings.home)
    home.publish(api="http://127.0.0.1:1", chroma=None, llm=None)
    assert chroma_demand(settings).state == llm_demand(settings).state == "idle"

    (home.folder / "llm.wanted").touch()
    assert (chroma_demand(settings).state, llm_demand(settings).state) == ("idle", "starting")

    home.publish(api="http://127.0.0.1:1", chroma=None, llm="http://127.0.0.1:2/v1")
    assert llm_demand(settings).url == "http://127.0.0.1:2/v1"
