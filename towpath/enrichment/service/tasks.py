"""The jobs around enrichment: schemas made and changed, domains asked again, records fused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from towpath.core.errors import BadInputError, ErrorCode, JobFaultError, ModelError
from towpath.db.engine import Database
from towpath.documents.sources import cut_sources
from towpath.enrichment.domain.content import Content
from towpath.enrichment.domain.drafts import MAX_WORDED, apply_wording, draft_schema, wording_prompt
from towpath.enrichment.domain.edits import SOURCE_CHARACTERS, Edit, apply_edits, edit_prompt, read_instruction
from towpath.enrichment.domain.runs import assemble_result, calls_to_repeat, record_id
from towpath.enrichment.domain.schema import read_content
from towpath.enrichment.expertise_calls import EnrichmentContext, ask_domain, cost_members
from towpath.enrichment.fusion_calls import fuse_results
from towpath.enrichment.params import EditParams, GenerationParams, MergeParams, RetryParams
from towpath.enrichment.pipeline import emit
from towpath.enrichment.records import call_usage, complete_record, fusion_record, fusion_view, result_of, result_view
from towpath.enrichment.service.refusion import fuse_anew
from towpath.enrichment.service.starts import samples_of
from towpath.enrichment.store.records import get_records, write_records
from towpath.enrichment.store.schemas import create_schema, get_schema, update_schema
from towpath.enrichment.store.tables import RecordRow
from towpath.enrichment.types import ExpertiseResult, LlmEvent, Plan, Strategy
from towpath.jobs.params import Params, load_params
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.events import append_events
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import JobRef, JobWarning, NewEvent
from towpath.llm.gateway import LlmGateway
from towpath.llm.types import Purpose, Site


class LlmTasks:
    """The jobs around enrichment that are one step each.

    Args:
        database: Jobs, schemas, records.
        llm_gateway: The language models.
    """

    def __init__(self, database: Database, llm_gateway: LlmGateway) -> None:
        self._database = database
        self._writer = llm_gateway.writer
        self._llm_gateway = llm_gateway

    async def generate_schema(self, ref: JobRef) -> dict[str, Any]:
        """Make a schema of samples: structure by code, wording by the model, or by code where none answers."""
        params = await self._params(ref, GenerationParams)
        body = params.body
        samples = samples_of(body)
        draft = draft_schema(samples, threshold=body.sample_commonality_threshold, name=body.name)
        model = params.model
        await self._emit(ref, LlmEvent.MODEL_STARTED, "started", {"model": model})
        wording, problem = await self._ask_wording(
            ref, model, draft, samples, body.language, instructions=body.extra_instructions
        )
        left_out = max(len(draft["root"]["properties"]) - MAX_WORDED, 0)
        if problem is None and left_out:
            message = f"a model words {MAX_WORDED} fields; the descriptions of {left_out} more are made of their names"
            await self._warn(ref, [JobWarning(code=ErrorCode.FIELDS_LEFT_OUT, message=message)])
        content = read_content(apply_wording(draft, wording, name=body.name))
        suggestions = [] if problem is None else [f"the descriptions are made of the names: {problem}"]
        schema_id: UUID | None = None
        if body.save_schema:
            row = await create_schema(
                self._database,
                ref.organization,
                name=content["root"]["name"],
                content=content,
                samples=samples,
                schema_id=record_id(ref.job_id, 0, "schema"),
            )
            schema_id = row.id
        return {"schema": content, "schema_id": schema_id and str(schema_id), "suggestions": suggestions}

    async def _ask_wording(
        self,
        ref: JobRef,
        model: str,
        draft: Content,
        samples: list[dict[str, Any]],
        language: str,
        *fields: str,
        instructions: str | None = None,
    ) -> tuple[dict[str, Any] | None, str | None]:
        prompt = wording_prompt(draft, samples, language=language, fields=fields or None, instructions=instructions)
        try:
            return await self._ask(ref, model, prompt, "wording"), None
        except ModelError as error:
            if error.retryable:
                raise
            message = f"the descriptions are made of the names: {error.detail}"
            await self._warn(ref, [JobWarning(code=error.code, message=message)])
            return None, error.detail

    async def _warn(self, ref: JobRef, warnings: list[JobWarning]) -> None:
        async with self._database.transaction() as connection:
            await add_warnings(connection, ref, warnings)

    async def edit_schema(self, ref: JobRef) -> dict[str, Any]:
        """Change a schema by an instruction, in place, as its next version."""
        params = await self._params(ref, EditParams)
        body = params.body
        schema_id, at_version, model = params.schema_id, params.version, params.model
        _, version = await get_schema(self._database, ref.organization, schema_id)
        if version.version != at_version:
            if version.note == str(ref.job_id):
                return _show_edit(schema_id, version.content, [])
            raise JobFaultError("the schema was changed meanwhile; nothing was overwritten", code=ErrorCode.CONFLICT)
        await self._emit(ref, LlmEvent.MODEL_STARTED, "started", {"model": model})
        edits = read_instruction(body.prompt)
        if edits is None:
            texts, _ = await self._llm_gateway.sources(ref.organization, body.attachment_ids or [])
            await self._warn(ref, cut_sources(texts, SOURCE_CHARACTERS))
            answer = await self._ask(ref, model, edit_prompt(version.content, body.prompt, texts), "edits")
            edits = [Edit.model_validate(edit) for edit in answer["edits"]]
        content, added, refused = apply_edits(version.content, edits)
        missing = [name for name in added if not any(e.description for e in edits if e.field == name)]
        if missing:
            wording, _ = await self._ask_wording(ref, model, content, version.entity_samples or [], "en", *missing)
            worded = apply_wording(content, {"fields": (wording or {}).get("fields")})
            content["root"]["properties"].update({name: worded["root"]["properties"][name] for name in missing})
        await update_schema(
            self._database,
            ref.organization,
            schema_id,
            content=content,
            note=str(ref.job_id),
            at_version=at_version,
        )
        return _show_edit(schema_id, content, refused)

    async def retry_domains(self, ref: JobRef) -> dict[str, Any]:
        """Ask once more for the domains of a record that failed; the record itself is completed."""
        params = await self._params(ref, RetryParams)
        plan, entity = params.plan, params.entity
        row = (await get_records(self._database, ref.organization, [params.record_id]))[0]
        model = plan.models[0]
        texts, images = await self._llm_gateway.sources(ref.organization, plan.attachment_ids)
        context = EnrichmentContext(self._database, self._writer, self._llm_gateway, ref, plan, texts, images)
        known = result_of(row).expertises
        # A domain may stand here twice: what it had, and what it is asked for now.
        parts = [part for part in known if part.success]
        # What was paid for an answer of no use stays paid when the domain is asked once more.
        failed = {part.key: part for part in known if not part.success}
        todo = calls_to_repeat(plan, entity, known)
        total = len(parts) + len(todo)
        started = time.monotonic()
        await self._emit(ref, LlmEvent.MODEL_STARTED, "started", {"model": model})
        for call in todo:
            part = await ask_domain(context, entity, model, call, beside=todo)
            earlier = [failed.pop(part.key)] if part.key in failed else []
            if call is todo[-1]:
                earlier += failed.values()
            parts.append(_add_costs(part, earlier))
            data = {
                "model": model,
                "expertise_key": part.key,
                "expertise_name": part.name,
                "expertise_result": part.result,
                "completed_expertises": len(parts),
                "total_expertises": total,
                "success": part.success,
                **call_usage(part),
            }
            await self._emit(ref, LlmEvent.EXPERTISE_COMPLETED, part.key, data)
        milliseconds = row.processing_time_ms + int((time.monotonic() - started) * 1000)
        result = assemble_result(plan, entity, model, parts, record=row.id, milliseconds=milliseconds)
        complete_record(row, result)
        event = NewEvent(type=LlmEvent.MODEL_COMPLETED, key="completed", data=result_view(result))
        async with self._database.transaction() as connection:
            if await append_events(connection, ref, [event]):
                await write_records(connection, [row])
                await add_warnings(connection, ref, [_warning_of(part) for part in parts if not part.success])
        fused = await fuse_anew(self._database, self._writer, self._llm_gateway, ref, plan, row)
        return {**result_view(result), **({} if fused is None else {"fusion": fused})}

    async def merge_records(self, ref: JobRef) -> dict[str, Any]:
        """Fuse records of one schema into a new one."""
        params = await self._params(ref, MergeParams)
        body = params.body
        rows = await get_records(self._database, ref.organization, body.result_ids)
        content = rows[0].schema_content
        started = time.monotonic()
        sources = {
            "arbitration_model": body.arbitration_model,
            "source_record_ids": [str(row.id) for row in rows],
        }
        await self._emit(ref, LlmEvent.FUSION_STARTED, "fusion_started", sources)

        async def emit_fusion(kind: LlmEvent, data: dict[str, Any]) -> None:
            await self._emit(ref, kind, kind, data)

        fused, warnings = await fuse_results(
            self._llm_gateway,
            ref,
            content,
            rows[0].entity_input_data or {},
            results_by_name(rows),
            emit_fusion,
            arbiter=body.arbitration_model,
        )
        milliseconds = int((time.monotonic() - started) * 1000)
        plan = Plan(
            content=content,
            schema_id=rows[0].schema_id,
            schema_version=rows[0].schema_version,
            models=[],
            strategy=Strategy.SINGLE_PASS,
            languages=rows[0].languages,
        )
        record = record_id(ref.job_id, 0, "fusion")
        row = fusion_record(
            ref,
            plan,
            0,
            rows[0].entity_input_data or {},
            fused,
            record=record,
            sources=[source.id for source in rows],
            milliseconds=milliseconds,
        )
        answer = fusion_view(fused, record, milliseconds)
        event = NewEvent(type=LlmEvent.FUSION_COMPLETED, key="fused", data=answer)
        async with self._database.transaction() as connection:
            if await append_events(connection, ref, [event]):
                await write_records(connection, [row])
                await add_warnings(connection, ref, warnings)
        return answer

    async def _params(self, ref: JobRef, model: type[Params]) -> Params:
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            return await load_params(connection, ref, model)

    async def _emit(self, ref: JobRef, kind: LlmEvent, key: str, data: dict[str, Any]) -> None:
        await emit(self._writer, ref, [NewEvent(type=kind, key=f"{kind}:{key}", data=data)])

    async def _ask(self, ref: JobRef, model: str, prompt: Any, key: str) -> dict[str, Any]:
        """Ask a model, and tell by an event what it was paid, whether it has answered or not."""
        data: dict[str, Any] = {"model": model, "success": True, "step": key, "error_message": None}
        try:
            answer = await self._llm_gateway.ask(ref, model, prompt, site=Site(Purpose.SCHEMA))
        except ModelError as error:
            if not error.retryable:
                data |= {"success": False, "error_message": error.detail, **cost_members(error.usage)}
                await self._tell(ref, key, data)
            raise
        await self._tell(ref, key, {**data, **cost_members(answer.usage)})
        return answer.data

    async def _tell(self, ref: JobRef, key: str, data: dict[str, Any]) -> None:
        event = NewEvent(type=LlmEvent.MODEL_COMPLETED, key=f"answered:{key}", data=data)
        async with self._database.transaction() as connection:
            await append_events(connection, ref, [event])


def results_by_name(rows: list[RecordRow]) -> dict[str, dict[str, Any]]:
    """Return results by model; several of one model, or fusions, get a number behind the name."""
    results: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.structured_output is None:
            raise BadInputError(f"the record {row.id} has no result", field="result_ids")
        name = base = row.model_composite_key or "fusion"
        number = 1
        while name in results:
            number += 1
            name = f"{base}#{number}"
        results[name] = row.structured_output
    return results


def _add_costs(part: ExpertiseResult, earlier: Sequence[ExpertiseResult]) -> ExpertiseResult:
    """Return a call with what earlier ones for the same fields were paid as well."""
    calls = [part, *earlier]
    cost = {
        "cost_usd": sum(call.cost_usd for call in calls),
        "input_tokens": sum(call.input_tokens for call in calls),
        "output_tokens": sum(call.output_tokens for call in calls),
    }
    return part.model_copy(update=cost)


def _warning_of(part: ExpertiseResult) -> JobWarning:
    message = f"it failed again: {part.error_message}"
    return JobWarning(code=part.code or ErrorCode.ENRICHMENT_FAILED, message=message, item=part.name)


def _show_edit(schema_id: UUID, content: Content, refused: list[str]) -> dict[str, Any]:
    return {"schema_id": str(schema_id), "schema_content": content, "suggestions": refused}
