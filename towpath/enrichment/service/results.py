"""What a job has brought, as streams, waiting calls and answers show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from towpath.db.engine import Database
from towpath.enrichment.params import EnrichmentParams
from towpath.enrichment.records import result_of, result_view
from towpath.enrichment.store.records import load_job_records
from towpath.enrichment.store.tables import RecordRow
from towpath.jobs.params import params_of
from towpath.jobs.registry import job_type
from towpath.jobs.store.tables import JobRow


@dataclass(frozen=True, slots=True)
class EntityResults:
    """The records that a job has made of one entity.

    Attributes:
        models: Those of the models.
        fusion: The fused one, if there is one.
    """

    models: list[RecordRow]
    fusion: RecordRow | None

    @classmethod
    def of(cls, rows: Sequence[RecordRow]) -> EntityResults:
        """Tell the records of models from the fused one."""
        fusion = next((row for row in rows if row.type == "fusion"), None)
        return cls([row for row in rows if row.type != "fusion"], fusion)

    @property
    def successful(self) -> list[RecordRow]:
        """The records of models that gave a result."""
        return [row for row in self.models if row.success]

    @property
    def best(self) -> RecordRow | None:
        """The fused record, else the first that a model gave a result for."""
        return self.fusion or next(iter(self.successful), None)


def results_of_single(job: JobRow, rows: Sequence[RecordRow]) -> EntityResults:
    """Return the records of a job of one entity, the models in the order in which they were asked for."""
    order = {model: place for place, model in enumerate(params_of(job, EnrichmentParams).plan.models)}
    results = EntityResults.of(rows)
    models = sorted(results.models, key=lambda row: order.get(row.model_composite_key or "", len(order)))
    return EntityResults(models, results.fusion)


async def job_result(database: Database, job: JobRow) -> dict[str, Any]:
    """Load what a job of any kind has brought: what its kind loads, else the small result in its row."""
    load = job_type(job.kind).load_result
    return job.result or {} if load is None else await load(database, job)


async def load_schema_result(database: Database, job: JobRow) -> dict[str, Any]:
    """Return the schema that a job has made or changed, by which model, and what it took."""
    result = job.result or {}
    content = result.get("schema") or result.get("schema_content") or {}
    counts: dict[str, Any] = {}
    if content:
        properties, domains = len(content["root"]["properties"]), len(content["expertise_domains"])
        counts = {
            "property_count": properties,
            "sample_property_count": properties,
            "expertise_count": domains,
        }
    return {
        **result,
        "model": job.params.get("model"),
        "record_id": None,
        **counts,
        "cost_usd": job.cost_usd,
        "input_tokens": job.input_tokens,
        "output_tokens": job.output_tokens,
        "processing_time_ms": count_milliseconds(job),
    }


def count_milliseconds(job: JobRow) -> int:
    """Return how long an ended job took, from its acceptance on."""
    end = job.completed_at or job.created_at
    return round((end - job.created_at).total_seconds() * 1000)


async def load_single_result(database: Database, job: JobRow) -> dict[str, Any]:
    """Load the models' results of one entity, and the fused one."""
    async with database.transaction() as connection:
        rows = await load_job_records(connection, job.id)
    return {
        **single_result(results_of_single(job, rows)),
        "total_cost_usd": job.cost_usd,
        "input_tokens": job.input_tokens,
        "output_tokens": job.output_tokens,
    }


async def load_batch_result(database: Database, job: JobRow) -> dict[str, Any]:
    """Load the counts of a job of many entities, and a short row for each of them."""
    async with database.transaction() as connection:
        rows = await load_job_records(connection, job.id)
    by_entity: dict[int, list[RecordRow]] = {}
    for row in rows:
        by_entity.setdefault(row.entity_index, []).append(row)
    return {
        "total": job.total,
        "succeeded": job.succeeded,
        "failed": job.failed,
        "skipped": job.skipped,
        "total_cost_usd": job.cost_usd,
        "entities": [_entity_row(index, of_entity) for index, of_entity in by_entity.items()],
    }


def single_result(results: EntityResults) -> dict[str, Any]:
    """Return the models' results of one entity, and the fused one, as answers show them."""
    best = results.best
    return {
        "results": [result_view(result_of(row)) for row in results.models],
        "is_fused": results.fusion is not None,
        "merged_result": results.fusion and results.fusion.structured_output,
        "record_id": best and str(best.id),
    }


def _entity_row(index: int, rows: Sequence[RecordRow]) -> dict[str, Any]:
    results = EntityResults.of(rows)
    best = results.best
    return {
        "entity_index": index,
        "entity_label": rows[0].entity_name,
        "success": bool(results.successful),
        "record_id": best and str(best.id),
        "record_ids": [str(row.id) for row in rows],
        "cost_usd": round(sum(row.cost_usd for row in rows), 9),
    }
