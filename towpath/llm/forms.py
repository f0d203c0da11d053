"""A pydantic model whose schema is a given JSON Schema, by which an answer is checked to the letter.

A class field by field could not hold property names such as `class` or `2024`, nor all words of JSON Schema.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from jsonschema.exceptions import ValidationError as FormError
from pydantic import GetJsonSchemaHandler, RootModel, model_validator
from pydantic_core import CoreSchema

from towpath.core.json_schema import UncheckableError, errors_of
from towpath.core.json_values import find_problem, parse_json, write_json

MAX_ERRORS = 8

AnswerModel = RootModel[dict[str, Any]]


def answer_model(form: dict[str, Any]) -> type[AnswerModel]:
    """Return the model for an answer in a form.

    Args:
        form: A JSON Schema of an object, self-contained.
    """
    return _model(write_json(form))


@lru_cache(maxsize=256)
def _model(raw: bytes) -> type[AnswerModel]:
    form = parse_json(raw)
    described = {"title": "Answer", "description": "The answer in the asked form.", **form}

    class Answer(RootModel[dict[str, Any]]):
        """The answer in the asked form."""

        @classmethod
        def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
            return dict(described)

        @model_validator(mode="after")
        def _in_form(self) -> Answer:
            if problem := find_problem(self.root):
                raise ValueError(problem)
            try:
                errors = sorted(errors_of(self.root, form), key=lambda error: error.json_path)
            except UncheckableError as error:
                raise ValueError(error.detail) from error
            if errors:
                raise ValueError("; ".join(_message(error) for error in errors[:MAX_ERRORS]))
            return self

    return cast(type[AnswerModel], Answer)


def _message(error: FormError) -> str:
    return f"{error.json_path}: {error.message}"[:300]
