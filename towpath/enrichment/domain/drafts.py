"""A schema made from samples: the structure by code, so that it is right; the wording by a model, if one answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from towpath.core.errors import BadInputError
from towpath.core.json_values import write_json
from towpath.core.texts import shorten
from towpath.enrichment.domain.content import Content
from towpath.enrichment.domain.forms import make_closed_object
from towpath.enrichment.domain.prompts import FIELD_TOKENS, MAX_TOKENS, MIN_TOKENS, language_name
from towpath.enrichment.domain.schema import MAX_PROPERTIES
from towpath.llm.types import Prompt

FORMATS = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "email": re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+"),
    "uri": re.compile(r"https?://\S+"),
}
NAMING = ("name", "title", "label", "company", "product", "email", "sku", "isbn", "id", "code")
MAX_WORDED = 60


def draft_schema(samples: Sequence[Mapping[str, Any]], *, threshold: float, name: str | None = None) -> Content:
    """Return the structure that samples show.

    Args:
        samples: Entities of one type.
        threshold: A property is taken when this share of the samples has it.
        name: The type's name; None: for the model to find.

    Raises:
        BadInputError: No samples, or ones of several types (some share no property with the others).
    """
    if not samples or not all(isinstance(sample, Mapping) and sample for sample in samples):
        raise BadInputError("entity_samples must hold objects with at least one property", field="entity_samples")
    _refuse_mixed(samples)
    properties = _properties(samples, threshold)
    if not properties:
        raise BadInputError(
            f"no property is in {threshold:.0%} of the samples; lower sample_commonality_threshold",
            field="entity_samples",
        )
    if len(properties) > MAX_PROPERTIES:
        raise BadInputError(f"the samples have more than {MAX_PROPERTIES} properties", field="entity_samples")
    key = _identifying(samples, properties)
    properties[key]["identifying"] = True
    properties[key].pop("nullable", None)
    root = {"name": name or "Entity", "type": "object", "description": "", "properties": properties}
    return {"root": root, "expertise_domains": {}, "$defs": {}, "$enums": {}}


def _refuse_mixed(samples: Sequence[Mapping[str, Any]]) -> None:
    for place, sample in enumerate(samples):
        others = {key for number, other in enumerate(samples) if number != place for key in other}
        if len(samples) > 1 and others.isdisjoint(sample):
            raise BadInputError(
                f"entity_samples[{place}] shares no property with the others: samples must be of one type",
                field=f"entity_samples[{place}]",
            )


def _properties(samples: Sequence[Mapping[str, Any]], threshold: float) -> dict[str, dict[str, Any]]:
    names = list(dict.fromkeys(str(name) for sample in samples for name in sample))
    specs: dict[str, dict[str, Any]] = {}
    for name in names:
        values = [sample[name] for sample in samples if sample.get(name) is not None]
        present = sum(name in sample for sample in samples)
        if present / len(samples) >= threshold:
            specs[name] = {**_spec(values, threshold), "nullable": True}
    return specs


def _spec(values: Sequence[Any], threshold: float) -> dict[str, Any]:
    kinds = {_kind(value) for value in values}
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    kind = kinds.pop() if len(kinds) == 1 else "string"
    if kind == "object":
        nested = _properties([value for value in values if value], threshold) if any(values) else {}
        return {"type": "object", "properties": nested} if nested else {"type": "string"}
    if kind == "array":
        items = [item for value in values for item in value if item is not None]
        spec = _spec(items, threshold) if items else {"type": "string"}
        return {"type": "array", "items": spec}
    if kind == "string":
        texts = [value for value in values if isinstance(value, str)]
        for word, form in FORMATS.items():
            if texts and len(texts) == len(values) and all(form.fullmatch(text.strip()) for text in texts):
                return {"type": "string", "format": word}
    return {"type": kind}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, Mapping) else "string"


def _identifying(samples: Sequence[Mapping[str, Any]], properties: Mapping[str, Mapping[str, Any]]) -> str:
    scalars = [name for name, spec in properties.items() if spec["type"] in {"string", "integer"}]
    everywhere = [name for name in scalars if all(sample.get(name) not in (None, "") for sample in samples)]
    for word in NAMING:
        for name in everywhere or scalars:
            if name.casefold() == word or word in re.split(r"[_\-. ]", name.casefold()):
                return name
    return next(iter(everywhere or scalars or properties))


def wording_prompt(
    content: Content,
    samples: Iterable[Mapping[str, Any]],
    *,
    language: str,
    fields: Sequence[str] | None = None,
    instructions: str | None = None,
) -> Prompt:
    """Asks a model for the type's name and a description of it and of each property.

    Args:
        content: The structure.
        samples: What it was made from.
        language: Of the descriptions.
        fields: The properties to describe; None: all, up to a bound.
        instructions: What a person asks for besides.
    """
    names = list(fields if fields is not None else content["root"]["properties"])[:MAX_WORDED]
    text = {"type": "string", "maxLength": 160}
    form = make_closed_object(
        {
            "type_name": {"type": "string", "maxLength": 60, "description": "What one such entity is called."},
            "type_description": {**text, "description": "One sentence on what such an entity is."},
            "fields": make_closed_object(
                {name: {**text, "description": f"One short phrase on {name}."} for name in names}
            ),
        }
    )
    besides = f"\n{instructions}" if instructions else ""
    examples = [shorten(write_json(sample).decode(), 600) for sample, _ in zip(samples, range(3), strict=False)]
    records = "".join(f"{example}\n" for example in ["Records:", *examples]) if examples else ""
    words = f"Describe the type and each field. Language of the texts: {language_name(language)}."
    return Prompt(
        system="You write short, plain descriptions of the fields of a record.",
        user=f"{records}{words}{besides}",
        form=form,
        most_tokens=min(MAX_TOKENS, MIN_TOKENS + FIELD_TOKENS * len(names)),
    )


def apply_wording(content: Content, answer: Mapping[str, Any] | None, *, name: str | None = None) -> Content:
    """Return the structure with a model's wording, or with words made of the names where there is none.

    Args:
        content: The structure; not changed.
        answer: What the model answered to `wording_prompt`; None: nothing.
        name: The name that the user gave the type.
    """
    words = answer or {}
    root = dict(content["root"])
    root["name"] = name or clean_wording(words.get("type_name")) or root["name"]
    root["description"] = (
        clean_wording(words.get("type_description")) or root["description"] or f"A record of {root['name']}"
    )
    worded = words.get("fields") or {}
    root["properties"] = {
        key: {**spec, "description": clean_wording(worded.get(key)) or spec.get("description") or humanise(key)}
        for key, spec in root["properties"].items()
    }
    return {**content, "root": root}


def clean_wording(text: Any) -> str:
    """Return a model's wording where it says something, cut behind its last whole sentence; else nothing."""
    sentence = " ".join(str(text or "").split())
    words = re.findall(r"[^\W\d_]{2,}", sentence.lower())
    longest_run = max((words.count(word) for word in words if len(word) > 3), default=0)
    if not words or longest_run > 2 or set(words) <= {"record", "records"}:
        return ""
    if len(sentence) > 100 and not sentence.endswith((".", "!", "?")):
        return sentence[: sentence.rfind(".") + 1]
    return sentence


def humanise(name: str) -> str:
    """Return a property's name as words: `head_office` and `headOffice` become `head office`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[_\-.\s]+", " ", spaced).strip().lower() or name
