"""The application: its parts, opened when it starts and closed when it ends; routes, errors, documentation."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import fastapi_offline
from fastapi import Depends, FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from towpath.accounts.key_uses import KeyUses
from towpath.accounts.rate_limiter import Limiter
from towpath.accounts.service.limits import Limits
from towpath.accounts.service.operator import ensure_bootstrap_key
from towpath.accounts.service.stream_leases import StreamLeases
from towpath.api.console.routes import mount_static
from towpath.api.console.routes import router as pages
from towpath.api.http.auth import docs_reader
from towpath.api.http.body_limit import BodyLimit
from towpath.api.http.cors import with_cors
from towpath.api.http.disconnects import EndWithClient
from towpath.api.http.errors import add_error_handlers
from towpath.api.http.health import Probes
from towpath.api.http.intake import Intake, checked_body
from towpath.api.http.request_log import RequestLog
from towpath.api.http.requests import HeadRequests, add_request_ids
from towpath.api.http.response_headers import ResponseHeaders, docs_policy
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState
from towpath.api.http.upload_slots import UploadSlots
from towpath.api.routes import (
    ai,
    attachments,
    auth,
    batches,
    codec,
    enrichment,
    entities,
    events,
    extraction,
    files,
    groups,
    health,
    index_events,
    index_quality,
    indexes,
    jobs,
    judgements,
    llm_jobs,
    records,
    schemas,
    semantic_models,
    users,
    vectors,
    webhooks,
)
from towpath.api.routes import limits as limit_routes
from towpath.core.errors import ErrorBody
from towpath.core.memory import settle_collector
from towpath.db.engine import Database
from towpath.documents import DocumentReader
from towpath.features import installed_features, register_features
from towpath.jobs.event_hub import EventHub
from towpath.jobs.gateway import Gateway
from towpath.jobs.registry import upkeep_kinds
from towpath.llm import Catalog
from towpath.llm.limiter.budgets import measure_use
from towpath.net.http import GuardedClient
from towpath.runtime.embedded.demand import chroma_url
from towpath.runtime.exposure import list_own_endpoints
from towpath.runtime.plugin import towpath_plugin
from towpath.runtime.settings import Settings, get_settings
from towpath.runtime.temporal import connect
from towpath.secrets.vault import Vault
from towpath.vectors.embedding import make_embedder
from towpath.vectors.service.search import SearchService
from towpath.vectors.store.index import VectorIndex

logger = logging.getLogger(__name__)

TAGS = [
    {"name": "entities", "description": "Upsert entities, singly or in batches, and find duplicates."},
    {"name": "indexes", "description": "Indexes of entities: the fields they are matched on, labels, tuning."},
    {"name": "embeddings", "description": "Embed objects into collections with tasks, and search them."},
    {"name": "enrichment", "description": "Enrich entities with language models, singly or in batches."},
    {"name": "schemas", "description": "Schemas of enrichments: generated from samples, edited by instruction."},
    {"name": "records", "description": "Records: what each model answered, and what was fused from the answers."},
    {"name": "ai", "description": "Questions in natural language to a semantic model, answered by a durable agent."},
    {"name": "models", "description": "Connections to databases, and semantic models over them: views and topics."},
    {"name": "extraction", "description": "Extract pages and fields from documents; list all jobs; review results."},
    {"name": "batches", "description": "Files and batches of OpenAI's API, over every model that is known here."},
    {"name": "jobs", "description": "What jobs of every kind have in common: progress, control, events."},
    {"name": "webhooks", "description": "Endpoints that are notified when jobs end; deliveries and their attempts."},
    {"name": "auth", "description": "Organizations, users, API keys, sign-in, limits."},
    {"name": "health", "description": "Health of the parts: database, Temporal, workers, models."},
]
ROUTES = (
    entities,
    groups,
    indexes,
    judgements,
    index_events,
    index_quality,
    vectors,
    enrichment,
    llm_jobs,
    schemas,
    records,
    attachments,
    ai,
    semantic_models,
    extraction,
    files,
    batches,
    jobs,
    events,
    webhooks,
    auth,
    users,
    limit_routes,
    health,
)
FETCH_SECONDS = 30.0
MAX_READERS = 2
"""Processes that read attachments, and count the pages of documents."""
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request is invalid; `detail` names the field."},
    401: {"model": ErrorBody, "description": "The key is missing or not valid."},
    403: {"model": ErrorBody, "description": "The caller is not allowed to do this."},
    404: {"model": ErrorBody, "description": "It does not exist, or belongs to another organization."},
    408: {"model": ErrorBody, "description": "The body arrives too slowly; `detail` states the minimum."},
    409: {"model": ErrorBody, "description": "The current state does not allow it."},
    413: {"model": ErrorBody, "description": "The body is larger than a limit allows."},
    415: {
        "model": ErrorBody,
        "description": "The content type is not supported; `detail` lists those that are.",
    },
    422: {"model": ErrorBody, "description": "This Idempotency-Key was used with another request."},
    429: {"model": ErrorBody, "description": "A limit is reached; see `Retry-After`."},
    502: {"model": ErrorBody, "description": "A model or another server gave no usable answer."},
    503: {"model": ErrorBody, "description": "A part does not respond, or not in time; see `Retry-After`."},
}
DESCRIPTION = """
Durable jobs over data and AI: long operations that survive any crash, behind plain HTTP.

