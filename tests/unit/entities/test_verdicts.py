"""Verdicts and groups: what the pairs around a pair say about it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.entities.builders import index
from towpath.entities.domain.matching import Pairs, cluster, default_model, find_closing_pairs, resolve, weigh_rivals

DIRTY = index(name="text")
CLEAN = index(True, name="text")
MODEL = default_model(DIRTY)


def pairs(*rows: tuple[int, int, float]) -> Pairs:
    """Pairs from left, right, similarity."""
    left, right, similarity = zip(*rows, strict=True)
    return Pairs(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64), np.array(similarity))


def sides(found: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Even uids come from one source, odd ones from the other."""
    return (found.left % 2).astype(np.int32), (found.right % 2).astype(np.int32)


edges = st.dictionaries(
    st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from([0.7, 0.8, 0.86, 0.9, 0.97, 0.999]),
    min_size=1,
    max_size=40,
)


def test_below_the_threshold_nothing_is_a_duplicate() -> None:
    assert resolve(pairs((1, 2, 0.84), (3, 4, 0.86)), DIRTY, MODEL).tolist() == [False, True]


def test_far_below_the_best_candidate_is_no_duplicate() -> None:
    assert resolve(pairs((1, 2, 0.999), (1, 3, 0.86)), DIRTY, MODEL).tolist() == [True, False]


def test_a_strong_pair_stands_beside_an_identical_one() -> None:
    assert resolve(pairs((1, 2, 0.999999), (1, 3, 0.99)), DIRTY, MODEL).all()


@given(edges)
@settings(max_examples=200)
def test_clean_sources_get_one_partner_at_most(held: dict[tuple[int, int], float]) -> None:
    found = pairs(*((a, b, similarity) for (a, b), similarity in held.items()))

    said = resolve(found, CLEAN, MODEL, sides(found))

    used = np.concatenate([found.left[said], found.right[said]])
    assert len(used) == len(set(used.tolist()))
    assert np.all(found.left[said] % 2 != found.right[said] % 2)
    # Nothing is left that could still be taken.
    free = ~np.isin(found.left, used) & ~np.isin(found.right, used) & (found.left % 2 != found.right % 2)
    assert not np.any(free & (found.similarity >= CLEAN.duplicate_threshold))


@given(edges, st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_order_and_sides_of_pairs_do_not_matter(held: dict[tuple[int, int], float], rng) -> None:  # type: ignore[no-untyped-def]
    rows = [(a, b, similarity) for (a, b), similarity in held.items()]
    turned = [(b, a, s) if rng.random() < 0.5 else (a, b, s) for a, b, s in rows]
    order = list(range(len(rows)))
    rng.shuffle(order)
    one, other = pairs(*rows), pairs(*(turned[i] for i in order))

    for config, marks in ((DIRTY, (None, None)), (CLEAN, (sides(one), sides(other)))):
        said, again = resolve(one, config, MODEL, marks[0]), resolve(other, config, MODEL, marks[1])
        assert again.tolist() == said[order].tolist()
        first, second = cluster(one, said), cluster(other, again)
        assert np.array_equal(first.uids, second.uids)
        assert np.array_equal(first.labels, second.labels)


@given(edges)
@settings(max_examples=100)
def test_a_component_alone_gets_the_same_answer(held: dict[tuple[int, int], float]) -> None:
    here = [(a, b, similarity) for (a, b), similarity in held.items()]
    there = [(a + 100, b + 100, similarity) for a, b, similarity in here]
    alone, both = pairs(*here), pairs(*here, *there)

    said = resolve(alone, DIRTY, MODEL)

    assert resolve(both, DIRTY, MODEL)[: len(here)].tolist() == said.tolist()
    together = cluster(both, resolve(both, DIRTY, MODEL))
    assert together.labels[: len(together.labels) // 2].tolist() == cluster(alone, said).labels.tolist()


def clique(first: int, size: int, similarity: float = 0.99) -> list[tuple[int, int, float]]:
    """Every pair among some entities."""
    return [(a, b, similarity) for a in range(first, first + size) for b in range(a + 1, first + size)]


def test_one_weak_link_does_not_glue_two_groups() -> None:
    found = pairs(*clique(0, 5), *clique(10, 5), (4, 10, 0.9))

    labels = cluster(found, np.ones(len(found.left), dtype=bool)).labels

    assert labels.tolist() == [0] * 5 + [10] * 5


def test_many_links_do_glue_two_groups() -> None:
    links = [(a, b, 0.98) for a in range(5) for b in range(10, 15)]
    found = pairs(*clique(0, 5), *clique(10, 5), *links)

    assert set(cluster(found, np.ones(len(found.left), dtype=bool)).labels.tolist()) == {0}


def test_a_large_group_holds_together_by_a_part_of_its_pairs() -> None:
    ring = [(min(a, (a + step) % 120), max(a, (a + step) % 120), 0.99) for a in range(120) for step in range(1, 7)]
    found = pairs(*ring)
    said = np.ones(len(ring), dtype=bool)

    grouped = cluster(found, said)

    assert set(grouped.labels.tolist()) == {0}
    left, right = find_closing_pairs(grouped, found, said)
    assert len(left) == 120 * 119 // 2 - len(ring)
    assert np.all(left < right)


def test_entities_without_a_duplicate_stay_alone() -> None:
    found = pairs((1, 2, 0.8), (2, 3, 0.9))

    assert cluster(found, np.array([False, True])).labels.tolist() == [1, 2, 2]


def test_no_pairs_make_no_groups() -> None:
    nothing = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))

    assert len(resolve(nothing, DIRTY, MODEL)) == 0
    grouped = cluster(nothing, np.empty(0, dtype=bool))
    assert len(grouped.uids) == 0
    assert len(find_closing_pairs(grouped, nothing, np.empty(0, dtype=bool))[0]) == 0


def test_who_has_lost_to_a_better_pair_is_no_longer_told_as_one() -> None:
    found = pairs((1, 2, 0.999), (1, 4, 0.99), (3, 4, 0.9), (5, 6, 0.95))

    weighed = weigh_rivals(found, np.array([True, False, False, False]))

    assert weighed[0] == 0.999
    assert weighed[1] < 0.5
    # Nobody of these two is in a duplicate.
    assert weighed[2:].tolist() == [0.9, 0.95]


@given(edges)
@settings(max_examples=100)
def test_with_one_to_one_only_duplicates_keep_a_similarity_above_the_threshold(
    stored: dict[tuple[int, int], float],
) -> None:
    found = pairs(*[(left, right, similarity) for (left, right), similarity in sorted(stored.items())])
    verdicts = resolve(found, CLEAN, MODEL, sides(found))
    across = sides(found)[0] != sides(found)[1]

    weighed = weigh_rivals(found, verdicts)

    assert not (across & ~verdicts & (weighed >= CLEAN.duplicate_threshold)).any()
    assert (weighed <= found.similarity).all()
