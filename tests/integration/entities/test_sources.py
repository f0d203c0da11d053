"""The source of an entity: the same by SQL as by the function, whatever tells sources apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.integration.entities.rig import Rig
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import InferredStructure, entity_uid
from towpath.entities.domain.matching.styles import Style
from towpath.entities.store.indexes import find_index
from towpath.entities.store.pairs import read_components
from towpath.entities.store.postings import read_sources
from towpath.entities.store.records import read_origins, read_stored, sample_stored
from towpath.entities.store.sources import source_expression
from towpath.entities.types import SplitBy

IDS = [
    0, 7, "7x", 41, "42", 43, -5, "0042", "abc", "a-1", "ÄÖ", "é9", "日本", '"quoted"', "back\\slash", "9" * 18,
    "9" * 19, " 8", "8\n",
]  # fmt: skip


async def number_batches(connection: Connection, index_no: int) -> None:
    """Let a third each come with two batches, and a third alone."""
    await connection.execute(
        "UPDATE entities SET batch = CASE mod(uid, 3) WHEN 0 THEN 7 WHEN 1 THEN 2147483647 END WHERE index_no = %s",
        (index_no,),
    )


@pytest.mark.parametrize("by", list(SplitBy))
async def test_the_source_is_the_same_by_sql_as_by_the_function(database: Database, by: SplitBy) -> None:
    rig = await Rig(database).make({"first": "text", "city": "text"})
    await rig.fill(
        [
            {"id": one, "first": f"thing {'été ' * (place % 5)}{10**place}", "city": "日本 7" if place % 3 else None}
            for place, one in enumerate(IDS)
        ]
    )
    style = Style(weights=[0.25, 1.0, -0.5, -0.7, 1.5, -0.1, 0.0, 0.2], bound=1.2)
    structure = InferredStructure(clean_sources=[], confidence=1.0, by=by, id_bound=42, style=style)
    async with rig.database.transaction() as connection:
        index = await find_index(connection, rig.organization, rig.name)
        await number_batches(connection, index.index_no)
        uids = np.sort(np.array([entity_uid(one) for one in IDS], dtype=np.int64))
        plain = await read_stored(connection, index, uids)
        ids, batches = await read_origins(connection, index, uids)

        split = replace(index, inferred=structure)
        stored = await read_stored(connection, split, uids)
        sampled = await sample_stored(connection, split, limit=10_000)
        posted = dict(await read_sources(connection, split))
        graph = await read_components(
            connection, index.index_no, uids.tolist(), entities=index.entities, source=source_expression(split)
        )

    assert sorted(ids) == sorted(map(str, IDS))
    expected = [
        structure.name_source(named, external_id, None if batch < 0 else batch, values)
        for named, external_id, batch, values in zip(plain.sources, ids, batches.tolist(), plain.values, strict=True)
    ]
    assert len(set(expected)) >= 2
    assert stored.sources == expected
    of_uid = dict(zip(uids.tolist(), expected, strict=True))
    assert {
        uid: source for uid, source in zip(sampled.uids.tolist(), sampled.sources, strict=True) if uid in of_uid
    } == of_uid
    assert {uid: posted.get(uid) for uid in of_uid} == of_uid
    assert dict(zip(graph.uids.tolist(), graph.sources, strict=True)) == of_uid
