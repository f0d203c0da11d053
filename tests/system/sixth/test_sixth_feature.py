"""A sixth feature, installed as another package beside the product, is served as the five are.

Its package is the folder beside this file; one line of its `pyproject.toml` registers it. It is installed by pip into a
folder of its own, and a whole system runs with that folder on its path.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from fastapi import FastAPI

from tests.support.builders import Organization, organization
from tests.support.console.site import Site, by_key, csrf_of
from tests.support.receiver import Receiver
from tests.support.supervised import supervised
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TEXTS = ["Down by the river", "the river, the lock"]
BODY = {"title": "Two lines", "texts": TEXTS}
RESULT = {"words": 8, "different": 5}


@pytest.fixture(scope="module")
def installed(session_home: Path) -> Path:
    """The package, installed by pip into a folder of its own."""
    source, target = session_home / "sixth-source", session_home / "sixth"
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("test_*", "__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--quiet", "--target", str(target), str(source)], check=True)
    return target


@pytest.fixture(scope="module")
def stack(session_home: Path, installed: Path) -> Iterator[EmbeddedStack]:
    """A whole system beside which the package is installed."""
    settings = Settings(
        home=session_home / "sixth-home", port=0, ui_port=0, workers=1, webhook_allowed_hosts="127.0.0.1",
        open_registration=True,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(installed)]))
        with supervised(settings) as started:
            yield started


@pytest.fixture
def tenant(stack: EmbeddedStack) -> Organization:
    """A fresh organization."""
    return organization(stack.api_url)


@contextmanager
def frozen_worker(stack: EmbeddedStack) -> Iterator[None]:
    """Let the worker do nothing for a while, so that what is asked of a job comes before any of its work."""
    worker = stack.home.children()["worker-0"]
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def start(tenant: Organization, **headers: str) -> str:
    """Start a count; its job."""
    return str(tenant.call("POST", "/v1/word-counts", 202, json=BODY, headers=headers)["jobId"])


def paused(stack: EmbeddedStack, tenant: Organization) -> str:
    """A count that was paused before it began."""
    with frozen_worker(stack):
        job_id = start(tenant)
        assert tenant.call("POST", f"/v1/jobs/{job_id}/pause")["state"] == "PAUSED"
    return job_id


def test_its_own_api_counts_and_answers_in_its_own_words(tenant: Organization) -> None:
    job_id = start(tenant, **{"Idempotency-Key": "once"})
    job = tenant.until(job_id)

    assert (job["state"], job["kind"], job["result"]) == ("COMPLETED", "word_count", RESULT)
    assert job["progress"] == {"total": 2, "processed": 2, "succeeded": 2, "failed": 0, "skipped": 0}
    assert job["links"]["system"] == f"/v1/word-counts/{job_id}"
    counted = {"jobId": job_id, "status": "counted", "result": RESULT}
    assert tenant.call("GET", f"/v1/word-counts/{job_id}") == counted
    assert start(tenant, **{"Idempotency-Key": "once"}) == job_id
    assert organization(str(tenant.http.base_url)).call("GET", f"/v1/word-counts/{job_id}", 404)


def test_the_api_describes_it_and_refuses_what_it_cannot_read(tenant: Organization) -> None:
    schema = tenant.call("GET", "/openapi.json")

    assert "/v1/word-counts" in schema["paths"]
    assert schema["components"]["schemas"]["JobKind"]["enum"][-1] == "word_count"
    assert tenant.call("POST", "/v1/word-counts", 400, json={**BODY, "words": 3})["code"]


def test_its_events_are_streamed(tenant: Organization) -> None:
    job_id = start(tenant)

    with tenant.http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        lines = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]

    assert [event["type"] for event in lines] == [
        "job.created", "job.started", "job.phase", "job.progress", "job.completed",
    ]  # fmt: skip
    assert [message["event"] for message in tenant.messages(job_id)][-1] == "completed"


def test_it_is_in_the_lists(tenant: Organization) -> None:
    job_id = start(tenant)
    tenant.until(job_id)

    assert [job["id"] for job in tenant.call("GET", "/v1/jobs", params={"kind": "word_count"})["jobs"]] == [job_id]
    entries = tenant.call("GET", "/jobs", params={"kind": "WORD_COUNT"})["jobs"]
    assert [(entry["jobId"], entry["status"]) for entry in entries] == [(job_id, "COMPLETE")]


def test_it_is_paused_and_continued(stack: EmbeddedStack, tenant: Organization) -> None:
    job_id = paused(stack, tenant)
    assert tenant.call("GET", f"/v1/word-counts/{job_id}")["status"] == "waiting"

    tenant.call("POST", f"/v1/jobs/{job_id}/continue")

    assert tenant.until(job_id)["result"] == RESULT


def test_it_is_cancelled_and_restarted(stack: EmbeddedStack, tenant: Organization) -> None:
    job_id = paused(stack, tenant)

    tenant.call("POST", f"/v1/jobs/{job_id}/cancel")
    assert tenant.until(job_id)["state"] == "CANCELLED"
    assert tenant.call("GET", f"/v1/word-counts/{job_id}") == {"jobId": job_id, "status": "stopped", "result": None}

    tenant.call("POST", f"/v1/jobs/{job_id}/restart")
    job = tenant.until(job_id, "COMPLETED")
    assert (job["attempt"], job["result"]) == (2, RESULT)


def test_a_webhook_tells_its_end(tenant: Organization, hook: Receiver, path: str) -> None:
    job_id = start(tenant, **{"Towpath-Webhook-Url": f"{hook.url}{path}"})

    body = json.loads(hook.wait(path)[0].body)

    assert (body["event"], body["jobId"], body["kind"]) == ("job.complete", job_id, "word_count")
    assert body["wordCount"] == RESULT


def test_the_console_shows_it_and_moves_it(stack: EmbeddedStack, tenant: Organization) -> None:
    browser = by_key(Site(cast(FastAPI, None), stack.api_url), tenant)
    job_id = paused(stack, tenant)

    page = browser.get(f"/console/jobs/{job_id}")
    assert "Two lines" in page.text
    assert "Word count" in browser.get("/console/jobs", params={"kind": "word_count"}).text
    form = {"csrf": csrf_of(page)}
    headers = {"Origin": stack.api_url}
    assert browser.post(f"/console/jobs/{job_id}/act/cancel", data=form, headers=headers).status_code == 303
    tenant.until(job_id, "CANCELLED")
    assert browser.post(f"/console/jobs/{job_id}/act/restart", data=form, headers=headers).status_code == 303
    tenant.until(job_id, "COMPLETED")

    page = browser.get(f"/console/jobs/{job_id}")
    facts = dict(re.findall(r"<dt>(\w+)</dt><dd>([^<]*)</dd>", page.text))
    assert (facts["Texts"], facts["Words"], facts["Different"]) == ("2", "8", "5")
