"""Names of groups: who keeps one, and what is told of each change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from towpath.entities.domain.matching import GroupChange, Naming, name_groups

A, B = 100, 200


def named(before: dict[int, set[int]], after: list[set[int]], taken: set[int] | None = None) -> Naming:
    """Name sets; B is older than A."""
    return name_groups(
        {name: frozenset(members) for name, members in before.items()},
        [frozenset(members) for members in after],
        is_taken=(taken or set()).__contains__,
        age=lambda name: -name,
    )


def told(naming: Naming) -> list[tuple[str, int]]:
    """The kinds of changes and the groups."""
    return [(change.kind.removeprefix("group."), change.group) for change in naming.changes]


def test_a_new_group_is_called_after_its_smallest_member() -> None:
    naming = named({}, [{7, 9}])

    assert naming.names == [7]
    assert told(naming) == [("created", 7)]


def test_a_name_that_is_taken_is_given_to_nobody_else() -> None:
    naming = named({}, [{7, 9}], taken={7})

    assert naming.names == named({}, [{7, 11}], taken={7}).names != [7]


def test_a_group_keeps_its_name_when_it_grows_or_loses_its_smallest_member() -> None:
    assert named({A: {1, 2}}, [{1, 2, 3}]).names == [A]
    grown, shrunk = named({A: {1, 2}}, [{1, 2, 3}]), named({A: {1, 2, 3}}, [{2, 3}])
    assert (told(grown), told(shrunk)) == ([("extended", A)], [("shrunk", A)])
    assert shrunk.names == [A]


def test_the_larger_of_two_groups_names_their_merger_and_of_equal_ones_the_older() -> None:
    larger, equal = named({A: {1, 2, 3}, B: {4, 5}}, [{1, 2, 3, 4, 5}]), named({A: {1, 2}, B: {3, 4}}, [{1, 2, 3, 4}])

    assert (larger.names, equal.names) == ([A], [B])
    assert told(larger) == [("merged", A)]
    assert larger.changes[0].sources == (B,)


def test_the_larger_part_of_a_split_group_keeps_the_name() -> None:
    naming = named({A: {1, 2, 3, 4, 5}}, [{1, 2}, {3, 4, 5}])

    assert naming.names == [1, A]
    assert told(naming) == [("created", 1), ("split", A)]
    assert naming.changes[0].sources == (A,)
    assert naming.changes[1].parts == (A, 1)


def test_a_group_of_which_no_two_are_together_is_no_more() -> None:
    naming = named({A: {1, 2}}, [{1, 8}, {2, 9}])

    assert A not in naming.names
    assert told(naming) == [("dissolved", A), ("created", 1), ("created", 2)]


def test_a_group_that_is_what_it_was_is_no_news() -> None:
    assert named({A: {1, 2}, B: {3, 4}}, [{3, 4}, {1, 2}]) == Naming([B, A], [])


def test_what_comes_back_gets_the_name_that_is_remembered() -> None:
    naming = name_groups(
        {A: frozenset({1, 2, 3, 4})},
        [frozenset({1, 2}), frozenset({3, 4})],
        is_taken=lambda name: False,
        remembered={3: B, 4: B, 1: A, 2: A},
    )

    assert naming.names == [A, B]


def groups_of(homes: list[int]) -> list[frozenset[int]]:
    """Entities 1, 2, ... by where each is at home; 0: nowhere."""
    sets = [frozenset(place + 1 for place, at in enumerate(homes) if at == home) for home in range(1, 5)]
    return [members for members in sets if len(members) > 1]


partitions = st.lists(st.integers(0, 4), min_size=14, max_size=14).map(groups_of)


@given(partitions, partitions, st.randoms(use_true_random=False))
def test_every_change_is_told_once_and_the_order_does_not_matter(
    first: list[frozenset[int]], second: list[frozenset[int]], rng
) -> None:  # type: ignore[no-untyped-def]
    before = {1000 + place: members for place, members in enumerate(first)}
    shuffled = rng.sample(second, len(second))

    naming, again = (name_groups(before, sets, is_taken=lambda name: False) for sets in (second, shuffled))

    assert len(set(naming.names)) == len(second)
    assert dict(zip(second, naming.names, strict=True)) == dict(zip(shuffled, again.names, strict=True))
    assert naming.changes == again.changes
    # Who follows the changes knows the groups.
    known = dict(before)
    for change in naming.changes:
        for gone in change.sources if change.kind is GroupChange.MERGED else ():
            known.pop(gone)
        if change.after:
            known[change.group] = change.after
        else:
            known.pop(change.group)
    assert known == dict(zip(naming.names, second, strict=True))
