"""Extracts the fields of a document: by its own layout first, then by a model.

Each value comes with its place and with how sure it is.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

from towpath.core.errors import AnswerAwaitedError, ErrorCode, JobFaultError, ModelError, TowpathError
from towpath.core.usage import Usage
from towpath.documents.types import PageContent
from towpath.extraction.domain.asking import (
    PART_CHARACTERS,
    PART_IMAGES,
    SMALL_CHARACTERS,
    SMALL_TEXT,
    build_fields_prompt,
    split_pages,
)
from towpath.extraction.domain.fields import read_fields
from towpath.extraction.domain.grounding import AGREED, find_source, is_said
from towpath.extraction.domain.matching import FieldMatch, match_fields
from towpath.extraction.domain.shapes import build_answer_schema, drop_nulls, find_missing, merge_answers
from towpath.extraction.domain.values import get_type, resolve_schema
from towpath.extraction.service.document_cache import DocumentCache
from towpath.extraction.types import Extracted, ExtractParams, FieldSource, OpenedDocument
from towpath.jobs.types import JobRef, JobWarning
from towpath.llm.gateway import LlmGateway
from towpath.llm.types import Answer, ImagePart, Prompt, Purpose, Site

IMAGE_PIXELS = 1_600_000
SCALARS = frozenset({"string", "integer", "number"})


class FieldExtractor:
    """Takes the fields of one job's schema out of its document.

    Args:
        llm_gateway: The language models.
        documents: For pictures of pages.
        ref: The job.
        params: What it was asked for.
        opened: Its document.
    """

    def __init__(
        self,
        llm_gateway: LlmGateway,
        documents: DocumentCache,
        ref: JobRef,
        params: ExtractParams,
        opened: OpenedDocument,
    ) -> None:
        self._llm_gateway = llm_gateway
        self._documents = documents
        self._ref = ref
        self._params = params
        self._opened = opened
        self._schema = params.schema_ or {}
        self.spent = Usage()
        self._questions = 0
        self.warnings: list[JobWarning] = []

    async def extract(self, pages: Sequence[PageContent]) -> Extracted:
        """Extract the fields, each with where it stands and how sure it is.

        Raises:
            ModelError: The model does not answer now.
            JobFaultError: It gives no usable answer.
        """
        self.warnings = []
        matches = await asyncio.to_thread(_match_layout, self._schema, pages)
        if self._llm_gateway.catalog.is_small(self._params.llm):
            answers = await self._ask_small_model(pages, matches)
        else:
            answers = await self._ask_model(pages)
        chosen, sources = self._combine(answers, matches, pages)
        data = drop_nulls(chosen, self._schema, self._schema)
        for name in find_missing(data, self._schema, self._schema):
            message = f"the required field {name} was not found in the document"
            self.warnings.append(JobWarning(code=ErrorCode.REQUIRED_MISSING, message=message, item=name))
        return Extracted(
            data=data,
            sources=sources,
            input_tokens=self.spent.input_tokens,
            output_tokens=self.spent.output_tokens,
        )

    def _combine(
        self, answers: dict[str, Any], matches: dict[str, FieldMatch], pages: Sequence[PageContent]
    ) -> tuple[dict[str, Any], dict[str, FieldSource]]:
        """Choose the value of each field: the model's where it gave one, else that of the layout."""
        properties = resolve_schema(self._schema, self._schema)["properties"]
        data: dict[str, Any] = {}
        sources: dict[str, FieldSource] = {}
        for name in properties:
            answer, match = answers.get(name), matches.get(name)
            if match is not None and (answer is None or match.value == answer):
                confidence = match.confidence if answer is None else max(match.confidence, AGREED)
                data[name] = match.value
                sources[name] = FieldSource(confidence=round(confidence, 4), page=match.page, boxes=list(match.boxes))
            elif answer is not None:
                data[name], sources[name] = answer, find_source(answer, pages)
            else:
                sources[name] = FieldSource(confidence=0.0)
        return data, sources

    async def _ask_small_model(self, pages: Sequence[PageContent], matches: dict[str, FieldMatch]) -> dict[str, Any]:
        """Ask a small model for what the layout does not say; its answers count if the document says them too."""
        properties = resolve_schema(self._schema, self._schema)["properties"]
        missing = [
            name
            for name, definition in properties.items()
            if name not in matches and get_type(resolve_schema(definition, self._schema)) in SCALARS
        ]
        if not missing or not pages:
            return {}
        form = build_answer_schema(self._schema, missing)
        for definition in form["properties"].values():
            if "string" in definition.get("type", ()):
                definition["maxLength"] = SMALL_TEXT
        first = next(split_pages(pages, characters=SMALL_CHARACTERS))
        prompt = build_fields_prompt(first, form, characters=SMALL_CHARACTERS, attempt=self._ref.attempt)
        model, names = self._params.llm, ", ".join(missing)
        try:
            answer = await self._ask(prompt.model_copy(update={"most_tokens": 500}))
        except ModelError as error:
            if error.retryable:
                raise
            # It is asked for what is left over; without it the fields that the layout tells are still right.
            message = (
                f"{model} was asked for {names} and gave no answer; what is there, the layout says: {error.detail}"
            )
            self.warnings.append(JobWarning(code=error.code, message=message))
            return {}
        if len(first) < len(pages):
            message = f"{model} was asked for {names} by {_pages(first)} of the {len(pages)}"
            self.warnings.append(JobWarning(code=ErrorCode.PAGES_LEFT_OUT, message=message))
        self._warn_of_cut(first, SMALL_CHARACTERS)
        return {name: value for name, value in answer.items() if value is not None and is_said(value, pages)}

    async def _ask_model(self, pages: Sequence[PageContent]) -> dict[str, Any]:
        by_page = list(self._params.options.extract_per_page)
        names = [name for name in resolve_schema(self._schema, self._schema)["properties"] if name not in by_page]
        answers: dict[str, Any] = {}
        awaited: AnswerAwaitedError | None = None
        questions = [([list(part) for part in self._parts(pages)], names), ([[page] for page in pages], by_page)]
        for parts, of_parts in questions:
            if of_parts:
                try:
                    answers |= await self._ask_by_parts(parts, of_parts)
                except AnswerAwaitedError as error:
                    awaited = error
        if awaited is not None:
            raise awaited
        return answers

    def _parts(self, pages: Sequence[PageContent]) -> list[list[PageContent]]:
        options = self._params.options
        parts = list(split_pages(pages))
        if not (options.direct_image_extraction or options.enable_hybrid_extraction):
            return parts
        return [part[at : at + PART_IMAGES] for part in parts for at in range(0, len(part), PART_IMAGES)]

    async def _ask_by_parts(self, parts: Sequence[Sequence[PageContent]], names: Sequence[str]) -> dict[str, Any]:
        form = build_answer_schema(self._schema, names)
        answers: dict[str, Any] = {}
        awaited: AnswerAwaitedError | None = None
        options = self._params.options
        seeing = options.direct_image_extraction or options.enable_hybrid_extraction
        for part in parts:
            if not options.direct_image_extraction:
                self._warn_of_cut(part, PART_CHARACTERS)
            images = await self._pictures(part) if seeing else []
            prompt = build_fields_prompt(
                part,
                form,
                images=images,
                text=not options.direct_image_extraction,
                attempt=self._ref.attempt,
            )
            try:
                answers = merge_answers(answers, await self._ask(prompt))
            except ModelError as error:
                raise unanswered_error(error) from error
            except AnswerAwaitedError as error:
                # The other parts go into the same batch.
                awaited = error
        if awaited is not None:
            raise awaited
        return answers

    def _warn_of_cut(self, pages: Sequence[PageContent], max_characters: int) -> None:
        self.warnings += warn_of_cut_pages(self._params.llm, pages, max_characters)

    async def _pictures(self, pages: Sequence[PageContent]) -> list[ImagePart]:
        path = await self._documents.path_of(self._ref.organization, self._opened.sha256)
        images = []
        for page in pages:
            data = await self._documents.reader.render_page(
                path, self._opened.kind, page.page, most_pixels=IMAGE_PIXELS, media="image/jpeg"
            )
            images.append(ImagePart(media_type="image/jpeg", base64=base64.b64encode(data).decode()))
        return images

    async def _ask(self, prompt: Prompt) -> dict[str, Any]:
        bypass = self._params.options.bypass_cache
        site = Site(Purpose.EXTRACTION, self._questions)
        self._questions += 1
        try:
            answer = await self._llm_gateway.ask(self._ref, self._params.llm, prompt, site=site, bypass=bypass)
        except ModelError as error:
            self.spent += error.usage
            raise
        self.spent += answer.usage
        return answer.data


