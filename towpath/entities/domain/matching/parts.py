"""A large decision in parts: whole components together, so each part is decided as it would be among the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Int64s = npt.NDArray[np.int64]


def number_parts(uids: Int64s, left: Int64s, right: Int64s, groups: Int64s, *, size: int) -> Int64s:
    """Return the part of each entity: of pairs and of groups both ends, and all members, are in one part.

    Args:
        uids: The entities, rising.
        left: One side of each pair.
        right: The other side.
        groups: The group of each entity; 0 for none.
        size: Entities in a part; a larger component is a part of its own, with what comes before it.
    """
    if len(uids) <= size:
        return np.zeros(len(uids), dtype=np.int64)
    # A member of a group is linked with the first one of it.
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    members = np.flatnonzero(groups != 0)
    rows = np.concatenate([np.searchsorted(uids, left), members])
    columns = np.concatenate([np.searchsorted(uids, right), first[group[members]]])
    links = sparse.coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(uids), len(uids)))
    count, component = connected_components(links, directed=False)
    before = np.zeros(count, dtype=np.int64)
    np.cumsum(np.bincount(component)[:-1], out=before[1:])
    _, part = np.unique(before // size, return_inverse=True)
    return np.asarray(part[component], dtype=np.int64)
