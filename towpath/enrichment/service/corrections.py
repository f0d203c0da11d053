"""Right values of records, given and taken back by people, and how right models are by them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, NotFoundError
from towpath.core.json_schema import UncheckableError, errors_of
from towpath.enrichment.bodies import CorrectionBody
from towpath.enrichment.domain.accuracy import (
    JudgedRecord,
    find_spec,
    judge,
    paths_to_confirm,
    report_accuracy,
    value_at,
)
from towpath.enrichment.domain.content import Content
from towpath.enrichment.domain.forms import answer_form
from towpath.enrichment.service.starts import EnrichmentParts
from towpath.enrichment.store import corrections as store
from towpath.enrichment.store.records import get_records
from towpath.enrichment.store.tables import CorrectionRow, RecordRow


async def correct_record(
    parts: EnrichmentParts, caller: Principal, record_id: UUID, body: CorrectionBody
) -> dict[str, Any]:
    """Keep the right values of a record's fields; what the record says of the others may be confirmed with them.

    Returns:
        All right values of the record.

    Raises:
        NotFoundError: No such record.
        BadInputError: A field is not in the schema, or the value is not what it takes.
    """
    record = await _find_record(parts, caller.organization, record_id)
    values = dict(body.values)
    for path, value in values.items():
        find_spec(record.schema_content, path)
        _check_value(record, path, value)
    if body.others_right:
        for path in paths_to_confirm(record.schema_content, record.entity_input_data or {}):
            values.setdefault(path, value_at(record.structured_output, path))
    if not values:
        raise BadInputError("values must name a field, or others_right confirm what is there", field="values")
    rows = [
        CorrectionRow(
            record_id=record_id,
            field=path,
            organization=caller.organization,
            value=value,
            user_id=caller.user_id,
            key_id=caller.key_id,
        )
        for path, value in values.items()
    ]
    async with parts.database.transaction() as connection:
        await store.write_corrections(connection, rows)
    return await list_corrections(parts, caller.organization, record_id)


async def list_corrections(parts: EnrichmentParts, organization: str, record_id: UUID) -> dict[str, Any]:
    """Return the right values of a record: who gave them and when, and what the record says.

    Raises:
        NotFoundError: No such record.
    """
    record = await _find_record(parts, organization, record_id)
    rows = await store.list_corrections(parts.database, organization, record_id)
    return {"record_id": str(record_id), "corrections": [_view(record, row) for row in rows]}


async def take_back(parts: EnrichmentParts, organization: str, record_id: UUID, field: str | None) -> dict[str, Any]:
    """Take back the right value of a field, or of all fields of a record.

    Raises:
        NotFoundError: No such record, or the field has none.
    """
    await _find_record(parts, organization, record_id)
    gone = await store.delete_corrections(parts.database, organization, record_id, field)
    if field is not None and not gone:
        raise NotFoundError(f"the record {record_id} has no right value for {field}")
    return {"record_id": str(record_id), "taken_back": gone}


async def read_accuracy(
    parts: EnrichmentParts, organization: str, *, schema_id: UUID | None, model: str | None
) -> dict[str, Any]:
    """Report how right the records of all corrected entities are, by model, version of the prompts, and field."""
    judged = await store.load_judged(parts.database, organization, schema_id=schema_id, model=model)
    return report_accuracy(
        [
            JudgedRecord(
                type=row.type,
                model=row.model_composite_key,
                prompt_version=row.prompt_version,
                output=row.structured_output,
                content=row.schema_content,
                cost_usd=row.cost_usd,
                right=right,
            )
            for row, right in judged
        ]
    )


async def _find_record(parts: EnrichmentParts, organization: str, record_id: UUID) -> RecordRow:
    return (await get_records(parts.database, organization, [record_id]))[0]


def _check_value(record: RecordRow, path: str, value: Any) -> None:
    """Refuse a value that the field does not take; that there is none is always possible.

    Raises:
        BadInputError: It is another kind of value.
    """
    if value is None:
        return
    try:
        errors = errors_of(value, _form_at(record.schema_content, path, record.languages))
    except UncheckableError as error:
        raise BadInputError(f"values.{path}: {error.detail}", field=f"values.{path}") from error
    if errors:
        raise BadInputError(f"values.{path}: {errors[0].message}"[:300], field=f"values.{path}")


def _form_at(content: Content, path: str, languages: list[str]) -> dict[str, Any]:
    names = path.split(".")
    form = answer_form(content, keys=names[:1], languages=languages or ["en"])
    for name in names:
        form = form["properties"][name]
    return form


def _view(record: RecordRow, row: CorrectionRow) -> dict[str, Any]:
    record_value = value_at(record.structured_output, row.field)
    return {
        "field": row.field,
        "value": row.value,
        "record_value": record_value,
        "judgement": judge(record_value, row.value),
        "user_id": row.user_id and str(row.user_id),
        "key_id": row.key_id and str(row.key_id),
        "created_at": row.created_at.isoformat().replace("+00:00", "Z"),
    }
