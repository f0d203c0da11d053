"""The fusion of an entity's results, made anew once one of them was completed."""

from __future__ import annotations

import time
from typing import Any

from towpath.db.engine import Database
from towpath.enrichment.domain.runs import record_id
from towpath.enrichment.fusion_calls import fuse_results
from towpath.enrichment.pipeline import emit
from towpath.enrichment.records import fusion_record, fusion_view
from towpath.enrichment.store.records import load_job_records, write_records
from towpath.enrichment.store.tables import RecordRow
from towpath.enrichment.types import LlmEvent, ModelStrategy, Plan
from towpath.jobs.store.events import append_events
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import JobRef, NewEvent
from towpath.llm.gateway import LlmGateway


async def fuse_anew(
    database: Database, writer: JobWriter, llm_gateway: LlmGateway, ref: JobRef, plan: Plan, row: RecordRow
) -> dict[str, Any] | None:
    """Fuse the results of the run that a record belongs to; the run's fused record is replaced.

    Args:
        database: Records.
        writer: Writes to the job.
        llm_gateway: Asks the arbiter.
        ref: The job that has completed the record.
        plan: What it was asked to do.
        row: The record, as it is now.

    Returns:
        What the fusion's event says; None: fewer than two models have a result, or the record is of no run.

    Raises:
        ModelError: The arbiter cannot answer now, and the call will be repeated.
    """
    if row.job_id is None:
        return None
    async with database.transaction() as connection:
        rows = await load_job_records(connection, row.job_id, row.entity_index)
    results = {
        each.model_composite_key: each
        for each in rows
        if each.model_composite_key is not None and each.structured_output is not None and each.success
    }
    if len(results) < 2:
        return None
    started = time.monotonic()
    earlier = next((each for each in rows if each.type == "fusion"), None)
    sources = [each.id for each in results.values()]
    start = {"arbitration_model": plan.arbitration_model, "source_record_ids": [str(source) for source in sources]}
    await _emit(writer, ref, LlmEvent.FUSION_STARTED, start)

    async def emit_fusion(kind: LlmEvent, data: dict[str, Any]) -> None:
        await _emit(writer, ref, kind, data)

    entity = row.entity_input_data or {}
    fused, warnings = await fuse_results(
        llm_gateway,
        ref,
        plan.content,
        entity,
        {model: each.structured_output or {} for model, each in results.items()},
        emit_fusion,
        arbiter=plan.arbitration_model,
        item=row.entity_index,
        bypass=plan.bypass_cache,
        in_order_of_price=plan.model_strategy is ModelStrategy.WATERFALL,
    )
    record = record_id(row.job_id, row.entity_index, "fusion")
    milliseconds = int((time.monotonic() - started) * 1000)
    run = ref.model_copy(update={"job_id": row.job_id})
    fusion_row = fusion_record(
        run, plan, row.entity_index, entity, fused, record=record, sources=sources, milliseconds=milliseconds
    )
    if earlier is not None:
        # What the first fusion was paid stays paid.
        fusion_row.cost_usd += earlier.cost_usd
        fusion_row.input_tokens += earlier.input_tokens
        fusion_row.output_tokens += earlier.output_tokens
    event_data = fusion_view(fused, record, milliseconds)
    event = NewEvent(type=LlmEvent.FUSION_COMPLETED, key="fused", data=event_data)
    async with database.transaction() as connection:
        if await append_events(connection, ref, [event]):
            await write_records(connection, [fusion_row])
            await add_warnings(connection, ref, warnings)
    return event_data


async def _emit(writer: JobWriter, ref: JobRef, kind: LlmEvent, data: dict[str, Any]) -> None:
    await emit(writer, ref, [NewEvent(type=kind, key=f"fusion:{kind}", data=data)])
