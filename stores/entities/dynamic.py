"""The `default` index: made on first use, and taking every top-level scalar that appears."""

from __future__ import annotations

from contracts.entities import FieldType, IndexConfig, IndexField
from contracts.errors import BadInput, ErrorCode, NotFound
from domain.entities import ScalarFields
from stores.db import Connection
from stores.entities.indexes import DEFAULT_INDEX, Index, create_index, find_index, generation, save_config


async def index_for_write(connection: Connection, organization: str, name: str, fields: ScalarFields) -> Index:
    """The live generation to write to, held until the transaction ends; dynamic ones know `fields` then.

    Raises:
        NotFound: No such index, and it is not the default one.
    """
    try:
        index = await find_index(connection, organization, name, lock="share")
    except NotFound:
        if name != DEFAULT_INDEX:
            raise
        await _make_default(connection, organization, fields)
        index = await find_index(connection, organization, name, lock="share")
    if not index.dynamic or fields.extend(index.config) == index.config:
        return index
    # Two writers that bring new fields at once take turns, so that neither overwrites the other's.
    index = await find_index(connection, organization, name, lock="exclusive")
    await save_config(connection, index.index_no, fields.extend(index.config))
    return await generation(connection, index.index_no)


async def _make_default(connection: Connection, organization: str, fields: ScalarFields) -> None:
    bare = IndexConfig(index_name=DEFAULT_INDEX, fields=[IndexField(name="name", type=FieldType.TEXT)])
    config = fields.extend(bare.model_copy(update={"fields": []}))
    if not config.fields:
        raise BadInput("the entity has no value in any top-level field", code=ErrorCode.NO_INDEXED_VALUE)
    await create_index(connection, organization, config, dynamic=True)
