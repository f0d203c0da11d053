"""What the console shows of a count beyond what it shows of every job."""

from __future__ import annotations

from markupsafe import Markup
from word_count.types import WORD_COUNT, WordCountParams, WordCountResult

from towpath.api.console.panels import Panel, render_facts
from towpath.api.http.state import AppState
from towpath.jobs.params import params_of
from towpath.jobs.store.tables import JobRow


async def _render(_: AppState, job: JobRow) -> Markup | None:
    if job.result is None:
        return None
    result = WordCountResult.model_validate(job.result)
    texts = len(params_of(job, WordCountParams).texts)
    return render_facts("Words", {"Texts": texts, "Words": f"{result.words:,}", "Different": f"{result.different:,}"})


PANELS = {WORD_COUNT: Panel(render=_render)}
