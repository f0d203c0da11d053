"""What the Temporal UI is told of a job: names and counts, and only if it is asked for, what a user has typed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from towpath.ai.types import AI_JOB
from towpath.extraction.types import EXTRACTION
from towpath.jobs.registry import job_type, kinds
from towpath.jobs.store.starts import start_of
from towpath.jobs.store.tables import JobRow

MARK = "what a user has typed"


def shown(kind: str, params: dict[str, Any], *, full: bool = False) -> str:
    start = start_of(JobRow(id=uuid4(), organization="o", kind=kind, params=params, total=3), full=full)
    return f"{start.summary}\n{start.details}"


@pytest.mark.parametrize("kind", kinds())
def test_of_no_kind_of_job_is_shown_what_was_typed(kind: str) -> None:
    params = {"prompt": MARK, "entity": MARK, "body": {"prompt": MARK}, "topics": [MARK], "added_later": MARK}
    params["document"] = {"file_name": MARK, "url": MARK}

    assert MARK not in shown(kind, params)
    assert kind.replace("_", " ") in shown(kind, params)
    assert "3 items" in shown(kind, params)


@pytest.mark.parametrize("kind", [kind for kind in kinds() if "." not in job_type(kind).subject])
def test_what_it_works_on_is_named(kind: str) -> None:
    assert "lamps" in shown(kind, {job_type(kind).subject: "lamps"}).splitlines()[0]


def test_the_setting_puts_questions_and_file_names_back() -> None:
    assert MARK in shown(AI_JOB, {"prompt": MARK}, full=True)
    assert MARK in shown(EXTRACTION, {"document": {"file_name": MARK}}, full=True).splitlines()[0]
