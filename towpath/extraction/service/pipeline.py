"""The steps of an extraction job: its document is opened, read page by page, its fields are taken out and reviewed.

Every step can be repeated: what an earlier try has stored is not done again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from towpath.core.errors import AnswerAwaitedError, BadInputError, ErrorCode, JobFaultError, TowpathError
from towpath.core.word_ranking import rank
from towpath.db.engine import Connection, Database
from towpath.documents.kinds import detect_kind
from towpath.documents.store.blobs import Blob, get_blob
from towpath.documents.types import VISIBLE_KINDS, DocumentKind, PageBody, PageContent
from towpath.extraction.domain.asking import CLASSIFIED_PAGES, SMALL_CHARACTERS, build_class_prompt, build_class_schema
from towpath.extraction.service.document_cache import DocumentCache
from towpath.extraction.service.field_extractor import FieldExtractor, ask_model, warn_of_cut_pages
from towpath.extraction.store.jobs import (
    begin_review,
    get_review_status,
    read_extraction,
    read_opened,
    save_extracted,
    save_opened,
)
from towpath.extraction.store.pages import (
    compress_pages,
    list_pictured_pages,
    list_stored_pages,
    read_pages,
    save_pages,
    save_picture,
    summarize_pages,
)
from towpath.extraction.types import (
    ClassificationOption,
    DocumentRef,
    Extraction,
    ExtractionOutcome,
    ExtractParams,
    OpenedDocument,
    PageShare,
    ReadPlan,
)
from towpath.jobs.params import params_of
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.runs import lock_run
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import CollectingRef, DeliveryRef, JobRef, JobWarning, Progress, ReviewStatus
from towpath.llm.batches.choice import tell_execution
from towpath.llm.batches.collecting import collecting
from towpath.llm.gateway import LlmGateway
from towpath.webhooks.store.deliveries import queue_review

FORMAT = "1"
"""Of how pages are read; another number reads all documents anew."""
FLUSH_SECONDS = 0.5
FLUSH_PAGES = 25
SHARES_PER_JOB = 12
MAX_PICTURES = 50
PICTURE_PIXELS = 1_600_000
READING_FRACTION = 0.9
"""Of a job's progress, how much is made when all pages are read."""


