"""One entity through its models, step by step; every step is stored, with its event, before the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from towpath.core.errors import AnswerAwaitedError, CostLimitError, ErrorCode, ModelError
from towpath.core.usage import Usage
from towpath.db.engine import Connection
from towpath.enrichment.domain.content import entity_label
from towpath.enrichment.domain.known import find_known
from towpath.enrichment.domain.prompts import classification_prompt, note_of
from towpath.enrichment.domain.runs import DomainCall, assemble_result, call_key, calls_of, merge_parts, record_id
from towpath.enrichment.domain.waterfall import find_open_fields, plan_rounds
from towpath.enrichment.expertise_calls import EnrichmentContext, ask_domain, cost_members
from towpath.enrichment.fusion_calls import fuse_results
from towpath.enrichment.records import (
    call_usage,
    enrichment_record,
    fusion_record,
    fusion_view,
    result_of,
    result_view,
    show_call,
)
from towpath.enrichment.store.records import load_job_records, write_records
from towpath.enrichment.types import (
    MIN_SKIP_CONFIDENCE,
    Classification,
    ClassificationStatus,
    ExpertiseResult,
    Fusion,
    LlmEvent,
    ModelResult,
    ModelStrategy,
    Verdict,
)
from towpath.jobs.domain import Outcome
from towpath.jobs.store.event_log import find_event, find_written_keys
from towpath.jobs.store.events import append_events
from towpath.jobs.store.jobs import add_progress
from towpath.jobs.store.staging import add_failures, settle_item
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import FailedItem, JobRef, JobWarning, NewEvent, Progress
from towpath.llm.types import Purpose, Site

Result = TypeVar("Result")


@dataclass(slots=True)
class EntityEnrichment:
    """One entity.

    Args:
        context: What all entities of the chunk share.
        page: The staged page.
        place: The entity's place in it.
        index: Its place in the request.
        entity: The known facts.
    """

    context: EnrichmentContext
    page: int
    place: int
    index: int
    entity: dict[str, Any]
    results: dict[str, ModelResult] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    last_error: str | None = None
    note: str | None = None
    check_usage: Usage = field(default_factory=Usage)
    left_out: list[ModelResult] = field(default_factory=list)
    _counting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Go through all steps that an earlier try has not been through.

        Raises:
            CostLimitError: The job's cap leaves no room for any of its calls.
            ModelError: A provider cannot answer now; what was answered is kept.
            JobNotActiveError: The job has ended.
        """
        await self._load_results()
        if not self.context.plan.single:
            await self._emit([self._event(LlmEvent.ENTITY_STARTED, "started", {"entity_label": self._label})])
        self.note = self.context.note
        if not await self._is_of_type():
            return
        await self._begin_models()
        for models, only in self._rounds():
            await run_all([self._ask_model(model, only) for model in models if model not in self.results])
        if self.left_out and len(self.left_out) == len(self.results):
            raise CostLimitError(self.left_out[0].error_message or "there is no money left")
        for result in self.left_out:
            await self._store_result(result)
        fused = await self._fuse()
        await self._end(fused)

    async def skip(self, code: str, message: str, warnings: Sequence[JobWarning] = ()) -> None:
        """Leave the entity out."""
        cost = round(self.check_usage.usd, 9)
        data = {"entity_label": self._label, "code": code, "message": message, "total_cost_usd": cost}
        event = self._event(LlmEvent.ENTITY_SKIPPED, "skipped", data)
        await self._settle(Outcome.SKIPPED, [event], warnings=warnings)

    async def fail(self, code: ErrorCode, message: str) -> None:
        """End the entity as failed, by something that was not a model's doing."""
        data = {"entity_label": self._label, "success": False, "results": [], "error": message}
        events = [] if self.context.plan.single else [self._event(LlmEvent.ENTITY_COMPLETED, "completed", data)]
        failure = FailedItem(index=self.index, id=self._label, stage="enrich", code=code, message=message)
        await self._settle(Outcome.FAILED, events, [failure])

    async def _load_results(self) -> None:
        """Load what this run of the job, or for good results an earlier one, has done already."""
        ref = self.context.ref
        async with self.context.database.transaction() as connection:
            rows = await load_job_records(connection, ref.job_id, self.index)
            keys = [f"{ref.attempt}:{self._key(f'{model}:completed')}" for model in self.context.plan.models]
            completed_keys = await find_written_keys(connection, ref.job_id, keys)
        for row in rows:
            model = row.model_composite_key
            if model is None:
                continue
            is_complete = f"{ref.attempt}:{self._key(f'{model}:completed')}" in completed_keys
            if is_complete or (row.success and not row.partial_success):
                self.results[model] = result_of(row)

    async def _begin_models(self) -> None:
        """Tell which models are asked now, once the type is checked: what has begun also comes to an end."""
        # In a waterfall it is not known yet who will be asked.
        models = [] if self._is_waterfall else self.context.plan.models
        self.running = [model for model in models if model not in self.results]
        await self._emit([self._model_started(model) for model in self.running])

    async def _is_of_type(self) -> bool:
        """Return whether an entity of a batch is of the schema's type; one that is not is left out, without a wait."""
        plan = self.context.plan
        if plan.single or plan.classification_model is None:
            return True
        classification = await self.classify()
        if classification is None:
            return True
        if classification.status is ClassificationStatus.MISMATCH and classification.confidence >= MIN_SKIP_CONFIDENCE:
            await self.skip(ErrorCode.CLASSIFICATION, classification.reasoning)
            return False
        self.note = note_of(classification, None)
        return True

    async def classify(self) -> Classification | None:
        """Ask whether the entity is what the schema is for; None: the check itself failed, and the job goes on without.

        Raises:
            ModelError: The model cannot answer now, and the call will be repeated.
        """
        plan, context = self.context.plan, self.context
        model = plan.classification_model
        if model is None:
            return None
        known = await self._load_check()
        if known is not None:
            return None if known["classification"] is None else Classification.model_validate(known["classification"])
        await self._emit([self._event(LlmEvent.CLASSIFICATION_STARTED, "classification", {"model": model})])
        prompt = classification_prompt(plan.content, self.entity)
        usage = Usage()
        site = Site(Purpose.CLASSIFICATION, self.index)
        classification: Classification | None = None
        error_message: str | None = None
        warnings: list[JobWarning] = []
        try:
            answer = await context.llm_gateway.ask(context.ref, model, prompt, site=site, bypass=plan.bypass_cache)
        except ModelError as error:
            if error.retryable:
                raise
            usage, error_message = error.usage, error.detail
            warnings = [self._warning(error.code, f"its type was not checked: {error.detail}")]
        else:
            usage = answer.usage
            classification = Classification(
                **Verdict.model_validate(answer.data).model_dump(),
                expected_type=str(plan.content["root"].get("name", "")),
                classification_model=model,
                **cost_members(usage),
            )
        self.check_usage = usage
        data = {
            "success": classification is not None,
            "classification": None if classification is None else classification.model_dump(mode="json"),
            "error_message": error_message,
            **cost_members(usage),
        }
        event = self._event(LlmEvent.CLASSIFICATION_COMPLETED, "classified", data)

        async def write(connection: Connection) -> None:
            if await append_events(connection, context.ref, [event]):
                await add_warnings(connection, context.ref, warnings)

        await context.writer.write(context.ref.job_id, write)
        return classification

    async def _load_check(self) -> dict[str, Any] | None:
        """Load the check that an earlier try has told of, as its event has it: one that failed is not paid again."""
        async with self.context.database.transaction() as connection:
            key = f"{self.context.ref.attempt}:{self._key('classified')}"
            event = await find_event(connection, self.context.ref.job_id, key)
        if event is not None:
            members = {name: event.get(name) or 0 for name in ("input_tokens", "output_tokens")}
            self.check_usage = Usage(usd=event.get("cost_usd") or 0.0, **members)
        return event

    def _rounds(self) -> Iterator[tuple[list[str], list[str] | None]]:
        """Yield the models to ask at once, and for which properties; each round is made when the one before is over."""
        plan = self.context.plan
        if not self._is_waterfall:
            yield plan.models, None
            return
        rounds = plan_rounds(
            plan.models, {model: self.context.llm_gateway.catalog.rank(model) for model in plan.models}
        )
        yield rounds[0], None
        for models in rounds[1:]:
            known = find_known(plan.content, self.entity, plan.languages)
            results = {model: result.result for model, result in self.results.items() if result.result}
            if fields := find_open_fields(plan.content, results, known):
                yield models, fields

    @property
    def _is_waterfall(self) -> bool:
        return self.context.plan.model_strategy is ModelStrategy.WATERFALL

    async def _ask_model(self, model: str, only: Sequence[str] | None) -> None:
        plan = self.context.plan
        started = time.monotonic()
        calls = calls_of(plan, self.entity, only=only)
        if only is not None and not calls:
            return
        if model not in self.running:
            self.running.append(model)
            await self._emit([self._model_started(model)])
        parts: list[ExpertiseResult] = []
        await run_all([self._ask_domain(model, call, calls, parts) for call in calls])
        order = [call_key(call.domain) for call in calls]
        parts.sort(key=lambda part: order.index(part.key))
        result = assemble_result(
            plan,
            self.entity,
            model,
            parts,
            record=record_id(self.context.ref.job_id, self.index, model),
            milliseconds=int((time.monotonic() - started) * 1000),
        )
        result.validation_warnings = [f"{name}: {text}" for name, text in self.context.sources_for(model).warnings]
        self.results[model] = result
        self.running.remove(model)
        self.last_error = result.error_message or self.last_error
        if parts and all(part.code is ErrorCode.COST_LIMIT and not part.input_tokens for part in parts):
            # Whether it is told as a failure or the whole entity is left out is seen when all models are through.
            self.left_out.append(result)
        else:
            await self._store_result(result)

    async def _ask_domain(
        self, model: str, call: DomainCall, calls: Sequence[DomainCall], parts: list[ExpertiseResult]
    ) -> None:
        part = await ask_domain(self.context, self.entity, model, call, beside=calls, item=self.index, note=self.note)
        # Two that end at once would else be reported in another order than that in which they were counted.
        async with self._counting:
            parts.append(part)
            if call.domain is not None:
                await self._emit([self._expertise_event(model, part, parts, len(calls))])

    def _expertise_event(
        self, model: str, part: ExpertiseResult, parts: Sequence[ExpertiseResult], total: int
    ) -> NewEvent:
        data = {
            "model": model,
            "expertise_key": part.key,
            "expertise_name": part.name,
            "expertise_result": part.result,
            "partial_result": merge_parts(self.context.plan.content, parts),
            "completed_expertises": len(parts),
            "total_expertises": total,
            "success": part.success,
            **call_usage(part),
        }
        return self._event(LlmEvent.EXPERTISE_COMPLETED, f"{model}:{part.key}", data, current=model)

    async def _store_result(self, result: ModelResult) -> None:
        ref, plan = self.context.ref, self.context.plan
        breakdown = [show_call(part.model_dump(mode="json", exclude={"result"})) for part in result.expertises]
        data = {**result_view(result), "expertise_breakdown": breakdown}
        event = self._event(LlmEvent.MODEL_COMPLETED, f"{result.model}:completed", data, current=result.model)

        async def write(connection: Connection) -> None:
            await append_events(connection, ref, [event])
            await write_records(connection, [enrichment_record(ref, plan, self.index, self.entity, result)])

        await self.context.writer.write(ref.job_id, write)

    async def _fuse(self) -> Fusion | None:
        successful = [result for result in self._asked_results() if result.success]
        if len(successful) < 2:
            return None
        ref, plan = self.context.ref, self.context.plan
        started = time.monotonic()
        sources = [result.record_id for result in successful]
        start = {
            "arbitration_model": plan.arbitration_model,
            "source_record_ids": [str(source) for source in sources],
        }
        await self._emit([self._event(LlmEvent.FUSION_STARTED, "fusion_started", start)])

        async def emit_fusion(kind: LlmEvent, data: dict[str, Any]) -> None:
            await self._emit([self._event(kind, kind, data)])

        fused, warnings = await fuse_results(
            self.context.llm_gateway,
            ref,
            plan.content,
            self.entity,
            {result.model: result.result or {} for result in successful},
            emit_fusion,
            arbiter=plan.arbitration_model,
            item=self.index,
            bypass=plan.bypass_cache,
            in_order_of_price=self._is_waterfall,
        )
        record = record_id(ref.job_id, self.index, "fusion")
        milliseconds = int((time.monotonic() - started) * 1000)
        row = fusion_record(
            ref,
            plan,
            self.index,
            self.entity,
            fused,
            record=record,
            sources=sources,
            milliseconds=milliseconds,
        )
        data = fusion_view(fused, record, milliseconds)
        event = self._event(LlmEvent.FUSION_COMPLETED, "fused", data)

        async def write(connection: Connection) -> None:
            if await append_events(connection, ref, [event]):
                await write_records(connection, [row])
                item_warnings = [self._warning(warning.code, warning.message) for warning in warnings]
                await add_warnings(connection, ref, item_warnings)

        await self.context.writer.write(ref.job_id, write)
        return fused

    async def _end(self, fused: Fusion | None) -> None:
        results = self._asked_results()
        success = any(result.success for result in results)
        faulty = [result for result in results if result.error_message]
        errors = [(result.code or ErrorCode.ENRICHMENT_FAILED, _problem(result)) for result in faulty]
        # Of a model that is alone everyone knows the name.
        lone = results[0].error_message if len(results) == 1 else None
        error = lone or "; ".join(message for _, message in errors) or None
        cost = self.check_usage.usd + sum(result.cost_usd for result in results) + ((fused and fused.cost_usd) or 0.0)
        data = {
            "entity_label": self._label,
            "success": success,
            "results": [result_view(result) for result in results],
            "error": None if success else error,
            "total_cost_usd": round(cost, 9),
            "total_processing_time_ms": max((result.processing_time_ms for result in results), default=0),
        }
        events = [] if self.context.plan.single else [self._event(LlmEvent.ENTITY_COMPLETED, "completed", data)]
        failures = []
        warnings = [self._warning(code, message) for code, message in errors] if success else []
        if not success:
            code = next((result.code for result in results if result.code), ErrorCode.ENRICHMENT_FAILED)
            message = error or "no model gave a result"
            failures = [FailedItem(index=self.index, id=self._label, stage="enrich", code=code, message=message[:2000])]
        await self._settle(Outcome.DONE if success else Outcome.FAILED, events, failures, warnings=warnings)

    async def _settle(
        self,
        outcome: Outcome,
        events: Sequence[NewEvent],
        failures: Sequence[FailedItem] = (),
        *,
        warnings: Sequence[JobWarning] = (),
    ) -> None:
        """The entity's last step: its outcome and the job's counts, then the event that shows them."""
        ref = self.context.ref
        change = Progress(
            processed=1,
            succeeded=int(outcome is Outcome.DONE),
            failed=int(outcome is Outcome.FAILED),
            skipped=int(outcome is Outcome.SKIPPED),
        )

        async def write(connection: Connection) -> None:
            if await settle_item(connection, ref.job_id, self.page, self.place, outcome):
                await add_failures(connection, ref.job_id, failures)
                await add_progress(connection, ref, change, fraction=1 / max(self.context.total, 1))
                await add_warnings(connection, ref, warnings)
            await append_events(connection, ref, events)

        await self.context.writer.write(ref.job_id, write)

    def _asked_results(self) -> list[ModelResult]:
        """Return the results of the models that were asked, in the order of the request."""
        return [self.results[model] for model in self.context.plan.models if model in self.results]

    def _model_started(self, model: str) -> NewEvent:
        return self._event(LlmEvent.MODEL_STARTED, f"{model}:started", {"model": model}, current=model)

    async def _emit(self, events: Sequence[NewEvent]) -> None:
        await emit(self.context.writer, self.context.ref, events)

    def _warning(self, code: ErrorCode, message: str) -> JobWarning:
        return JobWarning(code=code, message=message, item=None if self.context.plan.single else self._label)

    def _key(self, what: str) -> str:
        return f"{self.index}:{what}"

    @property
    def _label(self) -> str:
        return entity_label(self.context.plan.content, self.entity)

    def _event(self, kind: LlmEvent, key: str, data: dict[str, Any], *, current: str | None = None) -> NewEvent:
        plan = self.context.plan
        shared: dict[str, Any] = {
            "total_models": len(plan.models),
            "completed_models": len(self.results),
            "running_models": list(self.running),
            "current_model": current,
            "current_attempt": self.context.attempt,
            "max_attempts": self.context.llm_gateway.patience.max_tries,
            "last_error_summary": self.last_error,
        }
        if not plan.single:
            shared["entity_index"] = self.index
        return NewEvent(type=kind, key=self._key(key), data={**shared, **data})


async def emit(writer: JobWriter, ref: JobRef, events: Sequence[NewEvent]) -> None:
    """Append events that show no decision."""
    if events:
        await writer.write(ref.job_id, lambda connection: append_events(connection, ref, events), lasting=False)


def _problem(result: ModelResult) -> str:
    what = "a part is missing" if result.success else "it gave no result"
    return f"{result.model}: {what}: {result.error_message}"


async def run_all(steps: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run steps at once, each to its end, and only then raise: a paid answer of a neighbour is not thrown away.

    Raises:
        BaseException: The first that a step raised; of several to repeat the one that asks for most time; and only
            where nothing else was raised, that an answer comes with a batch.
    """
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    raised = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    failed = [outcome for outcome in raised if not isinstance(outcome, AnswerAwaitedError)] or raised
    if failed:
        final = [outcome for outcome in failed if not getattr(outcome, "retryable", False)]
        raise final[0] if final else max(failed, key=lambda outcome: getattr(outcome, "retry_after", None) or 0)
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
