"""What a façade process holds, and how a route gets at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection
from temporalio.client import Client

from towpath.accounts.key_cache import KeyCache
from towpath.accounts.key_uses import KeyUses
from towpath.accounts.rate_limiter import Limiter
from towpath.accounts.service import Accounts
from towpath.accounts.service.limits import Limits
from towpath.accounts.service.stream_leases import StreamLeases
from towpath.ai.service.parts import AiParts
from towpath.api.http.health import Probes
from towpath.api.http.upload_slots import UploadSlots
from towpath.core.checks import Checks
from towpath.core.convoys import Convoys
from towpath.db.engine import Database
from towpath.documents import DocumentReader
from towpath.enrichment.service.starts import EnrichmentParts
from towpath.entities.service.batches import BatchService
from towpath.entities.service.corrections import CorrectionService
from towpath.entities.service.entities import EntityService
from towpath.entities.service.groups import GroupService
from towpath.entities.service.index_events import IndexEventService
from towpath.entities.service.indexes import IndexService
from towpath.entities.service.judgements import JudgementService
from towpath.entities.service.matching import ModelCache
from towpath.entities.service.quality import QualityService
from towpath.entities.service.upserts import UpsertService
from towpath.extraction.service.parts import ExtractionParts
from towpath.jobs.event_hub import EventHub
from towpath.jobs.gateway import Gateway
from towpath.jobs.service import JobService
from towpath.jobs.staging import UploadLimits
from towpath.llm import Catalog
from towpath.net.http import GuardedClient
from towpath.runtime.settings import Settings
from towpath.secrets.vault import Vault
from towpath.serving.service.batches import BatchService as RequestBatchService
from towpath.serving.service.files import FileService
from towpath.vectors.service.search import SearchService
from towpath.vectors.service.tasks import MAX_ITEM_BYTES, TaskService
from towpath.webhooks.service.deliveries import DeliveryService
from towpath.webhooks.service.endpoints import EndpointService


@dataclass(slots=True)
class AppState:
    """The parts that routes use.

    The services are made of the others when they are asked for: a state whose database is one transaction
    (`replace(state, db=...)`) has services that take part in it.
    """

    settings: Settings
    db: Database
    temporal: Client
    gateway: Gateway
    events: EventHub
    secret: str
    uploads: UploadSlots
    search: SearchService
    catalog: Catalog
    fetcher: GuardedClient
    webhook_client: GuardedClient
    reader: DocumentReader
    vault: Vault
    probes: Probes
    limiter: Limiter
    key_uses: KeyUses
    limits: Limits
    streams: StreamLeases
    convoys: Convoys = field(default_factory=Convoys)
    matching_models: ModelCache = field(default_factory=ModelCache)
    checks: Checks = field(default_factory=Checks)
    keys: KeyCache = field(default_factory=KeyCache)

    @property
    def jobs(self) -> JobService:
        """Return the use cases of jobs of any kind."""
        return JobService(self.db, self.gateway, self.events, cancel_wait_seconds=self.settings.cancel_wait_seconds)

    @property
    def endpoints(self) -> EndpointService:
        """Return the use cases of webhook endpoints."""
        return EndpointService(self.db, self.webhook_client, self.vault)

    @property
    def deliveries(self) -> DeliveryService:
        """Return the use cases of webhook deliveries."""
        return DeliveryService(self.db, self.vault, self.jobs, self.temporal, self.gateway)

    @property
    def entities(self) -> EntityService:
        """Return the use cases of single entities."""
        return EntityService(self.db, self.matching_models, self.convoys.turns)

    @property
    def upserts(self) -> UpsertService:
        """Return the use case of writing single entities."""
        return UpsertService(self.db, self.matching_models, self.convoys)

    @property
    def corrections(self) -> CorrectionService:
        """Return the use cases of labels, and of splitting and merging groups."""
        return CorrectionService(self.db, self.matching_models)

    @property
    def groups(self) -> GroupService:
        """Return the use cases of reading groups."""
        return GroupService(self.db, self.matching_models)

    @property
    def index_events(self) -> IndexEventService:
        """Return the use cases of the events of indexes."""
        return IndexEventService(self.db)

    @property
    def batches(self) -> BatchService:
        """Return the use cases of batches of entities."""
        return BatchService(self.db, page_items=self.settings.index_chunk, window=self.settings.window)

    @property
    def indexes(self) -> IndexService:
        """Return the use cases of indexes of entities."""
        return IndexService(self.db, window=self.settings.window)

    @property
    def quality(self) -> QualityService:
        """Return the use cases of quality reports of indexes."""
        return QualityService(self.db, self.matching_models)

    @property
    def judgements(self) -> JudgementService:
        """Return the use cases of the judge of indexes."""
        return JudgementService(self.db, self.matching_models, self.catalog)

    @property
    def tasks(self) -> TaskService:
        """Return the use cases of upsertion and deletion tasks."""
        limits = UploadLimits(
            items=self.settings.vector_max_items,
            item_bytes=min(MAX_ITEM_BYTES, self.settings.vector_max_bytes),
            page_items=self.settings.vector_chunk,
        )
        return TaskService(
            self.db,
            self.jobs,
            self.events,
            model=self.settings.embedding.model,
            limits=limits,
            window=self.settings.window,
            cancel_wait_seconds=self.settings.cancel_wait_seconds,
        )

    @property
    def enrichment(self) -> EnrichmentParts:
        """Return what enrichments and the jobs around them need before they start."""
        return EnrichmentParts(self.db, self.catalog, self.checks)

    @property
    def ai(self) -> AiParts:
        """Return what the use cases of AI jobs need."""
        return AiParts(
            database=self.db,
            events=self.events,
            catalog=self.catalog,
            checks=self.checks,
            reader=self.reader,
            vault=self.vault,
            default_llm=self.settings.ai_model,
            databases_root=self.settings.databases_root,
            attachment_max_bytes=self.settings.attachment_max_bytes,
            result_days=self.settings.ai_result_days,
            max_jobs=self.limits.max_jobs,
        )

    @property
    def extraction(self) -> ExtractionParts:
        """Return what the use cases of extraction need."""
        return ExtractionParts(
            database=self.db,
            catalog=self.catalog,
            checks=self.checks,
            fetcher=self.fetcher,
            reader=self.reader,
            vault=self.vault,
            default_llm=self.settings.extraction_model,
            document_max_bytes=self.settings.document_max_bytes,
            window=self.settings.window,
            gateway=self.gateway,
            events=self.events,
        )

    @property
    def files(self) -> FileService:
        """Return the use cases of files for batches of requests."""
        settings = self.settings
        return FileService(self.db, retention_days=settings.retention_days, max_bytes=settings.served_file_max_bytes)

    @property
    def request_batches(self) -> RequestBatchService:
        """Return the use cases of batches of requests."""
        return RequestBatchService(self.db, self.files, self.jobs, window=self.settings.window)

    @property
    def accounts(self) -> Accounts:
        """Return what the use cases of accounts need."""
        return Accounts(
            db=self.db,
            limiter=self.limiter,
            keys=self.keys,
            key_uses=self.key_uses,
            secret=self.secret,
            open_registration=self.settings.open_registration,
        )


async def state_of(connection: HTTPConnection) -> AppState:
    """Return the state of the application that a request belongs to."""
    return cast(AppState, connection.app.state.towpath)


State = Annotated[AppState, Depends(state_of)]