class ExtractionPipeline:
    """Carries out the steps of extraction and classification jobs.

    Args:
        database: Jobs, documents, pages.
        llm_gateway: The language models.
        documents: The worker's disk and readers.
        chunk: Pages of one share, at most.
    """

    def __init__(self, database: Database, llm_gateway: LlmGateway, documents: DocumentCache, *, chunk: int) -> None:
        self._database = database
        self._llm_gateway = llm_gateway
        self._documents = documents
        self._chunk = chunk

    async def open_document(self, ref: JobRef) -> ReadPlan:
        """Fetch the document if need be, and plan which of its pages are left to read.

        Raises:
            JobFaultError: It cannot be fetched, or does not fit what was asked of it.
        """
        params, extraction = await self._load_run(ref)
        blob, media_type = await self._find_blob(ref, params, extraction)
        opened, warnings = await self._inspect(ref, params, blob, media_type, extraction.opened)
        stored = await self._list_stored(ref, opened, opened.pages)
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            await save_opened(connection, ref.job_id, opened)
            await add_warnings(connection, ref, warnings)
            if stored:
                await _record_read(connection, ref, "cached", len(stored), len(opened.pages))
        unread = [page for page in opened.pages if page not in stored]
        async with self._database.transaction() as connection:
            await tell_execution(connection, ref, params.execution)
        batch = self._llm_gateway.batch_plan if params.execution.is_batch else None
        return ReadPlan(shares=_split_into_shares(unread, self._chunk), total=len(opened.pages), batch=batch)

    async def _find_blob(self, ref: JobRef, params: ExtractParams, extraction: Extraction) -> tuple[Blob, str | None]:
        """Return the stored document with its media type, as far as a client or a server has named one."""
        media_type = params.document.media_type
        if extraction.sha256 is not None:
            return await get_blob(self._database, ref.organization, bytes.fromhex(extraction.sha256)), media_type
        try:
            blob, server_media_type = await self._documents.fetch(ref.organization, params.document)
        except TowpathError as error:
            judged = await self._llm_gateway.patience.judge(ref, "the document's server", "document", error)
            if judged.retryable:
                raise
            code = error.code if isinstance(error, BadInputError) else ErrorCode.SOURCE_FAILED
            raise JobFaultError(f"the document cannot be fetched: {judged.detail}", code=code) from error
        return blob, server_media_type or media_type

    async def _inspect(
        self, ref: JobRef, params: ExtractParams, blob: Blob, media_type: str | None, known: OpenedDocument | None
    ) -> tuple[OpenedDocument, list[JobWarning]]:
        """Find out what a document is and which of its pages are to be read.

        Args:
            ref: The run.
            params: What was asked for.
            blob: The stored document.
            media_type: As far as somebody has named it.
            known: What an earlier try, or an earlier attempt of the job, has found out.
        """
        options, sha256 = params.options, blob.sha256.hex()
        kind, pages_total = await self._describe(ref, params.document, sha256, media_type, known)
        pages = _choose_pages(options.page_range, pages_total)
        warnings: list[JobWarning] = []
        if params.choices is not None and len(pages) > CLASSIFIED_PAGES:
            message = f"the class is chosen by the first {CLASSIFIED_PAGES} of {len(pages)} pages"
            warnings.append(_pages_left_out(message))
            pages = pages[:CLASSIFIED_PAGES]
        if options.direct_image_extraction and kind not in VISIBLE_KINDS:
            raise JobFaultError(
                f"a {kind.upper()} has no pictures to extract from", code=ErrorCode.UNSUPPORTED_FILE_TYPE
            )
        variant = FORMAT + (f":{ref.job_id}" if options.bypass_cache else "")
        opened = OpenedDocument(
            kind=kind, sha256=sha256, size=blob.size, pages_total=pages_total, pages=pages, variant=variant
        )
        return opened, warnings

    async def _describe(
        self, ref: JobRef, document: DocumentRef, sha256: str, media_type: str | None, known: OpenedDocument | None
    ) -> tuple[DocumentKind, int]:
        """Return the kind of a document and how many pages it has; the file is opened for what nobody knows yet.

        What the façade has found out when the file came holds, and so does what an earlier try has: the digest says
        that it is the same file.
        """
        if known is not None:
            return known.kind, known.pages_total
        if document.kind is not None and document.pages is not None:
            return document.kind, document.pages
        path = await self._documents.path_of(ref.organization, sha256)
        kind = document.kind or detect_kind(document.file_name, media_type, await self._documents.head_of(path))
        pages = document.pages
        if pages is None:
            pages = (await self._documents.reader.describe(path, kind, name=document.file_name)).pages
        return kind, pages

    async def read_share(self, share: PageShare) -> int:
        """Read pages that are not stored yet; each is stored within half a second, whatever happens to the rest.

        Returns:
            How many were left to read.
        """
        ref = share.ref
        opened = await self._load_opened(ref)
        stored = await self._list_stored(ref, opened, share.pages)
        unread = [page for page in share.pages if page not in stored]
        if not unread:
            return 0
        path = await self._documents.path_of(ref.organization, opened.sha256)
        waiting: list[PageBody] = []
        since = time.monotonic()
        async with aclosing(self._documents.reader.read_bodies(path, opened.kind, unread)) as bodies:
            async for page in bodies:
                waiting.append(page)
                if len(waiting) >= FLUSH_PAGES or time.monotonic() - since > FLUSH_SECONDS:
                    await self._save_pages(share, opened, waiting)
                    waiting, since = [], time.monotonic()
        await self._save_pages(share, opened, waiting)
        return len(unread)

    async def _save_pages(self, share: PageShare, opened: OpenedDocument, pages: Sequence[PageBody]) -> None:
        if not pages:
            return
        ref = share.ref
        compressed = await compress_pages(pages)
        async with self._database.transaction() as connection:
            await save_pages(connection, ref.organization, opened.digest, opened.variant, compressed)
            await _record_read(connection, ref, f"page:{pages[0].page}", len(pages), share.total)

    async def extract_fields(self, ref: CollectingRef) -> ExtractionOutcome:
        """Take the fields out, and decide whether a person is to look at them; or have the calls wait for a batch."""
        params, extraction = await self._load_run(ref)
        opened = _assert_opened(ref, extraction.opened)
        options = params.options
        extracted = extraction.extracted
        if params.schema_ is not None and extracted is None:
            pages = await self._load_pages(ref, opened)
            extractor = FieldExtractor(self._llm_gateway, self._documents, ref, params, opened)
            try:
                with collecting(ref.collects):
                    extracted = await extractor.extract(pages)
            except AnswerAwaitedError:
                return ExtractionOutcome(awaits=True)
            async with self._database.transaction() as connection:
                await save_extracted(connection, ref.job_id, extracted)
                await add_warnings(connection, ref, extractor.warnings)
        summary = await summarize_pages(self._database, ref.organization, opened.digest, opened.variant, opened.pages)
        await self._warn_of_truncated_pages(ref, summary.truncated)
        needs_review = options.require_review or options.hold_for_review
        if options.review_below is not None:
            of_fields = [] if extracted is None else [source.confidence for source in extracted.sources.values()]
            needs_review = min([summary.lowest_confidence, *of_fields]) < options.review_below
        return ExtractionOutcome(review=needs_review, hold=needs_review and options.hold_for_review)

    async def _warn_of_truncated_pages(self, ref: JobRef, truncated: Sequence[int]) -> None:
        if not truncated:
            return
        message = "page {} holds more than is kept of a page; its end is left out"
        warnings = [
            JobWarning(code=ErrorCode.SOURCE_TRUNCATED, message=message.format(page), item=f"page {page}")
            for page in truncated
        ]
        async with self._database.transaction() as connection:
            await add_warnings(connection, ref, warnings)

    async def request_review(self, ref: JobRef) -> list[DeliveryRef]:
        """Make pictures of the pages for who reviews them, and say that a review waits.

        Returns:
            The deliveries that tell of it.
        """
        opened = await self._load_opened(ref)
        is_visible = opened.kind in VISIBLE_KINDS
        if is_visible:
            await self._make_pictures(ref, opened)
        async with self._database.transaction() as connection:
            job = await lock_run(connection, ref)
            await begin_review(connection, ref)
            if is_visible and len(opened.pages) > MAX_PICTURES:
                message = f"the review shows pictures of the first {MAX_PICTURES} of {len(opened.pages)} pages"
                await add_warnings(connection, ref, [_pages_left_out(message)])
            return await queue_review(connection, job)

    async def _make_pictures(self, ref: JobRef, opened: OpenedDocument) -> None:
        pictured = await list_pictured_pages(self._database, ref.organization, opened.digest)
        path = await self._documents.path_of(ref.organization, opened.sha256)
        for page in opened.pages[:MAX_PICTURES]:
            if page not in pictured:
                data = await self._documents.reader.render_page(
                    path, opened.kind, page, most_pixels=PICTURE_PIXELS, media="image/jpeg"
                )
                await save_picture(self._database, ref.organization, opened.digest, page, data)

    async def settle_review(self, ref: JobRef) -> None:
        """End a held job by what was decided.

        Raises:
            JobFaultError: Its review has rejected the result.
        """
        async with self._database.transaction() as connection:
            status = await get_review_status(connection, ref.job_id)
        if status is ReviewStatus.REJECTED:
            raise JobFaultError("the result was rejected by its review", code=ErrorCode.REVIEW_REJECTED)

    async def classify(self, ref: CollectingRef) -> dict[str, Any] | None:
        """Choose the class of the document.

        Returns:
            The result of the job: the option, how sure it is, and why; None: the call waits for a batch.
        """
        params, extraction = await self._load_run(ref)
        opened = _assert_opened(ref, extraction.opened)
        options = params.choices or []
        pages = await self._load_pages(ref, opened)
        await self._warn_of_truncated_pages(ref, [page.page for page in pages if page.truncated])
        nearest = _rank_classes(options, pages)
        (best, score), (_, next_score) = nearest[:2]
        if self._llm_gateway.catalog.is_small(params.llm) and score > next_score:
            reasoning = "its words are nearest to the examples of this class"
            return {"option": best, "confidence": round(score / (score + next_score), 4), "reasoning": reasoning}
        form = build_class_schema([name for name, _ in nearest])
        try:
            with collecting(ref.collects):
                answer = await ask_model(self._llm_gateway, ref, params, build_class_prompt(pages, options, form))
        except AnswerAwaitedError:
            return None
        async with self._database.transaction() as connection:
            await add_warnings(connection, ref, warn_of_cut_pages(params.llm, pages, SMALL_CHARACTERS))
        data = answer.data
        return {
            "option": data["option"],
            "confidence": data.get("confidence", 0.5),
            "reasoning": data.get("reasoning", ""),
        }

    async def _load_pages(self, ref: JobRef, opened: OpenedDocument) -> list[PageContent]:
        return await read_pages(self._database, ref.organization, opened.digest, opened.variant, opened.pages)

    async def _list_stored(self, ref: JobRef, opened: OpenedDocument, pages: Sequence[int]) -> set[int]:
        return await list_stored_pages(self._database, ref.organization, opened.digest, opened.variant, pages)

    async def _load_run(self, ref: JobRef) -> tuple[ExtractParams, Extraction]:
        """Load all that is stored of a run that goes on."""
        async with self._database.transaction() as connection:
            job = await lock_run(connection, ref)
            extraction = await read_extraction(connection, ref.organization, ref.job_id)
        return params_of(job, ExtractParams), extraction

    async def _load_opened(self, ref: JobRef) -> OpenedDocument:
        """Load the document of a run that goes on, for steps that look at nothing else."""
        async with self._database.transaction() as connection:
            await lock_run(connection, ref)
            return _assert_opened(ref, await read_opened(connection, ref.job_id))


