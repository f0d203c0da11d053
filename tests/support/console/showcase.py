"""Pages over threads that are only values, served for a browser; the rendering and the charts are the real ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.support.serving import served
from towpath.ai.domain.charts import build_chart_spec, read_rows, render_png, render_svg
from towpath.ai.domain.results import find_last_drawable
from towpath.ai.types import AiState, Thread, Turn
from towpath.api.console.conversation import find_step_with_rows, render_thread, render_turn
from towpath.api.console.rendering import Reader, set_page_headers
from towpath.api.console.routes import mount_static
from towpath.jobs.types import EventType

LOOK_SECONDS = 0.02


class _Secured:
    """Gives answers the headers of pages, so that the browser enforces their policy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                set_page_headers(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, secured)


@dataclass
class Showcase:
    """What is shown; `change` puts another version of a turn in its place, of which its stream tells."""

    reader: Reader
    url: str = ""
    threads: dict[UUID, Thread] = field(default_factory=dict)
    versions: Counter[UUID] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    answer: Turn | None = None
    refusal: str | None = None

    def show(self, thread: Thread) -> str:
        """Serve a thread; its address."""
        self.threads[thread.conversation.id] = thread
        return f"{self.url}/chat/{thread.conversation.id}"

    def change(self, thread: Thread, turn: Turn) -> None:
        """A newer version of a turn."""
        places = [one.job_id for one in thread.turns]
        thread.turns[places.index(turn.job_id)] = turn
        self.versions[turn.job_id] += 1

    def turn(self, job_id: UUID) -> Turn:
        return next(one for thread in self.threads.values() for one in thread.turns if one.job_id == job_id)


def _app(case: Showcase) -> FastAPI:
    app = FastAPI()
    mount_static(app)
    _add_page(app, case)
    _add_parts(app, case)
    app.add_middleware(_Secured)
    return app


def _add_page(app: FastAPI, case: Showcase) -> None:
    @app.get("/chat/{thread_id}")
    async def show(thread_id: UUID) -> HTMLResponse:
        return HTMLResponse(render_thread(case.threads[thread_id], case.reader))

    @app.post("/chat/{thread_id}/messages")
    async def send(request: Request, thread_id: UUID) -> HTMLResponse:
        form = await request.form()
        case.asked.append(str(form["prompt"]))
        thread = case.threads[thread_id]
        if case.refusal is not None:
            page = render_thread(thread, case.reader, notice=case.refusal, typed=str(form["prompt"]))
            return HTMLResponse(page, 409)
        assert case.answer is not None
        thread.turns.append(case.answer)
        return HTMLResponse(render_turn(case.answer, thread_id, case.reader), 201)

    @app.post("/chat/{thread_id}/jobs/{job_id}/cancel")
    async def cancel(thread_id: UUID, job_id: UUID) -> Response:
        thread, turn = case.threads[thread_id], case.turn(job_id)
        case.change(thread, turn.model_copy(update={"state": AiState.CANCELLED}))
        return Response(status_code=204)


def _add_parts(app: FastAPI, case: Showcase) -> None:
    at = "/chat/{thread_id}/jobs/{job_id}"

    @app.get(f"{at}/turn")
    async def fragment(thread_id: UUID, job_id: UUID) -> HTMLResponse:
        return HTMLResponse(render_turn(case.turn(job_id), thread_id, case.reader))

    @app.get(f"{at}/events")
    async def events(job_id: UUID) -> EventSourceResponse:
        return EventSourceResponse(_news(case, job_id))

    @app.get(f"{at}/chart.{{kind}}")
    async def chart(job_id: UUID, kind: str, dark: bool = False, narrow: bool = False) -> Response:
        found = find_last_drawable([case.turn(job_id)])
        if found is None:
            return Response(status_code=422)
        action, requested = found
        width, height = (420, 380) if narrow else (800, 480)
        rows = read_rows(action.columns, action.csv or "")
        spec = build_chart_spec(
            action.columns, rows, requested=requested, title=action.title, width=width, height=height, dark=dark
        )
        if kind == "png":
            return Response(render_png(spec), media_type="image/png")
        return Response(render_svg(spec), media_type="image/svg+xml")

    @app.get(f"{at}/actions/{{number}}.csv")
    async def rows(job_id: UUID, number: int) -> Response:
        step = find_step_with_rows(case.turn(job_id).actions, number)
        assert step is not None
        return Response(step.csv, media_type="text/csv")


async def _news(case: Showcase, job_id: UUID) -> AsyncIterator[ServerSentEvent]:
    told = 0
    while told < case.versions[job_id] or case.turn(job_id).active:
        if told == case.versions[job_id]:
            await asyncio.sleep(LOOK_SECONDS)
            continue
        told += 1
        kind = EventType.PROGRESS if case.turn(job_id).active else EventType.COMPLETED
        yield ServerSentEvent(id=str(told), event=kind, data="{}")


@contextmanager
def showcase(reader: Reader | None = None) -> Iterator[Showcase]:
    """A server for threads that are only values."""
    case = Showcase(reader or Reader(writes=True, csrf="c"))
    with served(_app(case)) as url:
        case.url = url
        yield case
