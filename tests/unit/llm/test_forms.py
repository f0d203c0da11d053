"""The form that a model's answer must have, and the values that it must not bring."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from towpath.llm.forms import answer_model

FORM = {"type": "object", "properties": {"a": {}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('{"a": "x\\u0000"}', "a contains a null byte"),
        ('{"a": [{"x\\u0000": 1}]}', r"a\[0\] contains a null byte"),
        ('{"a": NaN}', "a is no number"),
        ('{"a": [1, -Infinity]}', r"a\[1\] is no number"),
        ('{"a": 1' + "0" * 400 + "}", "a is no number"),
    ],
)
def test_an_answer_with_a_value_that_cannot_be_stored_is_sent_back(answer: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        answer_model(FORM).model_validate_json(answer)


def test_a_big_integer_of_a_model_is_taken_as_it_is() -> None:
    assert answer_model(FORM).model_validate_json('{"a": 1%s}' % ("0" * 30)).root == {"a": 10**30}