def _assert_opened(ref: JobRef, opened: OpenedDocument | None) -> OpenedDocument:
    if opened is None:
        raise RuntimeError(f"the document of job {ref.job_id} was not opened")
    return opened


async def _record_read(connection: Connection, ref: JobRef, key: str, pages: int, total: int) -> None:
    """Count pages that are read, once a key."""
    change = Progress(processed=pages, succeeded=pages)
    fraction = pages / max(total, 1) * READING_FRACTION
    await job_store.record_chunk(connection, ref, key, change, fraction=fraction, phase="read")


def _rank_classes(options: Sequence[ClassificationOption], pages: Sequence[PageContent]) -> list[tuple[str, float]]:
    """Rank the classes by the words that their names and examples share with a document."""
    text = " ".join(page.content for page in pages)
    return rank(text, {option.name: " ".join([option.name, *option.examples]) for option in options})


def _pages_left_out(message: str) -> JobWarning:
    return JobWarning(code=ErrorCode.PAGES_LEFT_OUT, message=message)


def _choose_pages(page_range: Sequence[int] | None, count: int) -> list[int]:
    if page_range is None:
        return list(range(1, count + 1))
    beyond = [page for page in page_range if page > count]
    if beyond:
        raise JobFaultError(
            f"pageRange: the document has {count} pages, not {beyond[0]}", code=ErrorCode.PAGE_OUT_OF_RANGE
        )
    return sorted(set(page_range))


def _split_into_shares(pages: Sequence[int], max_size: int) -> list[list[int]]:
    size = min(max(math.ceil(len(pages) / SHARES_PER_JOB), 1), max_size)
    return [list(pages[at : at + size]) for at in range(0, len(pages), size)]
