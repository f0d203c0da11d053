"""Labels and judgements as constraints: what they say of entities, and the pairs that are stored for their sake."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection
from towpath.entities.domain.matching import Constraints, MatchModel, PairLabel
from towpath.entities.service.candidates import Candidates
from towpath.entities.service.matching import score_candidates
from towpath.entities.store.group_reads import read_member_pairs
from towpath.entities.store.groups import add_labelled_pairs, find_missing_pairs, read_ids
from towpath.entities.store.indexes import Index
from towpath.entities.store.judgements import read_statements
from towpath.entities.store.labels import StoredLabel

Int64s = npt.NDArray[np.int64]

MANY_ENTITIES = 5_000
"""Beyond this many entities, all that is said of an index is read at once."""


def pair_labels(labels: Sequence[StoredLabel]) -> list[PairLabel]:
    """Return stored labels as the domain knows them."""
    return [PairLabel(label.left_uid, label.right_uid, label.duplicate) for label in labels]


async def read_constraints(
    connection: Connection, index: Index, uids: Int64s
) -> tuple[Constraints, list[tuple[int, int]]]:
    """Read what labels and judgements say of some entities and of all that are the same by them.

    Returns:
        The constraints, and the pairs without which the entities of a class would not be linked by stored pairs.
    """
    statements = await read_statements(connection, index, None if len(uids) > MANY_ENTITIES else uids.tolist())
    constraints = Constraints(statements.labels, statements.judgements)
    holding = set(statements.judgements).difference(constraints.refused) if statements.judgements else set()
    same = [(label.left, label.right) for label in (*statements.labels, *sorted(holding)) if label.duplicate]
    if not same:
        return constraints, []
    present = await read_ids(connection, index.index_no, sorted({uid for pair in same for uid in pair}))
    required = {*constraints.links(present), *(pair for pair in same if pair[0] in present and pair[1] in present)}
    return constraints, await find_missing_pairs(connection, index.index_no, sorted(required))


async def read_constrained(connection: Connection, index: Index) -> set[int]:
    """Return all entities of an index that a label or a judgement names: it may link whom no pair has led to."""
    statements = await read_statements(connection, index)
    return {uid for label in (*statements.labels, *statements.judgements) for uid in (label.left, label.right)}


async def add_missing_pairs(
    connection: Connection, index: Index, model: MatchModel, pairs: Sequence[tuple[int, int]], *, similarity: float
) -> None:
    """Store pairs that labels link and that were no candidates, with what their fields say.

    Args:
        connection: In the transaction that decides.
        index: The generation.
        model: Its model.
        pairs: The pairs, the lower uid first.
        similarity: What they are judged by.
    """
    flat = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    candidates = Candidates(flat[:, 0].copy(), flat[:, 1].copy())
    scored = await score_candidates(connection, index, model, None, candidates, keep_all=True)
    bits = [row.astype("<f4").tobytes() for row in scored.bits]
    await add_labelled_pairs(
        connection, index.index_no, scored.left, scored.right, bits, similarity, model_version=index.model_version
    )


async def read_link_similarities(
    connection: Connection, index: Index, chain: Sequence[PairLabel]
) -> dict[PairLabel, float]:
    """Return the similarity of the pair of each statement of a chain, as the pair shows it everywhere.

    Entities that were never a pair have none stored, nor has who is gone: theirs is what the statement says.
    """
    uids = sorted({uid for link in chain for uid in (link.left, link.right)})
    stored = {
        (pair.left, pair.right): pair.similarity for pair in await read_member_pairs(connection, index.index_no, uids)
    }
    return {link: stored.get((link.left, link.right), float(link.duplicate)) for link in chain}