Send a key as `Authorization: Bearer <key>` or `X-API-Key`. Every error has `detail`, `status`, `title`, `code`
and `request_id`. Every POST that creates or starts something accepts an `Idempotency-Key`.
"""


class _Towpath(FastAPI):
    """The framework's application, with what stands around all of it: also around the answer to a fault of ours.

    Args:
        settings: The settings.
        options: Those of the framework.
    """

    def __init__(self, settings: Settings, **options: Any) -> None:
        self._settings = settings
        super().__init__(**options)

    def build_middleware_stack(self) -> ASGIApp:
        """Return the framework's layers, within ours."""
        settings = self._settings
        https = (settings.public_url or "").startswith("https://")
        inner = with_cors(super().build_middleware_stack(), settings.cors_origin_list)
        return ResponseHeaders(inner, https=https, cookies=settings.cookie_secure)


DocsReader = Annotated[None, Depends(docs_reader)]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: None: from the environment.
    """
    register_features()
    chosen = settings or get_settings()
    app = _Towpath(
        chosen,
        title="Towpath",
        version=version("towpath"),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lambda app: _lifespan(app, chosen),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        responses=ERRORS,
        dependencies=[Depends(checked_body)],
    )
    # The pages have routes of their own: a link that a mail program has decorated must still open them.
    app.router.route_class = ApiRoute
    add_error_handlers(app)
    for module in ROUTES:
        app.include_router(module.router)
    for feature in installed_features():
        for router in feature.routers():
            app.include_router(router)
    app.include_router(codec.router)
    app.include_router(vectors.router, prefix="/api/v1", include_in_schema=False)
    for module in (ai, semantic_models):
        app.include_router(module.router, prefix="/api", include_in_schema=False)
    app.include_router(pages)
    mount_static(app)
    _add_docs(app)
    app.add_middleware(EndWithClient)
    app.add_middleware(HeadRequests)
    app.add_middleware(Intake)
    app.add_middleware(BodyLimit, settings=chosen)
    if chosen.request_log:
        app.add_middleware(RequestLog)
    # The log knows the id.
    add_request_ids(app)
    return app


def _make_search(settings: Settings, database: Database) -> SearchService:
    return SearchService(
        database,
        VectorIndex(partial(chroma_url, settings), token=settings.chroma_token),
        partial(make_embedder, settings.embedding),
        model=settings.embedding.model,
        exact=settings.vector_exact,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        database = Database(
            settings.require_database_url(),
            pool_size=settings.api_pool_size,
            statement_seconds=settings.statement_seconds,
        )
        stack.push_async_callback(database.close)
        client = await connect(settings, plugins=[towpath_plugin(settings)], lazy=True)
        gateway = Gateway(database, client, full_details=settings.full_details)
        stack.push_async_callback(gateway.drain)
        hub = EventHub(database)
        await hub.start()
        stack.push_async_callback(hub.close)
        if settings.bootstrap_key is not None:
            await ensure_bootstrap_key(database, settings.bootstrap_key)
        if settings.secret is None:
            logger.warning("TOWPATH_SECRET is not set: sign-ins end with this process and hold in no other")
        search = _make_search(settings, database)
        stack.push_async_callback(search.close)
        closed = list_own_endpoints(settings)
        fetcher = GuardedClient(
            allow_hosts=settings.allowed_host_list,
            closed=closed,
            most_bytes=settings.fetch_max_bytes,
            seconds=FETCH_SECONDS,
        )
        stack.push_async_callback(fetcher.close)
        webhook_client = GuardedClient(
            allow_hosts=settings.receiver_host_list, closed=closed, most_bytes=0, seconds=FETCH_SECONDS
        )
        stack.push_async_callback(webhook_client.close)
        reader = DocumentReader(settings.read_limits, children=MAX_READERS)
        stack.push_async_callback(reader.close)
        probes = Probes(settings, database, client)
        stack.push_async_callback(probes.close)
        key_uses = KeyUses(database)
        stack.push_async_callback(key_uses.close)
        limiter = Limiter(database)
        limits = Limits(
            settings.default_limits,
            database,
            limiter,
            upkeep=upkeep_kinds(),
            measure_models=partial(measure_use, database),
        )
        streams = StreamLeases(database, limits)
        await streams.start()
        stack.push_async_callback(streams.close)
        app.state.towpath = AppState(
            settings=settings,
            db=database,
            temporal=client,
            gateway=gateway,
            events=hub,
            secret=settings.secret or secrets.token_urlsafe(48),
            uploads=UploadSlots(settings, limits),
            search=search,
            catalog=Catalog(settings.llm),
            fetcher=fetcher,
            webhook_client=webhook_client,
            reader=reader,
            vault=Vault(settings.encryption_key_list),
            probes=probes,
            limiter=limiter,
            key_uses=key_uses,
            limits=limits,
            streams=streams,
        )
        settle_collector()
        yield


def _add_docs(app: FastAPI) -> None:
    # The usual pages load their scripts from a CDN, which a machine without internet cannot reach.
    files = Path(fastapi_offline.__file__).parent / "static"
    app.mount("/docs-files", StaticFiles(directory=files), name="docs-files")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(_: DocsReader) -> dict[str, Any]:
        return app.openapi()

    @app.get("/docs", include_in_schema=False)
    async def docs(_: DocsReader) -> HTMLResponse:
        return _page(
            get_swagger_ui_html(
                openapi_url="/openapi.json",
                title="Towpath API",
                swagger_js_url="/docs-files/swagger-ui-bundle.js",
                swagger_css_url="/docs-files/swagger-ui.css",
                swagger_favicon_url="/docs-files/favicon.png",
            )
        )

    @app.get("/redoc", include_in_schema=False)
    async def redoc(_: DocsReader) -> HTMLResponse:
        return _page(
            get_redoc_html(
                openapi_url="/openapi.json",
                title="Towpath API",
                redoc_js_url="/docs-files/redoc.standalone.js",
                redoc_favicon_url="/docs-files/favicon.png",
                with_google_fonts=False,
            )
        )


def _page(page: HTMLResponse) -> HTMLResponse:
    page.headers["Content-Security-Policy"] = docs_policy(bytes(page.body).decode())
    return page
