"""Texts that came with a job, each with its file's name in the first line; and what of them a model is not shown."""

from __future__ import annotations

from collections.abc import Sequence

from towpath.core.errors import ErrorCode
from towpath.jobs.types import JobWarning


def cut_sources(sources: Sequence[str], most: int) -> list[JobWarning]:
    """Warn of each text of which a model is shown the beginning only.

    Args:
        sources: The texts.
        most: So many characters of each are shown.
    """
    return [
        JobWarning(
            code=ErrorCode.SOURCE_TRUNCATED,
            message=f"models are shown the first {most:,} of its {len(text):,} characters",
            item=text.partition("\n")[0],
        )
        for text in sources
        if len(text) > most
    ]
