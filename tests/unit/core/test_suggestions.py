"""Names that were meant."""

from __future__ import annotations

import pytest

from towpath.core.suggestions import find_nearest, find_nearest_path, suggest_name

PATHS = ["/v1/jobs", "/v1/jobs/{jobId}", "/v1/jobs/{jobId}/events", "/templates/{templateId}", "/jobs"]


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("stat", ["state", "kind", "limit"], "state"),
        ("colection", ["task_id", "collection"], "collection"),
        ("shema", ["schema", "url"], "schema"),
        ("duplicateTreshold", ["candidateThreshold", "duplicateThreshold"], "duplicateThreshold"),
        ("page_size", ["page", "pageSize"], "pageSize"),
        ("from", ["status", "createdAfter"], None),
        ("x", [], None),
        ("", ["state"], None),
    ],
)
def test_the_nearest_name_is_found_or_none_is(name: str, known: list[str], meant: str | None) -> None:
    assert find_nearest(name, known) == meant


def test_a_name_near_to_none_is_told_all_of_them() -> None:
    assert suggest_name("from", ["status", "size"]) == "known are status, size"
    assert suggest_name("from", []) == "there are none here"
    assert suggest_name("zzz", [f"name{number}" for number in range(50)]).endswith("and 10 more")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/job", "/v1/jobs"),
        ("/v1/jobs/7/event", "/v1/jobs/{jobId}/events"),
        ("/v1/job/0f9e", "/v1/jobs/{jobId}"),
        ("/completely/else", None),
        ("/", None),
    ],
)
def test_the_nearest_path_looks_at_its_fixed_parts_alone(path: str, meant: str | None) -> None:
    assert find_nearest_path(path, PATHS) == meant
