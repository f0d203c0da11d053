"""Fields of a document: by its own layout first, then by a model, each value with its place and how sure it is."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

from towpath.core.errors import ErrorCode, JobFaultError, ModelError, TowpathError
from towpath.documents.types import PageContent
from towpath.extraction.domain.asking import (
    PART_CHARACTERS,
    PART_IMAGES,
    SMALL_CHARACTERS,
    SMALL_TEXT,
    fields_prompt,
    parts_of,
)
from towpath.extraction.domain.fields import fields_of
from towpath.extraction.domain.grounding import AGREED, is_said, place_of
from towpath.extraction.domain.matching import Found, match_fields
from towpath.extraction.domain.shapes import asked_form, merged, missing_required, without_nulls
from towpath.extraction.domain.values import resolved, type_of
from towpath.extraction.fetching import Documents
from towpath.extraction.types import Extracted, Extraction, ExtractParams, FieldSource
from towpath.jobs.types import JobRef, JobWarning
from towpath.llm.paid import Asker
from towpath.llm.types import Answer, ImagePart, Prompt

IMAGE_PIXELS = 1_600_000
SCALARS = frozenset({"string", "integer", "number"})


class Extractor:
    """Takes the fields of one job's schema out of its document.

    Args:
        asker: The language models.
        documents: For pictures of pages.
        ref: The job.
        params: What it was asked for.
        extraction: What its document is.
    """

    def __init__(
        self, asker: Asker, documents: Documents, ref: JobRef, params: ExtractParams, extraction: Extraction
    ) -> None:
        self._asker = asker
        self._documents = documents
        self._ref = ref
        self._params = params
        self._extraction = extraction
        self._schema = params.schema_ or {}
        self.spent = Answer(data={})
        self.warnings: list[JobWarning] = []

    async def extract(self, pages: Sequence[PageContent]) -> Extracted:
        """The fields, each with where it stands and how sure it is.

        Raises:
            ModelError: The model does not answer now.
            JobFaultError: It gives no usable answer.
        """
        self.warnings = []
        found = await asyncio.to_thread(_matched, self._schema, pages)
        if self._asker.catalog.is_small(self._params.llm):
            told = await self._small(pages, found)
        else:
            told = await self._asked(pages)
        settled, sources = self._settled(told, found, pages)
        data = without_nulls(settled, self._schema, self._schema)
        for name in missing_required(data, self._schema, self._schema):
            told_so = f"the required field {name} was not found in the document"
            self.warnings.append(JobWarning(code=ErrorCode.REQUIRED_MISSING, message=told_so, item=name))
        return Extracted(
            data=data,
            sources=sources,
            input_tokens=self.spent.input_tokens,
            output_tokens=self.spent.output_tokens,
        )

    def _settled(
        self, told: dict[str, Any], found: dict[str, Found], pages: Sequence[PageContent]
    ) -> tuple[dict[str, Any], dict[str, FieldSource]]:
        properties = resolved(self._schema, self._schema)["properties"]
        data: dict[str, Any] = {}
        sources: dict[str, FieldSource] = {}
        for name in properties:
            value, seen = told.get(name), found.get(name)
            if value is None and seen is None:
                sources[name] = FieldSource(confidence=0.0)
                continue
            if value is None or (seen is not None and seen.value == value):
                assert seen is not None
                sure = seen.confidence if value is None else max(seen.confidence, AGREED)
                data[name] = seen.value
                sources[name] = FieldSource(confidence=round(sure, 4), page=seen.page, boxes=list(seen.boxes))
            else:
                data[name], sources[name] = value, place_of(value, pages)
        return data, sources

    async def _small(self, pages: Sequence[PageContent], found: dict[str, Found]) -> dict[str, Any]:
        """What the layout does not say, a small model is asked for; what it says counts if the document says it too."""
        properties = resolved(self._schema, self._schema)["properties"]
        missing = [
            name
            for name, told in properties.items()
            if name not in found and type_of(resolved(told, self._schema)) in SCALARS
        ]
        if not missing or not pages:
            return {}
        form = asked_form(self._schema, missing)
        for told in form["properties"].values():
            if "string" in told.get("type", ()):
                told["maxLength"] = SMALL_TEXT
        first = next(parts_of(pages, characters=SMALL_CHARACTERS))
        prompt = fields_prompt(first, form, characters=SMALL_CHARACTERS, attempt=self._ref.attempt)
        model, names = self._params.llm, ", ".join(missing)
        try:
            answer = await self._ask(prompt.model_copy(update={"most_tokens": 500}))
        except ModelError as error:
            if error.retryable:
                raise
            # It is asked for what is left over; without it the fields that the layout tells are still right.
            told_so = (
                f"{model} was asked for {names} and gave no answer; what is there, the layout says: {error.detail}"
            )
            self.warnings.append(JobWarning(code=error.code, message=told_so))
            return {}
        if len(first) < len(pages):
            told_so = f"{model} was asked for {names} by {_pages(first)} of the {len(pages)}"
            self.warnings.append(JobWarning(code=ErrorCode.PAGES_LEFT_OUT, message=told_so))
        self._warn_of_cut(first, SMALL_CHARACTERS)
        return {name: value for name, value in answer.items() if value is not None and is_said(value, pages)}

    async def _asked(self, pages: Sequence[PageContent]) -> dict[str, Any]:
        by_page = list(self._params.options.extract_per_page)
        names = [name for name in resolved(self._schema, self._schema)["properties"] if name not in by_page]
        told: dict[str, Any] = {}
        if names:
            told = await self._over([list(part) for part in self._parts(pages)], names)
        if by_page:
            told |= await self._over([[page] for page in pages], by_page)
        return told

    def _parts(self, pages: Sequence[PageContent]) -> list[list[PageContent]]:
        options = self._params.options
        parts = list(parts_of(pages))
        if not (options.direct_image_extraction or options.enable_hybrid_extraction):
            return parts
        return [part[at : at + PART_IMAGES] for part in parts for at in range(0, len(part), PART_IMAGES)]

    async def _over(self, parts: Sequence[Sequence[PageContent]], names: Sequence[str]) -> dict[str, Any]:
        form = asked_form(self._schema, names)
        told: dict[str, Any] = {}
        options = self._params.options
        seeing = options.direct_image_extraction or options.enable_hybrid_extraction
        for part in parts:
            if not options.direct_image_extraction:
                self._warn_of_cut(part, PART_CHARACTERS)
            images = await self._pictures(part) if seeing else []
            prompt = fields_prompt(
                part,
                form,
                images=images,
                text=not options.direct_image_extraction,
                attempt=self._ref.attempt,
            )
            try:
                told = merged(told, await self._ask(prompt))
            except ModelError as error:
                raise unanswered(error) from error
        return told

    def _warn_of_cut(self, pages: Sequence[PageContent], most: int) -> None:
        self.warnings += cut_warnings(self._params.llm, pages, most)

    async def _pictures(self, pages: Sequence[PageContent]) -> list[ImagePart]:
        kind, sha = self._extraction.kind, self._extraction.sha256
        assert kind is not None
        assert sha is not None
        path = await self._documents.path_of(self._ref.organization, sha)
        found = []
        for page in pages:
            data = await self._documents.reader.render_page(
                path, kind, page.page, most_pixels=IMAGE_PIXELS, media="image/jpeg"
            )
            found.append(ImagePart(media_type="image/jpeg", base64=base64.b64encode(data).decode()))
        return found

    async def _ask(self, prompt: Prompt) -> dict[str, Any]:
        bypass = self._params.options.bypass_cache
        answer = await self._asker.ask(self._ref, self._params.llm, prompt, bypass=bypass)
        self.spent.usd += answer.usd
        self.spent.input_tokens += answer.input_tokens
        self.spent.output_tokens += answer.output_tokens
        return answer.data


async def asked(asker: Asker, ref: JobRef, params: ExtractParams, prompt: Prompt) -> Answer:
    """Ask the job's model, once for each question.

    Raises:
        ModelError: It does not answer now; the activity is tried again.
        JobFaultError: It gives no usable answer.
    """
    try:
        return await asker.ask(ref, params.llm, prompt, bypass=params.options.bypass_cache)
    except ModelError as error:
        raise unanswered(error) from error


def unanswered(error: ModelError) -> TowpathError:
    """What to raise where a job cannot do without its model's answer."""
    return error if error.retryable else JobFaultError(error.detail, code=ErrorCode.MODEL_ERROR)


def cut_warnings(model: str, pages: Sequence[PageContent], most: int) -> list[JobWarning]:
    """A warning for each page of which a model is shown the beginning only."""
    return [
        JobWarning(
            code=ErrorCode.SOURCE_TRUNCATED,
            message=f"{model} was shown the first {most:,} of the {len(page.content):,} characters of page {page.page}",
            item=f"page {page.page}",
        )
        for page in pages
        if len(page.content) > most
    ]


def _pages(pages: Sequence[PageContent]) -> str:
    first, last = pages[0].page, pages[-1].page
    return f"page {first}" if first == last else f"pages {first} to {last}"


def _matched(schema: dict[str, Any], pages: Sequence[PageContent]) -> dict[str, Found]:
    return match_fields(schema, [fields_of(page) for page in pages])
