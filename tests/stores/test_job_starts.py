"""What the Temporal UI is told of a job: names and counts, and only if it is asked for, what a user has typed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from towpath.db.tables import JobRow
from towpath.jobs.domain import SUBJECTS
from towpath.jobs.store.starts import start_of
from towpath.jobs.types import JobKind

MARK = "what a user has typed"


def shown(kind: JobKind, params: dict[str, Any], *, full: bool = False) -> str:
    start = start_of(JobRow(id=uuid4(), organization="o", kind=kind, params=params, total=3), full=full)
    return f"{start.summary}\n{start.details}"


@pytest.mark.parametrize("kind", list(JobKind))
def test_of_no_kind_of_job_is_shown_what_was_typed(kind: JobKind) -> None:
    params = {"prompt": MARK, "entity": MARK, "body": {"prompt": MARK}, "topics": [MARK], "added_later": MARK}
    params["document"] = {"file_name": MARK, "url": MARK}

    assert MARK not in shown(kind, params)
    assert kind.replace("_", " ") in shown(kind, params)
    assert "3 items" in shown(kind, params)


@pytest.mark.parametrize("kind", [kind for kind in JobKind if SUBJECTS[kind] != "document"])
def test_what_it_works_on_is_named(kind: JobKind) -> None:
    assert "lamps" in shown(kind, {SUBJECTS[kind]: "lamps"}).splitlines()[0]


def test_the_setting_puts_questions_and_file_names_back() -> None:
    assert MARK in shown(JobKind.AI_JOB, {"prompt": MARK}, full=True)
    assert MARK in shown(JobKind.EXTRACTION, {"document": {"file_name": MARK}}, full=True).splitlines()[0]
