"""Labels as constraints: closed transitively, above all evidence, and never against each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.entities.builders import index
from towpath.entities.domain.matching import (
    DIFFERENT,
    SAME,
    Constraints,
    PairLabel,
    Pairs,
    cluster,
    default_model,
    find_contradiction,
    is_clear_conflict,
    resolve,
)

PLAIN, CLEAN = index(name="text"), index(True, name="text")


def same(left: int, right: int) -> PairLabel:
    return PairLabel(left, right, True)


def different(left: int, right: int) -> PairLabel:
    return PairLabel(left, right, False)


def groups(rows: list[tuple[int, int, float]], labels: list[PairLabel]) -> list[list[int]]:
    """The groups of pairs under labels, as a decision finds them."""
    constraints = Constraints(labels)
    left, right, similarity = (np.array(side) for side in zip(*rows, strict=True))
    pairs = Pairs(left.astype(np.int64), right.astype(np.int64), similarity)
    said = constraints.say(pairs.left, pairs.right)
    verdicts = resolve(pairs, PLAIN, default_model(PLAIN), None, said)
    found = cluster(pairs, verdicts, said, constraints.apart({*left.tolist(), *right.tolist()}))
    members = {label: found.uids[found.labels == label].tolist() for label in set(found.labels.tolist())}
    return sorted(uids for uids in members.values() if len(uids) > 1)


def test_who_is_the_same_as_one_is_the_same_as_all_that_this_one_is() -> None:
    constraints = Constraints([same(1, 2), same(2, 3), different(3, 4), same(4, 5)])

    assert constraints.says(1, 3) == SAME
    assert constraints.says(1, 5) == DIFFERENT
    assert constraints.says(1, 6) == 0


def test_classes_are_linked_by_who_is_there() -> None:
    assert Constraints([same(1, 2), same(2, 3), same(7, 8)]).links({1, 3, 7}) == [(1, 3)]


def test_labels_that_contradict_each_other_are_named_with_the_chain_between_them() -> None:
    labels = [same(1, 2), same(2, 3), different(1, 3)]

    assert find_contradiction(labels, [labels[0]]) == [different(1, 3), same(1, 2), same(2, 3)]
    assert find_contradiction(labels[1:], labels[1:]) is None
    # What contradicted itself before is no reason to refuse what has nothing to do with it.
    assert find_contradiction([*labels, same(8, 9)], [same(8, 9)]) is None


def test_a_label_parts_what_the_evidence_links_and_links_what_it_parts() -> None:
    rows = [(1, 2, 0.999), (2, 3, 0.999), (1, 3, 0.999), (3, 4, 0.2)]

    assert groups(rows, []) == [[1, 2, 3]]
    assert groups(rows, [different(1, 2), same(1, 3)]) == [[1, 3]]
    assert [3, 4] in groups(rows, [same(3, 4), different(2, 3), different(1, 3)])


def test_no_chain_of_evidence_goes_round_a_label() -> None:
    rows = [(1, 2, 0.999999), (2, 3, 0.999999)]

    assert not any({1, 3} <= set(uids) for uids in groups(rows, [different(1, 3)]))


def test_with_clean_sources_a_label_takes_the_place_of_the_best_candidate() -> None:
    pairs = Pairs(np.array([1, 1]), np.array([2, 4]), np.array([0.99, 0.3]))
    sources = np.array([0, 0], dtype=np.int32), np.array([1, 1], dtype=np.int32)

    said = resolve(pairs, CLEAN, default_model(CLEAN), sources, np.array([0, SAME], dtype=np.int8))

    assert said.tolist() == [False, True]


def test_a_group_does_not_outvote_a_telling_field_nor_what_all_fields_say_unless_they_suffice_alone() -> None:
    config = index(name="text", born="date")
    plain = default_model(config)
    fields = [
        plain.fields[0].model_copy(update={"sampled": 1000, "agreement": 0.02}),
        plain.fields[1].model_copy(update={"sampled": 1000, "agreement": 0.0011}),
    ]
    trained = plain.model_copy(update={"fields": fields})
    rows = np.array([[6.0, -3.0], [9.0, -3.0], [6.0, -2.0], [1.0, -1.5]], dtype=np.float32)

    assert is_clear_conflict(trained, rows).tolist() == [True, False, False, True]
    assert is_clear_conflict(plain, rows).tolist() == [False, False, False, True]


edges = st.dictionaries(
    st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from([0.7, 0.86, 0.97, 0.999]),
    min_size=1,
    max_size=20,
)
said_pairs = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()).filter(lambda label: label[0] < label[1]), max_size=6
)


@given(edges, said_pairs)
def test_labels_that_can_hold_do(held: dict[tuple[int, int], float], said: list[tuple[int, int, bool]]) -> None:
    labels: list[PairLabel] = []
    for left, right, duplicate in said:
        kept = [label for label in labels if label[:2] != (left, right)]
        if find_contradiction([*kept, PairLabel(left, right, duplicate)], [PairLabel(left, right, duplicate)]) is None:
            labels = [*kept, PairLabel(left, right, duplicate)]
    stored = held | {label[:2]: held.get(label[:2], 0.01) for label in labels if label.duplicate}

    found = groups([(*pair, similarity) for pair, similarity in sorted(stored.items())], labels)

    together = {frozenset((a, b)) for uids in found for a in uids for b in uids}
    for label in labels:
        assert (frozenset(label[:2]) in together) == label.duplicate
