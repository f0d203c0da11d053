"""Starts of extraction and classification jobs: checked before anything is spent or kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, ErrorCode, NotFoundError, TooLargeError, TowpathError
from towpath.core.json_values import write_json
from towpath.db.engine import Connection, Database
from towpath.documents.files import copy_to_disk
from towpath.documents.kinds import HEAD_BYTES, detect_kind
from towpath.documents.store.blobs import add_blob
from towpath.documents.types import DocumentKind
from towpath.extraction.domain.shapes import check_schema
from towpath.extraction.service.parts import ExtractionParts
from towpath.extraction.store.catalog import get_template
from towpath.extraction.store.jobs import create_extraction
from towpath.extraction.types import (
    EXTRACTION,
    ClassificationOption,
    DocumentRef,
    ExtractBody,
    Extraction,
    ExtractOptions,
    ExtractParams,
    make_extract_id,
)
from towpath.jobs.patience import utc_now
from towpath.jobs.store.jobs import lock_job
from towpath.jobs.store.tables import JobRow
from towpath.llm.batches.choice import choose_execution
from towpath.llm.batches.types import Execution
from towpath.llm.types import LOCAL_PROVIDER, split_key
from towpath.net.urls import document_shown, show_endpoint
from towpath.secrets.urls import seal_document, shown_url
from towpath.secrets.vault import Vault
from towpath.webhooks.store.endpoints import add_job_endpoint, get_endpoint
from towpath.webhooks.types import JobEndpoint

MAX_METADATA_BYTES = 16 << 10
PIECE = 1 << 20
COUNTED_KINDS = frozenset({DocumentKind.PDF, DocumentKind.TIFF})
"""Kinds whose pages are counted in no time."""
DOCUMENT_URLS = ("url", "documentUrl", "document_url")
RECEIVER_URLS = ("webhookUrl", "webhook_url")
SECRET_FIELDS = frozenset({"webhookSigningSecret", "webhook_signing_secret"})


@dataclass(frozen=True, slots=True)
class ExtractionDraft:
    """A job that has passed all checks and is not stored yet."""

    job: JobRow
    extraction: Extraction


class UploadedFile(Protocol):
    """A file that a request has brought."""

    file: BinaryIO

    async def read(self, size: int = -1) -> bytes:
        """Read the next bytes."""
        ...

    async def seek(self, offset: int) -> None:
        """Move to a place."""
        ...


async def store_upload(
    parts: ExtractionParts, organization: str, upload: UploadedFile, *, name: str, media_type: str | None
) -> DocumentRef:
    """Store a file with what can be found out about it at once.

    Args:
        parts: The façade's parts.
        organization: Whose file.
        upload: The file.
        name: What it is called.
        media_type: What its sender says that it is.

    Raises:
        BadInputError: A kind of file that is not read; nothing of it is kept.
        TooLargeError: It has more bytes or pages than are read.
    """
    kind = detect_kind(name, media_type, await upload.read(HEAD_BYTES))
    await upload.seek(0)
    pages = await _count_pages(parts, upload.file, kind) if kind in COUNTED_KINDS else None
    await upload.seek(0)

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await upload.read(PIECE):
            yield piece

    blob = await add_blob(parts.database, organization, pieces(), most_bytes=parts.document_max_bytes, name=name)
    return DocumentRef(
        file_name=name, media_type=media_type, size=blob.size, sha256=blob.sha256.hex(), kind=kind, pages=pages
    )


async def _count_pages(parts: ExtractionParts, file: BinaryIO, kind: DocumentKind) -> int | None:
    """Count the pages of a file; None: it cannot be read, which is for its job to say.

    Raises:
        TooLargeError: It has more than are read.
    """
    async with copy_to_disk(file) as path:
        try:
            return (await parts.reader.describe(path, kind)).pages
        except TooLargeError:
            raise
        except TowpathError:
            return None


async def merge_settings(database: Database, organization: str, body: ExtractBody) -> tuple[ExtractOptions, Any]:
    """Merge the options and the schema of a start: a template's, with what the request says over them.

    Raises:
        BadInputError: No such template.
    """
    options = body.model_dump(exclude_unset=True, include=set(ExtractOptions.model_fields))
    schema = body.schema_
    if body.template_id is not None:
        try:
            template = await get_template(database, organization, body.template_id)
        except NotFoundError as error:
            raise BadInputError(f"templateId: {error.detail}", field="templateId") from error
        of_template = ExtractOptions.model_validate(template.options).model_dump(exclude_unset=True)
        options = {**of_template, **options}
        schema = schema if schema is not None else template.schema
    return ExtractOptions.model_validate(options), schema


async def check_start(
    parts: ExtractionParts,
    organization: str,
    body: ExtractBody,
    document: DocumentRef | None,
    *,
    is_waited_for: bool = False,
    deadline: datetime | None = None,
) -> ExtractParams:
    """Check everything of a start that can be refused at once.

    Args:
        parts: The façade's parts.
        organization: Whose document.
        body: What is asked for.
        document: The file that came with it; None: there was none.
        is_waited_for: Whether its end is waited for, so that no person can be.
        deadline: Until when the job may run.

    Returns:
        The parameters of its job.

    Raises:
        BadInputError: With the field's name.
    """
    if (body.url is None) == (document is None):
        raise BadInputError(
            "one of file and url is needed" if body.url is None else "file and url: only one", field="url"
        )
    options, schema = await merge_settings(parts.database, organization, body)
    if schema is not None:
        await parts.checks.run(organization, check_schema, schema)
    llm = parts.catalog.choose(options.llm, default=parts.default_llm)
    _assert_sees(llm, options)
    unknown = set(options.extract_per_page) - set((schema or {}).get("properties", {}))
    if unknown:
        raise BadInputError(f"extractPerPage: the schema has no property {min(unknown)}", field="extractPerPage")
    _assert_pages(options, None if document is None else document.pages)
    _assert_small(body.metadata)
    if body.webhook_id is not None:
        try:
            await get_endpoint(parts.database, organization, body.webhook_id)
        except NotFoundError as error:
            raise BadInputError(f"webhookId: {error.detail}", field="webhookId") from error
    if document is None:
        document = await _check_url(parts, body.url or "")
    if is_waited_for and options.hold_for_review:
        raise BadInputError("holdForReview: nobody can wait for a person here", field="holdForReview")
    if is_waited_for and options.execution is Execution.BATCH:
        raise BadInputError("execution: batch takes hours, and here its end is waited for", field="execution")
    # Where the end is waited for, no deadline is far enough.
    until = None if is_waited_for else deadline
    execution = choose_execution(parts.catalog, options.execution, [llm], until, utc_now())
    return ExtractParams(document=document, options=options, schema=schema, llm=llm, execution=execution)


def _assert_small(metadata: dict[str, Any] | None) -> None:
    if metadata is not None and len(write_json(metadata)) > MAX_METADATA_BYTES:
        raise BadInputError(f"metadata is larger than {MAX_METADATA_BYTES} bytes", field="metadata")


def _assert_sees(llm: str, options: ExtractOptions) -> None:
    """Refuse pictures of pages for a model that cannot look at them."""
    needs_sight = options.direct_image_extraction or options.enable_hybrid_extraction
    if needs_sight and split_key(llm)[0] == LOCAL_PROVIDER:
        field = "directImageExtraction" if options.direct_image_extraction else "enableHybridExtraction"
        raise BadInputError(f"{field} needs a model that sees; {llm} does not", field=field)


async def _check_url(parts: ExtractionParts, url: str) -> DocumentRef:
    """Refuse an address that no document is fetched from, and name the document that is there."""
    try:
        await parts.fetcher.check(url)
    except BadInputError as error:
        raise BadInputError(f"url: {error.detail}", code=error.code, field="url") from error
    return _document_at(parts.vault, url)


def _assert_pages(options: ExtractOptions, pages: int | None) -> None:
    beyond = max(options.page_range or [0])
    if pages is not None and beyond > pages:
        detail = f"pageRange: the document has {pages} pages, not {beyond}"
        raise BadInputError(detail, code=ErrorCode.PAGE_OUT_OF_RANGE, field="pageRange")


def _document_at(vault: Vault, url: str) -> DocumentRef:
    """Name a document that is still at its URL; what the URL proves its right by is sealed.

    Raises:
        UnavailableError: It has a query, and no key is set to seal it with.
    """
    return DocumentRef(url=seal_document(vault, url), file_name=_file_name_in(url))


def _file_name_in(url: str) -> str:
    """Take the file name out of a URL."""
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1])[:255] or "document"


def _show_request(members: Mapping[str, Any], document: DocumentRef) -> dict[str, Any]:
    """Make a request as it is shown: credentials blanked, a file by its name, size and digest."""
    shown_members = {name: value for name, value in members.items() if name not in SECRET_FIELDS and name != "file"}
    for names, shown in ((DOCUMENT_URLS, document_shown), (RECEIVER_URLS, show_endpoint)):
        shown_members |= {
            name: shown(shown_members[name]) for name in names if isinstance(shown_members.get(name), str)
        }
    if document.sha256 is not None:
        shown_members["file"] = {"fileName": document.file_name, "sizeBytes": document.size, "sha256": document.sha256}
    return shown_members


async def check_classification(
    parts: ExtractionParts,
    organization: str,
    body: ExtractBody,
    document: DocumentRef | None,
    options: list[dict[str, Any]],
    *,
    deadline: datetime | None = None,
) -> ExtractParams:
    """Check the start of a classification.

    Args:
        parts: The façade's parts.
        organization: Whose document.
        body: What is asked for.
        document: The file that came with it; None: there was none.
        options: The classes to choose among.
        deadline: Until when the job may run.

    Returns:
        The parameters of its job.

    Raises:
        BadInputError: With the field's name.
    """
    params = await check_start(parts, organization, body, document, deadline=deadline)
    choices = [ClassificationOption.model_validate(option) for option in options]
    llm = parts.catalog.choose(None, default=parts.default_llm)
    execution = choose_execution(parts.catalog, body.execution, [llm], deadline, utc_now())
    return ExtractParams(
        document=params.document, options=ExtractOptions(), choices=choices, llm=llm, schema=None, execution=execution
    )


def draft_job(
    parts: ExtractionParts,
    caller: Principal,
    params: ExtractParams,
    request: Mapping[str, Any],
    *,
    kind: str = EXTRACTION,
    metadata: dict[str, Any] | None = None,
    template_id: UUID | None = None,
) -> ExtractionDraft:
    """Make the job of a start.

    Args:
        parts: The façade's parts.
        caller: Who starts it.
        params: What is asked for.
        request: The members of the request, of which those that may be shown are stored.
        kind: Extraction or classification.
        metadata: What the caller keeps with it.
        template_id: The template that it was started with.
    """
    document = params.document
    job = JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=kind,
        params=params.model_dump(mode="json", by_alias=True),
        created_by=caller.key_id,
        window_size=1 if params.options.maintain_format else parts.window,
    )
    extraction = Extraction(
        job_id=job.id,
        extract_id=make_extract_id(job.id),
        file_name=document.file_name,
        document_url=None if document.url is None else shown_url(document.url, document_shown),
        sha256=document.sha256,
        size=document.size,
        request=_show_request(request, document),
        metadata=metadata,
        extracted=None,
        template_id=template_id,
    )
    return ExtractionDraft(job, extraction)


async def accept_job(
    connection: Connection, draft: ExtractionDraft, target: JobEndpoint | None, *, max_jobs: int
) -> JobRow:
    """Store a job with its document and where its end is announced, in the caller's transaction.

    Raises:
        LimitReachedError: The organization has as many jobs as it may.
    """
    job = draft.job
    await create_extraction(connection, job, draft.extraction, max_jobs=max_jobs)
    if target is not None:
        await add_job_endpoint(connection, job.id, target)
    return await lock_job(connection, job.organization, job.id)
