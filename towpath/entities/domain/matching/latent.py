"""Kinds of candidate pairs, told apart by a latent class analysis, and which of them are matches.

Where an index holds many copies, they form a kind of their own: pairs that agree in every field, as far as typing
errors let them. Other kinds share an address, a brand or a title alone. The analysis finds the kinds without labels;
what it calls a kind of matches must then stand three tests: its pairs are free of conflicts in the fields that tell
entities apart, their evidence is far above that of the rest, and they are spread over the index. A few entities with
many partners each are a series, as the columns of a journal, not copies.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from towpath.entities.domain.matching.calibration import Candidates
from towpath.entities.domain.matching.comparison import NOT_NEAR, Comparison
from towpath.entities.domain.matching.conflicts import find_conflict_free
from towpath.entities.domain.matching.levels import (
    MISSING,
    WORD_SHARES,
    WORD_STATES,
    Floats,
    default_probabilities,
)
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.domain.matching.textspace import Int64s

Bools = npt.NDArray[np.bool_]

OTHER_KINDS = 4
ROUNDS = 25
WARM_UP = 8
MAX_PAIRS = 30_000
PSEUDO_COUNT = 30.0
SEED_BITS = 5.0
"""Pairs with so much evidence and no conflict are what the kind of matches starts from."""
MIN_PAIRS = 15
MIN_FREE_SHARE = 0.4
MIN_CLARITY = 10.0
"""Ten times the share of pairs without a conflict, and the mean evidence in bits, together."""
WIDE_SPREAD = 0.5
"""Where so many of the entities have a partner, these may be any number."""
MAX_EVIDENCE = 15.0


def find_match_shares(
    model: MatchModel, comparison: Comparison, evidence: Floats, candidates: Candidates
) -> Floats | None:
    """Return the probability that each pair is of a kind that is matches; None: there is no such kind.

    Args:
        model: The types of the fields and how common values are.
        comparison: The candidate pairs.
        evidence: Their match weights in bits, without a prior.
        candidates: The pairs as positions.
    """
    free = find_conflict_free(model, comparison)
    seeds = free & (evidence >= SEED_BITS)
    if seeds.sum() < MIN_PAIRS:
        return None
    shares = _analyse(model, comparison, seeds)
    accepted = [kind for kind in shares.T if _is_kind_of_matches(kind, free, evidence, candidates)]
    return np.asarray(np.sum(accepted, axis=0)) if accepted else None


def _is_kind_of_matches(share: Floats, free: Bools, evidence: Floats, candidates: Candidates) -> bool:
    pairs = float(share.sum())
    if pairs < MIN_PAIRS:
        return False
    free_share = float((share * free).sum()) / pairs
    mean_evidence = float((share * np.clip(evidence, -2 * MAX_EVIDENCE, MAX_EVIDENCE)).sum()) / pairs
    partners = np.bincount(candidates.left, share, candidates.entities)
    partners = (partners + np.bincount(candidates.right, share, candidates.entities))[candidates.queried]
    with_partner = partners >= 0.5
    if free_share < MIN_FREE_SHARE or 10.0 * free_share + mean_evidence < MIN_CLARITY or not with_partner.any():
        return False
    spread = float(with_partner.mean())
    return spread >= WIDE_SPREAD or float(partners[with_partner].mean()) <= 1.2 + 6.0 * spread


def _analyse(model: MatchModel, comparison: Comparison, seeds: Bools) -> Floats:
    """Return pairs x kinds: how probably each pair is of each kind.

    Expectation maximisation from clusters of the default match weights; the last kind starts from the seeds.
    """
    codes, m_defaults, u_defaults = _encode(model, comparison)
    pairs = len(codes)
    positions = np.stack(
        [
            np.where(codes[:, f] >= 0, np.clip(np.log((m + 1e-4) / (u + 1e-4)), -4.0, 4.0)[codes[:, f]], 0.0)
            for f, (m, u) in enumerate(zip(m_defaults, u_defaults, strict=True))
        ],
        axis=1,
    )
    kind_of_pair = np.where(seeds, OTHER_KINDS, _cluster(positions))
    learnt = np.arange(pairs)
    if pairs > MAX_PAIRS:
        # All seeds, for they may be few, and an even part of the others.
        others = np.flatnonzero(~seeds)
        step = max(1, len(others) // MAX_PAIRS)
        learnt = np.sort(
            np.concatenate([np.flatnonzero(seeds)[:: max(1, int(seeds.sum()) // MAX_PAIRS)], others[::step]])
        )
    shares = np.eye(OTHER_KINDS + 1)[kind_of_pair[learnt]]
    marked = _mark_codes(codes, [len(u) for u in u_defaults])
    marked_learnt = marked[learnt]
    ends = np.cumsum([len(u) for u in u_defaults])
    tables = np.empty((int(ends[-1]), OTHER_KINDS + 1))
    log_prior = np.zeros(OTHER_KINDS + 1)
    for round_number in range(ROUNDS + WARM_UP):
        # Of all fields at once: a product with sparse ones takes a tenth of the time of counting field by field.
        all_counts = marked_learnt.T @ shares
        for u, end in zip(u_defaults, ends.tolist(), strict=True):
            rows = slice(end - len(u), end)
            smoothed = all_counts[rows] + (PSEUDO_COUNT * u)[:, None]
            tables[rows] = np.log(smoothed / smoothed.sum(axis=0) + 1e-9)
        log_prior = np.log(np.maximum(shares.mean(axis=0), 1e-12))
        before, shares = shares, _classify(marked_learnt, tables, log_prior)
        if round_number > WARM_UP and np.abs(shares - before).max() < 0.01:
            break
    return shares if len(learnt) == pairs else _classify(marked, tables, log_prior)


def _mark_codes(codes: Int64s, sizes: list[int]) -> sparse.csr_matrix:
    """Return pairs x codes of all fields, side by side: a one for each code that a pair has."""
    starts = np.cumsum([0, *sizes])
    rows, fields = np.nonzero(codes >= 0)
    columns = codes[rows, fields] + starts[fields]
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(codes), int(starts[-1])))


def _classify(marked: sparse.csr_matrix, tables: Floats, log_prior: Floats) -> Floats:
    logs = marked @ tables + log_prior
    logs -= logs.max(axis=1, keepdims=True)
    shares = np.exp(logs)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _encode(model: MatchModel, comparison: Comparison) -> tuple[Int64s, list[Floats], list[Floats]]:
    """Return one code a field, of level and state of the words (-1: missing), with m and u of each code by default."""
    codes = np.full(comparison.levels.shape, -1, dtype=np.int64)
    m_defaults, u_defaults = [], []
    even = np.full(WORD_STATES, 1.0 / WORD_STATES)
    for number, field in enumerate(model.fields):
        m, u = default_probabilities(field.type)
        levels, states = comparison.levels[:, number].astype(np.int64), comparison.word_states[:, number]
        known = levels != MISSING
        codes[known, number] = levels[known] * WORD_STATES + np.where(states == NOT_NEAR, 0, states)[known]
        m_defaults.append(np.outer(m, WORD_SHARES).ravel())
        u_defaults.append(np.outer(u, even).ravel())
    return codes, m_defaults, u_defaults


def _cluster(positions: Floats) -> Int64s:
    """Cluster the pairs by k-means; the random choices are the same each time."""
    chance = np.random.default_rng(0)
    centres = positions[chance.choice(len(positions), 1)]
    for _ in range(OTHER_KINDS - 1):
        apart = _squared_distances(positions, centres).min(axis=1)
        total = float(apart.sum())
        at = chance.choice(len(positions), p=apart / total) if total > 0.0 else 0
        centres = np.vstack([centres, positions[at]])
    nearest = np.zeros(len(positions), dtype=np.int64)
    for _ in range(8):
        nearest = _squared_distances(positions, centres).argmin(axis=1)
        for kind in range(OTHER_KINDS):
            if (nearest == kind).any():
                centres[kind] = positions[nearest == kind].mean(axis=0)
    return nearest


def _squared_distances(positions: Floats, centres: Floats) -> Floats:
    return np.asarray(((positions[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2))
