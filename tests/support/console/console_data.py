"""What the console shows, put into the store: jobs in every state, a reviewed document, deliveries, entities."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from PIL import Image, ImageDraw, ImageFont

from towpath.core.errors import ErrorCode
from towpath.db.engine import Database
from towpath.documents.types import DocumentKind, PageBody, PageContent, ReadMethod, Word
from towpath.enrichment.types import BATCH_ENRICHMENT
from towpath.entities.types import ENTITY_BATCH
from towpath.extraction.store.jobs import begin_review, create_extraction, save_extracted, save_opened
from towpath.extraction.store.pages import compress_pages, save_pages, save_picture
from towpath.extraction.types import (
    EXTRACTION,
    DocumentRef,
    Extracted,
    Extraction,
    ExtractOptions,
    ExtractParams,
    FieldSource,
    OpenedDocument,
    make_extract_id,
)
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.control import mark_paused
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.staging import add_failures
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import (
    Cost,
    DeliveryRef,
    FailedItem,
    Finish,
    JobError,
    JobRef,
    JobState,
    PhaseChange,
    Progress,
)
from towpath.vectors.types import VECTOR_UPSERTION
from towpath.webhooks.store.deliveries import save_attempt
from towpath.webhooks.store.endpoints import add_job_endpoint
from towpath.webhooks.types import Attempt, AttemptOutcome, AttemptTask, DeliveryState, JobEndpoint

VARIANT = "v1"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["noteNumber", "pallets"],
    "properties": {
        "noteNumber": {"type": "string", "description": "As printed at the top."},
        "deliveredOn": {"type": "string", "format": "date"},
        "carrier": {"type": "string", "enum": ["Postal One", "Baltic Freight", "Alpen Express"]},
        "pallets": {"type": "integer", "minimum": 1},
        "weightKg": {"type": ["number", "null"]},
        "insured": {"type": "boolean"},
        "consignee": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "city": {"type": "string"}},
        },
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["article"],
                "properties": {
                    "article": {"type": "string"},
                    "quantity": {"type": "integer"},
                    "price": {"type": "number"},
                },
            },
        },
        "marks": {"type": "array", "items": {"type": "string"}},
        "extra": {"anyOf": [{"type": "string"}, {"type": "object"}]},
    },
}
DATA: dict[str, Any] = {
    "noteNumber": "88",
    "deliveredOn": "2026-04-11",
    "carrier": "Baltic Freight",
    "pallets": 4,
    "weightKg": 1250.5,
    "insured": True,
    "consignee": {"name": "Lamp Works", "city": "Ghent"},
    "lines": [
        {"article": "Desk lamp Orion", "quantity": 120, "price": 14.9},
        {"article": "Floor lamp Vega", "quantity": 36, "price": 59.0},
    ],
    "marks": ["fragile", "this side up"],
    "extra": {"seal": "NL-4471"},
}
TEXT: Sequence[tuple[float, float, str]] = (
    (0.10, 0.08, "Delivery note 88"),
    (0.10, 0.15, "Delivered on 11 April 2026"),
    (0.10, 0.19, "Carrier Baltic Freight"),
    (0.10, 0.23, "Pallets 4"),
    (0.10, 0.27, "Weight 1250.5 kg"),
    (0.60, 0.15, "Lamp Works"),
    (0.60, 0.18, "Canal street 12, Ghent"),
    (0.10, 0.38, "Desk lamp Orion"),
    (0.60, 0.38, "120"),
    (0.75, 0.38, "14.90"),
    (0.10, 0.42, "Floor lamp Vega"),
    (0.60, 0.42, "36"),
    (0.75, 0.42, "59.00"),
    (0.10, 0.80, "fragile, this side up"),
)
LETTER, LINE = 0.0125, 0.02


def words_of(lines: Sequence[tuple[float, float, str]] = TEXT) -> list[Word]:
    """Words of some lines, each with its box."""
    found = []
    for x, y, text in lines:
        at = x
        for word in text.split():
            found.append(Word(word, (at, y, at + LETTER * len(word), y + LINE)))
            at += LETTER * (len(word) + 1)
    return found


def box_of(text: str, page: int, sure: float, *, first: int = 0) -> FieldSource:
    """Where some words stand, one after the other."""
    found = words_of()
    wanted = text.split()
    names = [word.text for word in found]
    start = next(
        place for place in range(first, len(names)) if names[place : place + len(wanted)] == wanted
    )  # fmt: skip
    return FieldSource(confidence=sure, page=page, boxes=[one.box for one in found[start : start + len(wanted)]])


SOURCES = {
    "noteNumber": box_of("88", 1, 0.99),
    "deliveredOn": box_of("11 April 2026", 1, 0.93),
    "carrier": box_of("Baltic Freight", 1, 0.97),
    "pallets": box_of("4", 1, 0.71),
    "weightKg": box_of("1250.5", 1, 0.88),
    "insured": FieldSource(confidence=0.42),
    "consignee": box_of("Lamp Works", 1, 0.9),
    "lines": FieldSource(
        confidence=0.64, page=1, boxes=[*box_of("Desk lamp Orion", 1, 1).boxes, *box_of("Floor lamp Vega", 1, 1).boxes]
    ),
    "marks": box_of("fragile, this side up", 1, 0.95),
}


def picture(lines: Sequence[tuple[float, float, str]] = TEXT) -> bytes:
    """A page as a scan would show it: a JPEG with the words where they are said to be."""
    width, height = 1000, 1414
    image = Image.new("RGB", (width, height), "#fdfcf8")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=LINE * height * 0.8)
    for word in words_of(lines):
        x0, y0, x1, _ = word.box
        draw.text((x0 * width, y0 * height), word.text, fill="#222222", font=font)
        draw.line((x0 * width, (y0 + LINE) * height + 3, x1 * width, (y0 + LINE) * height + 3), fill="#e4e0d4")
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=80)
    return kept.getvalue()


def page_of(number: int, lines: Sequence[tuple[float, float, str]] = TEXT, **more: Any) -> PageContent:
    """A page that was read by sight."""
    values = {
        "page": number, "content": "\n".join(text for _, _, text in lines), "words": words_of(lines),
        "confidence": 0.9, "width": 1000, "height": 1414, "method": ReadMethod.OCR,
    }  # fmt: skip
    return PageContent.model_validate(values | more)


async def make_job(
    database: Database, tenant: str, kind: str = ENTITY_BATCH, *, target: str | None = None, **columns: Any
) -> JobRef:
    """A job that waits for a worker."""
    values: dict[str, Any] = {"params": {"index": "people"}, "total": 1000} | columns
    job = JobRow(id=uuid4(), organization=tenant, kind=kind, **values)
    async with database.transaction() as connection:
        await job_store.create_job(connection, job)
        if target is not None:
            await add_job_endpoint(connection, job.id, JobEndpoint(target))
    return JobRef(organization=tenant, kind=kind, job_id=job.id)


async def run(
    database: Database, ref: JobRef, *, done: int = 0, failed: int = 0, share: float = 0.0, phase: str = "match"
) -> None:
    """A worker has got so far."""
    await job_store.begin_job(database, ref)
    await job_store.enter_phase(database, PhaseChange(ref=ref, phase=phase))
    if not done + failed:
        return
    async with database.transaction() as connection:
        change = Progress(processed=done + failed, succeeded=done, failed=failed)
        cost = Cost(usd=0.0031, input_tokens=2100, output_tokens=180)
        await job_store.record_chunk(connection, ref, "chunk", change, fraction=share, phase=phase, cost=cost)


async def fail_items(database: Database, ref: JobRef, count: int) -> None:
    """Some items have failed."""
    told = "name is missing: the index people needs it"
    failures = [
        FailedItem(index=3 * number, id=f"LMP-{7000 + number}", stage="staging", code=ErrorCode.MISSING_FIELD,
                   message=told)
        for number in range(count)
    ]  # fmt: skip
    async with database.transaction() as connection:
        await add_failures(connection, ref.job_id, failures)


async def finish(
    database: Database, ref: JobRef, state: Any = JobState.COMPLETED, told: str | None = None, **more: Any
) -> None:
    """A run has ended."""
    error = None if told is None else JobError(code=ErrorCode.DEADLINE_EXCEEDED, message=told)
    await finish_job(database, Finish(ref=ref, state=state, error=error, **more))


async def of_every_state(database: Database, tenant: str) -> dict[str, JobRef]:
    """A job in each state."""
    made = {name: await make_job(database, tenant) for name in ("pending", "running", "paused", "complete", "failed")}
    await run(database, made["running"], done=417, failed=3, share=0.42)
    await fail_items(database, made["running"], 3)
    await run(database, made["paused"], done=120, share=0.12)
    async with database.transaction() as connection:
        job = await job_store.lock_job(connection, tenant, made["paused"].job_id)
        await mark_paused(connection, job, paused=True)
    await run(database, made["complete"], done=1000, share=0.99)
    await finish(database, made["complete"], result={"precision": 0.97, "recall": 0.91})
    await run(database, made["failed"], done=90, failed=0, share=0.09)
    await finish(database, made["failed"], JobState.FAILED, "the deadline passed before the job was through")
    made["cancelled"] = await make_job(
        database, tenant, VECTOR_UPSERTION, params={"collection": "default"}, total=40, external_id="import-7"
    )
    await finish(database, made["cancelled"], JobState.CANCELLED)
    made["retry"] = await make_job(database, tenant, BATCH_ENRICHMENT, params={"schema_name": "Lighting maker"})
    await run(database, made["retry"], done=5, share=0.1, phase="enrich")
    async with database.transaction() as connection:
        await connection.execute("UPDATE jobs SET retrying = true WHERE id = %s", (made["retry"].job_id,))
    return made


async def make_extraction(
    database: Database,
    tenant: str,
    *,
    name: str = "delivery-note.pdf",
    pages: Sequence[PageContent] | None = None,
    pictures: Sequence[int] = (1,),
    data: dict[str, Any] | None = DATA,
    schema: dict[str, Any] | None = SCHEMA,
    sources: dict[str, FieldSource] | None = None,
    review: bool = True,
    ended: bool = True,
) -> JobRef:
    """An extraction whose fields are there; by default its review waits."""
    digest = uuid4().bytes * 2
    found = list(pages) if pages is not None else [page_of(1)]
    document = DocumentRef(file_name=name, size=48_213, sha256=digest.hex(), kind=DocumentKind.PDF)
    params = ExtractParams(document=document, options=ExtractOptions(), schema=schema, llm="openai::gpt-4o")
    job = JobRow(id=uuid4(), organization=tenant, kind=EXTRACTION, params=params.model_dump(mode="json", by_alias=True))
    extraction = Extraction(
        job_id=job.id, extract_id=make_extract_id(job.id), file_name=name, document_url=None,
        sha256=digest.hex(), size=48_213, request={"schema": schema}, metadata=None, extracted=None,
    )  # fmt: skip
    ref = JobRef(organization=tenant, kind=EXTRACTION, job_id=job.id)
    numbers = [page.page for page in found]
    bodies = await compress_pages([PageBody.of(page.model_dump_json().encode()) for page in found])
    async with database.transaction() as connection:
        await create_extraction(connection, job, extraction)
        opened = OpenedDocument(
            kind=DocumentKind.PDF, sha256=digest.hex(), size=48_213, pages_total=len(found), pages=numbers,
            variant=VARIANT,
        )  # fmt: skip
        await save_opened(connection, job.id, opened)
        await save_pages(connection, tenant, digest, VARIANT, bodies)
    for number in pictures:
        await save_picture(database, tenant, digest, number, picture())
    await run(database, ref, done=len(found), share=0.9, phase="extract")
    async with database.transaction() as connection:
        if data is not None:
            known = SOURCES if sources is None else sources
            await save_extracted(connection, job.id, Extracted(data=data, sources=known))
        if review:
            await begin_review(connection, ref)
    if ended:
        await finish(database, ref)
    return ref


async def delivery_of(database: Database, ref: JobRef) -> DeliveryRef:
    """The notice of a job's end."""
    async with database.transaction() as connection:
        found = await connection.execute(
            "SELECT id FROM deliveries WHERE job_id = %s ORDER BY created_at", (ref.job_id,)
        )
        row = await found.fetchone()
    assert row is not None
    return DeliveryRef(organization=ref.organization, delivery_id=row[0])


async def tried(database: Database, ref: DeliveryRef, *answers: int | None, state: DeliveryState) -> None:
    """A notice was tried, with these answers."""
    for number, status in enumerate(answers):
        last = number == len(answers) - 1
        error = None if status == 200 else "the receiver answers 500" if status else "no connection"
        made = Attempt(
            at=datetime.now(UTC) - timedelta(minutes=10 - number), status=status, duration_ms=34, error=error
        )
        outcome = AttemptOutcome(state=state if last else DeliveryState.PENDING, wait=60.0)
        await save_attempt(database, AttemptTask(ref=ref, number=number), made, outcome)


async def review_of(database: Database, job_id: UUID) -> tuple[str | None, list[tuple[Any, ...]]]:
    """A job's review status, and what was decided."""
    async with database.transaction() as connection:
        found = await connection.execute("SELECT review_status FROM jobs WHERE id = %s", (job_id,))
        status = (await found.fetchone() or (None,))[0]
        notes = await connection.execute(
            "SELECT status, comment FROM reviews WHERE job_id = %s ORDER BY number", (job_id,)
        )
        return status, await notes.fetchall()
