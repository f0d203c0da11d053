"""The view half of the registry of kinds: what the console shows of a job beyond what it shows of every job.

The other half is `towpath.jobs.job_type.JobType`, which knows no templates. Both are keyed by the kind, and a test
holds that both cover all kinds. Features of other packages bring their panels with them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup

from towpath.ai.service.answers import load_summary
from towpath.ai.types import AI_JOB, QUERY_GENERATION, SCHEMA_READING, TOPIC_CHOICE
from towpath.api.console.extraction_views import load_document_summary
from towpath.api.console.rendering import render
from towpath.api.http.state import AppState
from towpath.enrichment.types import (
    BATCH_ENRICHMENT,
    EXPERTISE_RETRY,
    FUSION_MERGE,
    SCHEMA_EDIT,
    SCHEMA_GENERATION,
    SINGLE_ENRICHMENT,
)
from towpath.entities.types import ENTITY_BATCH, ENTITY_JUDGE, ENTITY_REINDEX, ENTITY_SETTLE
from towpath.extraction.types import CLASSIFICATION, EXTRACTION, ExtractParams
from towpath.features import installed_features
from towpath.jobs.params import params_of
from towpath.jobs.store.tables import JobRow
from towpath.serving.service.batches import describe_batch
from towpath.serving.types import REQUEST_BATCH
from towpath.vectors.types import VECTOR_DELETION, VECTOR_UPSERTION

NO_SCHEMA = "No schema was given: the document was read, but no fields were extracted."


@dataclass(frozen=True, slots=True)
class PanelLink:
    """A way from a job's page to another."""

    address: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What the console shows of the jobs of one kind.

    Attributes:
        render: Returns a section of the job's page, escaped; None: there is nothing to show. See `render_facts`.
        load_result: Returns the result in words, where it is more readable than the one in the job's row.
        links: Returns ways to other pages of the job.
        waits_for_cancel: Whether the page after a cancel waits for the job's end, because people want to see what has
            become of it.
    """

    render: Callable[[AppState, JobRow], Awaitable[Markup | None]] | None = None
    load_result: Callable[[AppState, JobRow], Awaitable[str | None]] | None = None
    links: Callable[[JobRow], list[PanelLink]] | None = None
    waits_for_cancel: bool = False


def render_facts(title: str, facts: Mapping[str, object]) -> Markup:
    """Return a section that lists names and values, for kinds that need no template of their own."""
    return Markup(render("panel_facts.html", title=title, facts=facts))


async def _render_document(state: AppState, job: JobRow) -> Markup | None:
    summary = await load_document_summary(state, job)
    if summary is None:
        return None
    return Markup(render("panel_document.html", summary=summary, note=None))


async def _render_extraction(state: AppState, job: JobRow) -> Markup | None:
    summary = await load_document_summary(state, job)
    if summary is None:
        return None
    reads_only = job.state.final and params_of(job, ExtractParams).schema_ is None
    return Markup(render("panel_document.html", summary=summary, note=NO_SCHEMA if reads_only else None))


async def _load_answer(state: AppState, job: JobRow) -> str | None:
    return await load_summary(state.db, job)


async def _render_batch(state: AppState, job: JobRow) -> Markup | None:
    return render_facts("Requests", await describe_batch(state.db, job))


def _link_review(job: JobRow) -> list[PanelLink]:
    return [PanelLink(f"/console/jobs/{job.id}/review", "The document beside its fields")]


PLAIN = Panel()
PANELS: dict[str, Panel] = {
    ENTITY_BATCH: PLAIN,
    ENTITY_REINDEX: PLAIN,
    ENTITY_JUDGE: PLAIN,
    ENTITY_SETTLE: PLAIN,
    VECTOR_UPSERTION: PLAIN,
    VECTOR_DELETION: PLAIN,
    SINGLE_ENRICHMENT: PLAIN,
    BATCH_ENRICHMENT: PLAIN,
    EXPERTISE_RETRY: PLAIN,
    SCHEMA_GENERATION: PLAIN,
    SCHEMA_EDIT: PLAIN,
    FUSION_MERGE: PLAIN,
    AI_JOB: Panel(load_result=_load_answer),
    TOPIC_CHOICE: PLAIN,
    QUERY_GENERATION: PLAIN,
    SCHEMA_READING: PLAIN,
    EXTRACTION: Panel(render=_render_extraction, links=_link_review, waits_for_cancel=True),
    CLASSIFICATION: Panel(render=_render_document, waits_for_cancel=True),
    REQUEST_BATCH: Panel(render=_render_batch, waits_for_cancel=True),
}


@cache
def panels() -> Mapping[str, Panel]:
    """Return the panels of all kinds, those of installed features among them; a feature may leave plain ones out."""
    chosen = dict(PANELS)
    for feature in installed_features():
        chosen.update({kind.kind: PLAIN for kind in feature.job_types}, **feature.panels())
    return chosen
