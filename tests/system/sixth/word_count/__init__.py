"""Counts the words of texts: a feature beside those of Towpath, as another package brings one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from word_count.job_types import JOB_TYPES

from towpath.db.engine import Database
from towpath.features import Feature


def _workflows() -> Sequence[type]:
    from word_count.workflows import WordCountWorkflow

    return [WordCountWorkflow]


def _activities(database: Database) -> Sequence[object]:
    from word_count.activities import WordCountActivities
    from word_count.service import WordCounts

    return [WordCountActivities(WordCounts(database))]


def _routers() -> Sequence[Any]:
    from word_count.routes import router

    return [router]


def _panels() -> Mapping[str, Any]:
    from word_count.panels import PANELS

    return PANELS


FEATURE = Feature(job_types=JOB_TYPES, workflows=_workflows, activities=_activities, routers=_routers, panels=_panels)
