"""The console's first page: all jobs, filtered, kept up to date.

`/console` is the page without its table, so that it is there at once; the script fills in `/console/jobs?fragment`,
which without that parameter is the same page with its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from towpath.api.console.console import PART, PageVisitor, console_page, load_reader
from towpath.api.console.failures import PageRoute
from towpath.api.console.job_words import REVIEW_WORDS, STATUS_WORDS, job_line
from towpath.api.console.rendering import page, render
from towpath.api.console.sign_in import HOME
from towpath.api.console.visitors import Visitor
from towpath.api.http.links import public_base
from towpath.api.http.state import AppState, State
from towpath.jobs.lists import JobFilter
from towpath.jobs.registry import is_kind, job_types
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobStatus, ReviewStatus

router = APIRouter(prefix="/console", route_class=PageRoute, include_in_schema=False)
PAGE_SIZE = 50
MAX_PAGE = 1_000_000
MAX_FOUND = 20
MAX_ID = 128
WINDOWS: dict[str, tuple[str, timedelta]] = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
    "month": ("Last 30 days", timedelta(days=30)),
}
Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class JobQuery:
    """What the list was asked for; words that it does not know are as if they were not there."""

    kind: str | None = None
    status: JobStatus | None = None
    review: ReviewStatus | None = None
    since: str = ""
    q: str = ""
    page: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> JobQuery:
        """Read the query of an address."""
        number = query.get("page", "")
        return cls(
            kind=kind if is_kind(kind := query.get("kind", "").lower()) else None,
            status=_word(JobStatus, query.get("status")),
            review=_word(ReviewStatus, query.get("review")),
            since=since if (since := query.get("since", "")) in WINDOWS else "",
            q=query.get("q", "").strip()[:MAX_ID],
            page=min(max(int(number), 1), MAX_PAGE) if number.isdecimal() and len(number) < 10 else 1,
        )

    def at(self, base: str, **changes: Any) -> str:
        """Return the address of the list with some things changed; another filter begins on its first page."""
        changed = replace(self, **({"page": 1} | changes))
        values = {"status": changed.status, "kind": changed.kind, "review": changed.review, "since": changed.since,
                "q": changed.q, "page": changed.page if changed.page > 1 else None}  # fmt: skip
        query = urlencode({name: value for name, value in values.items() if value})
        return f"{base}?{query}" if query else base

    def part(self, **changes: Any) -> str:
        """Return the address of the list's part."""
        address = self.at(f"{HOME}/jobs", **changes)
        return f"{address}{'&' if '?' in address else '?'}{PART}=1"

    @property
    def is_narrowed(self) -> bool:
        """Return whether anything but the status is asked for."""
        return bool(self.kind or self.review or self.since or self.q)

    def filter(self) -> JobFilter:
        """Return which jobs the list shows."""
        after = datetime.now(UTC) - WINDOWS[self.since][1] if self.since else None
        return JobFilter(
            kinds=[self.kind] if self.kind else [],
            statuses=[self.status] if self.status else [],
            review_statuses=[self.review] if self.review else [],
            created_after=after,
        )


def _word(words: type[Word], text: str | None) -> Word | None:
    try:
        return words(text) if text else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class JobTable:
    """A page of the list.

    Attributes:
        totals: How many jobs have each status; None: another filter holds, by which they are not counted.
    """

    jobs: list[JobRow]
    total: int
    totals: dict[JobStatus, int] | None

    @property
    def pages(self) -> int:
        """Return how many pages there are."""
        return max(ceil(self.total / PAGE_SIZE), 1)


async def read_table(state: AppState, visitor: Visitor, query: JobQuery) -> JobTable:
    """Return a page of jobs, with the totals of the tabs."""
    if query.q:
        jobs = await state.jobs.find_by_any_id(visitor.caller, query.q, limit=MAX_FOUND)
        return JobTable(jobs, len(jobs), None)
    listed = await state.jobs.list_page(visitor.caller, query.filter(), page=query.page, size=PAGE_SIZE)
    totals = None if query.is_narrowed else await state.jobs.count_by_status(visitor.caller)
    return JobTable(listed.jobs, listed.total, totals)


def _view(request: Request, state: AppState, query: JobQuery, table: JobTable | None, base: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    site = public_base(request, state.settings)
    return {
        "query": query,
        "table": table,
        "base": base,
        "lines": [] if table is None else [job_line(job, now) for job in table.jobs],
        "tabs": STATUS_WORDS,
        "kinds": {known.kind: known.title for known in job_types()},
        "reviews": REVIEW_WORDS,
        "windows": {name: words for name, (words, _) in WINDOWS.items()},
        "site": site,
    }


@router.get("")
async def shell(request: Request, state: State, visitor: PageVisitor) -> HTMLResponse:
    """Show the page before any job was looked for."""
    query = JobQuery.read(request.query_params)
    view = _view(request, state, query, None, HOME)
    return page("console_jobs.html", reader=visitor.reader, notice=None, **view)


@router.get("/jobs")
async def jobs(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Show the page with its table, or the table alone."""
    query = JobQuery.read(request.query_params)
    table = await read_table(state, visitor, query)
    if PART not in request.query_params:
        return await console_page(
            state, visitor, "console_jobs.html", **_view(request, state, query, table, f"{HOME}/jobs")
        )
    reader = await load_reader(state, visitor)
    return HTMLResponse(render("jobs_part.html", reader=reader, **_view(request, state, query, table, HOME)))
