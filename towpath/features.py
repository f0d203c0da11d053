"""The features of the product, and those that are installed beside it: every process that serves jobs registers them.

The product's own are listed here. A feature of another package is named by an entry point of the group
`towpath.features`, in one line of that package's `pyproject.toml`:

    [project.entry-points."towpath.features"]
    word_count = "word_count:FEATURE"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from towpath.ai import job_types as ai
from towpath.db.engine import Database
from towpath.enrichment import job_types as enrichment
from towpath.entities import job_types as entities
from towpath.extraction import job_types as extraction
from towpath.jobs.hooks import EndHook, register_end_hook
from towpath.jobs.job_type import JobType
from towpath.jobs.registry import register
from towpath.serving import job_types as serving
from towpath.vectors import job_types as vectors
from towpath.webhooks.store.deliveries import find_queued, queue_deliveries

OWN = (entities, vectors, enrichment, ai, extraction, serving)
END_HOOK = EndHook(queue_deliveries, find_queued)
GROUP = "towpath.features"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A feature of another package.

    What needs Temporal, FastAPI or templates is behind functions, which only the process that needs it calls: no façade
    imports workflows, and no worker routes.

    Attributes:
        job_types: Its kinds of jobs.
        workflows: Returns its workflow classes.
        activities: Makes the objects whose methods are its activities.
        routers: Returns its routers, of FastAPI.
        panels: Returns what the console shows of its jobs, a `towpath.api.console.panels.Panel` for each kind.
    """

    job_types: tuple[JobType, ...]
    workflows: Callable[[], Sequence[type]]
    activities: Callable[[Database], Sequence[object]]
    routers: Callable[[], Sequence[Any]]
    panels: Callable[[], Mapping[str, Any]]


@cache
def installed_features() -> tuple[Feature, ...]:
    """Load the features of other packages, by their names.

    Raises:
        TypeError: An entry point names something else.
    """
    features = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        feature = entry.load()
        if not isinstance(feature, Feature):
            raise TypeError(f"the entry point {entry.name} = {entry.value} of {GROUP} names no Feature")
        features.append(feature)
    return tuple(features)


def register_features() -> None:
    """Make the kinds of all features known, and let every end of a job queue its deliveries; once or more often."""
    for feature in OWN:
        register(*feature.JOB_TYPES)
    for installed in installed_features():
        register(*installed.job_types)
    register_end_hook(END_HOOK)
