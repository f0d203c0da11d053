"""The `default` index: made on first use, and taking every top-level scalar that appears."""

from __future__ import annotations

from towpath.core.errors import BadInputError, ErrorCode, NotFoundError
from towpath.db.engine import Connection
from towpath.entities.domain.parsing import ScalarFields, append_fields
from towpath.entities.params import ReindexParams
from towpath.entities.store.generations import find_building
from towpath.entities.store.indexes import Index, create_index, find_index, generation, save_config
from towpath.entities.types import DEFAULT_INDEX, FieldType, IndexConfig, IndexField


async def index_for_write(connection: Connection, organization: str, name: str, fields: ScalarFields) -> Index:
    """Return the live generation to write to, held until the transaction ends; dynamic ones know `fields` then.

    Raises:
        NotFoundError: No such index, and it is not the default one.
    """
    try:
        index = await find_index(connection, organization, name, lock="share")
    except NotFoundError:
        if name != DEFAULT_INDEX:
            raise
        await _make_default(connection, organization, fields)
        index = await find_index(connection, organization, name, lock="share")
    if not index.dynamic or fields.extend(index.config) == index.config:
        return index
    # Two writers that bring new fields at once take turns, so that neither overwrites the other's.
    index = await find_index(connection, organization, name, lock="extend")
    grown = fields.extend(index.config)
    await save_config(connection, index.index_no, grown)
    building = await find_building(connection, organization, name)
    if building is not None:
        # The next generation gets what is new as well, before it can meet an entity that has it.
        new = grown.fields[len(index.config.fields) :]
        await save_config(connection, building.index_no, append_fields(building.config, new))
    return await generation(connection, index.index_no)


async def next_config(connection: Connection, organization: str, name: str, params: ReindexParams) -> IndexConfig:
    """Return what a re-index builds: what was asked for, and the fields that a dynamic index has got since.

    Until the transaction ends nobody appends fields; from then on `index_for_write` appends them to both.

    Args:
        connection: In the transaction that makes the next generation.
        organization: Whose index.
        name: Its name.
        params: Of the job: the configuration that was asked for, and the fields that the index had then.
    """
    config = IndexConfig.model_validate(params.config)
    live = await find_index(connection, organization, name, lock="extend")
    if not live.dynamic or params.fields is None:
        return config
    return append_fields(config, [field for field in live.config.fields if field.name not in params.fields])


async def _make_default(connection: Connection, organization: str, fields: ScalarFields) -> None:
    bare = IndexConfig(index_name=DEFAULT_INDEX, fields=[IndexField(name="name", type=FieldType.TEXT)])
    config = fields.extend(bare.model_copy(update={"fields": []}))
    if not config.fields:
        raise BadInputError("the entity has no value in any top-level field", code=ErrorCode.NO_INDEXED_VALUE)
    await create_index(connection, organization, config, dynamic=True)
