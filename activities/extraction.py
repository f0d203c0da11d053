"""Extraction: a document is opened, read page by page, its fields are taken out, a person is asked."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from temporalio import activity

from towpath.ai.domain.linking import rank
from towpath.ai.store.jobs import open_run
from towpath.core.errors import BadInputError, ErrorCode, JobFaultError, TowpathError
from towpath.db.engine import Database
from towpath.documents.kinds import detect_kind
from towpath.documents.types import VISIBLE_KINDS, PageBody, PageContent
from towpath.extraction.domain.asking import CLASSIFIED_PAGES, SMALL_CHARACTERS, class_form, class_prompt
from towpath.extraction.extractor import Extractor, asked, cut_warnings
from towpath.extraction.fetching import Documents
from towpath.extraction.store.blobs import get_blob
from towpath.extraction.store.jobs import begin_review, get_extraction, keep_extracted, note_document, review_status_of
from towpath.extraction.store.pages import (
    cut_numbers,
    imaged_pages,
    keep_image,
    keep_pages,
    kept_numbers,
    least_confidence,
    packed,
    read_pages,
)
from towpath.extraction.types import (
    Extracted,
    Extraction,
    ExtractionOutcome,
    ExtractParams,
    PageShare,
    ReadPlan,
    ReviewStatus,
)
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import Cost, DeliveryRef, JobRef, JobWarning, Progress
from towpath.llm.paid import Asker
from towpath.webhooks.store.deliveries import queue_review

FORMAT = "1"
"""Of how pages are read; another number reads all documents anew."""
FLUSH_SECONDS = 0.5
FLUSH_PAGES = 25
SHARES_A_JOB = 12
MAX_PICTURES = 50
PICTURE_PIXELS = 1_600_000


class ExtractionActivities:
    """What extraction jobs do.

    Args:
        database: Jobs, documents, pages.
        asker: The language models.
        documents: The worker's disk and readers.
        chunk: Pages of one share, at most.
    """

    def __init__(self, database: Database, asker: Asker, documents: Documents, *, chunk: int) -> None:
        self._database = database
        self._asker = asker
        self._documents = documents
        self._chunk = chunk

    @activity.defn(name="open_document")
    async def open_document(self, ref: JobRef) -> ReadPlan:
        """Fetch the document if need be, and plan which of its pages are left to read."""
        params, extraction = await self._job(ref)
        document = params.document
        sha256, media = extraction.sha256, document.media_type
        if sha256 is None:
            blob, told = await self._fetched(ref, params)
            sha256, media = blob.sha256.hex(), told or media
        else:
            blob = await get_blob(self._database, ref.organization, bytes.fromhex(sha256))
        path = await self._documents.path_of(ref.organization, sha256)
        kind = detect_kind(document.file_name, media, await self._documents.head_of(path))
        info = await self._documents.reader.describe(path, kind, name=document.file_name)
        pages = _chosen(params.options.page_range, info.pages)
        warnings: list[JobWarning] = []
        if params.choices is not None and len(pages) > CLASSIFIED_PAGES:
            warnings.append(_left_out(f"the class is chosen by the first {CLASSIFIED_PAGES} of {len(pages)} pages"))
            pages = pages[:CLASSIFIED_PAGES]
        if params.options.direct_image_extraction and kind not in VISIBLE_KINDS:
            raise JobFaultError(
                f"a {kind.upper()} has no pictures to extract from", code=ErrorCode.UNSUPPORTED_FILE_TYPE
            )
        variant = FORMAT + (f":{ref.job_id}" if params.options.bypass_cache else "")
        known = await kept_numbers(self._database, ref.organization, blob.sha256, variant, pages)
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            await note_document(
                connection,
                ref.job_id,
                kind=kind,
                sha256=sha256,
                size=blob.size,
                pages_total=info.pages,
                pages=pages,
                variant=variant,
            )
            await add_warnings(connection, ref, warnings)
            if known:
                await self._progress(connection, ref, "cached", len(known), len(pages))
        left = [page for page in pages if page not in known]
        return ReadPlan(shares=_shares(left, self._chunk), total=len(pages))

    async def _fetched(self, ref: JobRef, params: ExtractParams) -> Any:
        try:
            return await self._documents.fetch(ref.organization, params.document)
        except TowpathError as error:
            judged = await self._asker.patience.judge(ref, "the document's server", "document", error)
            if judged.retryable:
                raise
            code = error.code if isinstance(error, BadInputError) else ErrorCode.SOURCE_FAILED
            raise JobFaultError(f"the document cannot be fetched: {judged.detail}", code=code) from error

    @activity.defn(name="read_share")
    async def read_share(self, share: PageShare) -> int:
        """Read pages that are not kept yet; each is kept within half a second, whatever happens to the rest."""
        ref = share.ref
        _, extraction = await self._job(ref)
        assert extraction.sha256 is not None
        assert extraction.variant is not None
        assert extraction.kind is not None
        digest = bytes.fromhex(extraction.sha256)
        known = await kept_numbers(self._database, ref.organization, digest, extraction.variant, share.pages)
        left = [page for page in share.pages if page not in known]
        if not left:
            return 0
        path = await self._documents.path_of(ref.organization, extraction.sha256)
        waiting: list[PageBody] = []
        since = time.monotonic()
        async with aclosing(self._documents.reader.read_bodies(path, extraction.kind, left)) as found:
            async for page in found:
                waiting.append(page)
                if len(waiting) >= FLUSH_PAGES or time.monotonic() - since > FLUSH_SECONDS:
                    await self._keep(share, extraction, waiting)
                    waiting, since = [], time.monotonic()
        await self._keep(share, extraction, waiting)
        return len(left)

    async def _keep(self, share: PageShare, extraction: Extraction, pages: Sequence[PageBody]) -> None:
        if not pages:
            return
        assert extraction.sha256 is not None
        assert extraction.variant is not None
        ref = share.ref
        small = await packed(pages)
        async with self._database.transaction() as connection:
            await keep_pages(connection, ref.organization, bytes.fromhex(extraction.sha256), extraction.variant, small)
            await self._progress(connection, ref, f"page:{pages[0].page}", len(pages), share.total)

    @staticmethod
    async def _progress(connection: Any, ref: JobRef, key: str, pages: int, total: int) -> None:
        change = Progress(processed=pages, succeeded=pages)
        await job_store.record_chunk(connection, ref, key, change, fraction=pages / max(total, 1) * 0.9, phase="read")

    @activity.defn(name="extract_fields")
    async def extract_fields(self, ref: JobRef) -> ExtractionOutcome:
        """Take the fields out, and find out whether a person is to look at them."""
        params, extraction = await self._job(ref)
        options = params.options
        extracted = extraction.extracted
        if params.schema_ is not None and extracted is None:
            pages = await self._pages(ref, extraction)
            extractor = Extractor(self._asker, self._documents, ref, params, extraction)
            extracted = await extractor.extract(pages)
            cost = Cost(
                usd=extractor.spent.usd,
                input_tokens=extractor.spent.input_tokens,
                output_tokens=extractor.spent.output_tokens,
            )
            async with self._database.transaction() as connection:
                await job_store.add_progress(connection, ref, Progress(), cost=cost)
                await keep_extracted(connection, ref.job_id, extracted)
                await add_warnings(connection, ref, extractor.warnings)
        await self._warn_of_cut_pages(ref, extraction)
        wanted = options.require_review or options.hold_for_review
        if options.review_below is not None:
            wanted = await self._least(ref, extraction, extracted) < options.review_below
        return ExtractionOutcome(review=wanted, hold=wanted and options.hold_for_review)

    async def _warn_of_cut_pages(self, ref: JobRef, extraction: Extraction) -> None:
        assert extraction.sha256 is not None
        assert extraction.variant is not None
        digest = bytes.fromhex(extraction.sha256)
        cut = await cut_numbers(self._database, ref.organization, digest, extraction.variant, extraction.pages or [])
        if not cut:
            return
        told = "page {} holds more than is kept of a page; its end is left out"
        warnings = [
            JobWarning(code=ErrorCode.SOURCE_TRUNCATED, message=told.format(page), item=f"page {page}") for page in cut
        ]
        async with self._database.transaction() as connection:
            await add_warnings(connection, ref, warnings)

    async def _least(self, ref: JobRef, extraction: Extraction, extracted: Extracted | None) -> float:
        assert extraction.sha256 is not None
        assert extraction.variant is not None
        digest = bytes.fromhex(extraction.sha256)
        numbers = extraction.pages or []
        read = await least_confidence(self._database, ref.organization, digest, extraction.variant, numbers)
        taken = [] if extracted is None else [one.confidence for one in extracted.sources.values()]
        return min([read, *taken])

    async def _pages(self, ref: JobRef, extraction: Extraction) -> list[PageContent]:
        assert extraction.sha256 is not None
        assert extraction.variant is not None
        return await read_pages(
            self._database, ref.organization, bytes.fromhex(extraction.sha256), extraction.variant, extraction.pages
        )

    @activity.defn(name="show_review")
    async def show_review(self, ref: JobRef) -> list[DeliveryRef]:
        """Make pictures of the pages for who reviews them, and say that a review waits."""
        _, extraction = await self._job(ref)
        assert extraction.sha256 is not None
        if extraction.kind in VISIBLE_KINDS:
            await self._picture(ref, extraction)
        async with self._database.transaction() as connection:
            job = await open_run(connection, ref)
            await begin_review(connection, ref)
            shown = len(extraction.pages or [])
            if extraction.kind in VISIBLE_KINDS and shown > MAX_PICTURES:
                told = f"the review shows pictures of the first {MAX_PICTURES} of {shown} pages"
                await add_warnings(connection, ref, [_left_out(told)])
            return await queue_review(connection, job)

    async def _picture(self, ref: JobRef, extraction: Extraction) -> None:
        assert extraction.sha256 is not None
        assert extraction.kind is not None
        digest = bytes.fromhex(extraction.sha256)
        known = await imaged_pages(self._database, ref.organization, digest)
        path = await self._documents.path_of(ref.organization, extraction.sha256)
        for page in (extraction.pages or [])[:MAX_PICTURES]:
            if page not in known:
                data = await self._documents.reader.render_page(
                    path, extraction.kind, page, most_pixels=PICTURE_PIXELS, media="image/jpeg"
                )
                await keep_image(self._database, ref.organization, digest, page, data)

    @activity.defn(name="settle_review")
    async def settle_review(self, ref: JobRef) -> None:
        """End a held job by what was decided."""
        async with self._database.transaction() as connection:
            status = await review_status_of(connection, ref.job_id)
        if status is ReviewStatus.REJECTED:
            raise JobFaultError("the result was rejected by its review", code=ErrorCode.REVIEW_REJECTED)

    @activity.defn(name="classify")
    async def classify(self, ref: JobRef) -> dict[str, Any]:
        """Choose the class of the document."""
        params, extraction = await self._job(ref)
        options = params.choices or []
        pages = await self._pages(ref, extraction)
        await self._warn_of_cut_pages(ref, extraction)
        text = " ".join(page.content for page in pages)
        told = {one.name: " ".join([one.name, *one.examples]) for one in options}
        nearest = rank(text, told)
        best, second = nearest[0], nearest[1]
        if self._asker.catalog.is_small(params.llm) and best[1] > second[1]:
            sure = round(best[1] / (best[1] + second[1]), 4)
            why = "its words are nearest to the examples of this class"
            return {"option": best[0], "confidence": sure, "reasoning": why}
        form = class_form([name for name, _ in nearest])
        answer = await asked(self._asker, ref, params, class_prompt(pages, options, form))
        async with self._database.transaction() as connection:
            cost = Cost(usd=answer.usd, input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)
            await job_store.add_progress(connection, ref, Progress(), cost=cost)
            await add_warnings(connection, ref, cut_warnings(params.llm, pages, SMALL_CHARACTERS))
        data = answer.data
        return {
            "option": data["option"],
            "confidence": data.get("confidence", 0.5),
            "reasoning": data.get("reasoning", ""),
        }

    async def _job(self, ref: JobRef) -> tuple[ExtractParams, Extraction]:
        async with self._database.transaction() as connection:
            job = await open_run(connection, ref)
        return ExtractParams.model_validate(job.params), await get_extraction(
            self._database, ref.organization, ref.job_id
        )


def _left_out(message: str) -> JobWarning:
    return JobWarning(code=ErrorCode.PAGES_LEFT_OUT, message=message)


def _chosen(wanted: Sequence[int] | None, count: int) -> list[int]:
    if wanted is None:
        return list(range(1, count + 1))
    beyond = [page for page in wanted if page > count]
    if beyond:
        raise JobFaultError(
            f"pageRange: the document has {count} pages, not {beyond[0]}", code=ErrorCode.PAGE_OUT_OF_RANGE
        )
    return sorted(set(wanted))


def _shares(pages: Sequence[int], most: int) -> list[list[int]]:
    size = min(max(math.ceil(len(pages) / SHARES_A_JOB), 1), most)
    return [list(pages[at : at + size]) for at in range(0, len(pages), size)]
