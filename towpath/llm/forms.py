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
from towpath.core.json_values import parse_json, problem_of, write_json

MAX_ERRORS = 8

Answered = RootModel[dict[str, Any]]


def answer_model(form: dict[str, Any]) -> type[Answered]:
    """The model for an answer in a form.

    Args:
        form: A JSON Schema of an object, self-contained.
    """
    return _model(write_json(form))


@lru_cache(maxsize=256)
def _model(raw: bytes) -> type[Answered]:
    form = parse_json(raw)
    described = {"title": "Answer", "description": "The answer in the asked form.", **form}

    class Answer(RootModel[dict[str, Any]]):
        """The answer in the asked form."""

        @classmethod
        def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
            return dict(described)

        @model_validator(mode="after")
        def _in_form(self) -> Answer:
            if problem := problem_of(self.root):
                raise ValueError(problem)
            try:
                errors = sorted(errors_of(self.root, form), key=lambda error: error.json_path)
            except UncheckableError as error:
                raise ValueError(error.detail) from error
            if errors:
                raise ValueError("; ".join(_told(error) for error in errors[:MAX_ERRORS]))
            return self

    return cast(type[Answered], Answer)


def _told(error: FormError) -> str:
    return f"{error.json_path}: {error.message}"[:300]
