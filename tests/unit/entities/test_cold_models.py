"""The model of an index that nothing has trained yet follows its growth."""

from __future__ import annotations

from towpath.entities.service.matching import count_steps


def test_each_of_the_first_entities_is_a_step_and_later_a_quarter_more() -> None:
    steps = [count_steps(entities) for entities in range(200)]

    assert steps[:9] == list(range(9))
    assert steps == sorted(steps)
    assert 10 <= steps[-1] - steps[8] <= 16
