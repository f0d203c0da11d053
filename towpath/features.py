"""The features of the product: the one list of them, which every process that serves jobs registers at its start."""

from __future__ import annotations

from towpath.ai import job_types as ai
from towpath.enrichment import job_types as enrichment
from towpath.entities import job_types as entities
from towpath.extraction import job_types as extraction
from towpath.jobs.hooks import EndHook, register_end_hook
from towpath.jobs.registry import register
from towpath.vectors import job_types as vectors
from towpath.webhooks.store.deliveries import find_queued, queue_deliveries

FEATURES = (entities, vectors, enrichment, ai, extraction)
END_HOOK = EndHook(queue_deliveries, find_queued)


def register_features() -> None:
    """Make the kinds of all features known, and let every end of a job queue its deliveries; once or more often."""
    for feature in FEATURES:
        register(*feature.JOB_TYPES)
    register_end_hook(END_HOOK)