async def ask_model(llm_gateway: LlmGateway, ref: JobRef, params: ExtractParams, prompt: Prompt) -> Answer:
    """Ask the job's model, once for each question.

    Raises:
        ModelError: It does not answer now; the activity is tried again.
        JobFaultError: It gives no usable answer.
    """
    try:
        site = Site(Purpose.DOCUMENT_CLASS)
        return await llm_gateway.ask(ref, params.llm, prompt, site=site, bypass=params.options.bypass_cache)
    except ModelError as error:
        raise unanswered_error(error) from error


def unanswered_error(error: ModelError) -> TowpathError:
    """Return what to raise where a job cannot do without its model's answer."""
    return error if error.retryable else JobFaultError(error.detail, code=ErrorCode.MODEL_ERROR)


def warn_of_cut_pages(model: str, pages: Sequence[PageContent], max_characters: int) -> list[JobWarning]:
    """Warn of each page of which a model is shown the beginning only."""
    return [
        JobWarning(
            code=ErrorCode.SOURCE_TRUNCATED,
            message=(
                f"{model} was shown the first {max_characters:,} of the {len(page.content):,} characters"
                f" of page {page.page}"
            ),
            item=f"page {page.page}",
        )
        for page in pages
        if len(page.content) > max_characters
    ]


def _pages(pages: Sequence[PageContent]) -> str:
    first, last = pages[0].page, pages[-1].page
    return f"page {first}" if first == last else f"pages {first} to {last}"


def _match_layout(schema: dict[str, Any], pages: Sequence[PageContent]) -> dict[str, FieldMatch]:
    return match_fields(schema, [read_fields(page) for page in pages])
