"""What models are asked, as text: the entity, the fields wanted, and the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from towpath.core.json_values import write_json
from towpath.enrichment.domain.content import GENERAL, Content, domain_description, domain_name, find_flagged, value_of
from towpath.enrichment.domain.forms import answer_form, make_closed_object
from towpath.enrichment.types import Classification, ClassificationStatus, Conflict
from towpath.llm.marks import MATERIAL, enclose_in_marks, escape_marks
from towpath.llm.types import ImagePart, Prompt

MAX_SOURCE_CHARACTERS = 60_000
FIELD_TOKENS = 60
MIN_TOKENS = 512
MAX_TOKENS = 8192

RULES = (
    "You complete records about real entities. Use what you know and the sources given. "
    "Answer only with the asked fields. Where a value is not known and the field may be null, answer null; "
    "never invent one. Keep names as they are written in their own language. Dates are ISO 8601."
)


def enrichment_prompt(
    content: Content,
    entity: Mapping[str, Any],
    *,
    domain: str | None = None,
    keys: Sequence[str] | None = None,
    languages: Sequence[str] = ("en",),
    sources: Sequence[str] = (),
    images: Sequence[ImagePart] = (),
    note: str | None = None,
    small: bool = False,
    strict: bool = False,
) -> Prompt:
    """Return the prompt for a whole schema, or for one of its expertise domains.

    Args:
        content: The schema.
        entity: The known facts.
        domain: The expertise domain asked for; None: the whole schema.
        keys: The properties asked for; None: all.
        languages: Languages of multilingual values, the first for everything else.
        sources: Texts of attachments.
        images: Attachments for a model that sees.
        note: What the check of the entity's type found, or a person answered.
        small: Bound the answer for a small model.
        strict: The provider enforces the form by itself.
    """
    root = content["root"]
    form = answer_form(content, keys=None if keys is None else list(keys), languages=list(languages), small=small)
    lines = [f"Type of entity: {root.get('name', 'entity')}"]
    if root.get("description"):
        lines.append(f"What it is: {root['description']}")
    lines.append(f"Known facts: {_json(entity)}")
    if domain is not None and domain != GENERAL:
        lines.append(f"Your field of expertise: {domain_name(content, domain)}. {domain_description(content, domain)}")
    lines.append(f"Write texts in: {languages[0]}")
    fixed = {name: value_of(entity, name) for name in find_flagged(content, "preserve") if name in form["properties"]}
    if fixed:
        lines.append(f"Keep these values exactly: {_json(fixed)}")
    if note:
        lines.append(f"Note: {note}")
    lines = [escape_marks(line) for line in lines]
    lines.extend(
        f"Source {number}:\n{enclose_in_marks(text)}" for number, text in enumerate(_cut_sources(sources), start=1)
    )
    system = f"{RULES} {MATERIAL}" if sources else RULES
    most = min(MAX_TOKENS, max(MIN_TOKENS, FIELD_TOKENS * count_leaves(form) * (1 + len(languages) // 4)))
    return Prompt(system=system, user="\n".join(lines), form=form, images=list(images), most_tokens=most, strict=strict)


def classification_prompt(content: Content, entity: Mapping[str, Any]) -> Prompt:
    """Asks whether an entity is what the schema is for; the answer is a `Verdict`."""
    root = content["root"]
    user = "\n".join(
        [
            f"Expected type: {root.get('name', 'entity')}",
            f"What it is: {root.get('description') or 'not described'}",
            f"Entity: {_json(entity)}",
            "Is the entity of the expected type? match: yes. mismatch: it is something else. "
            "ambiguous: several entities fit. unknown: it cannot be told. "
            "confidence is how sure you are, from 0 to 1.",
        ]
    )
    text = {"type": "string", "maxLength": 300}
    form = make_closed_object(
        {
            "status": {"type": "string", "enum": list(ClassificationStatus)},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "reasoning": text,
            "entity_description": text,
            "alternative_interpretations": {"type": "array", "items": text, "maxItems": 4},
        }
    )
    return Prompt(
        system="You check the type of an entity before work is spent on it.", user=user, form=form, most_tokens=600
    )


def arbitration_prompt(content: Content, entity: Mapping[str, Any], conflicts: Sequence[Conflict]) -> Prompt:
    """Asks which value of each conflict holds: the answer has one choice, a model's number, a path."""
    lines = [
        f"Type of entity: {content['root'].get('name', 'entity')}",
        f"Known facts: {_json(entity)}",
        "Several sources differ. For each field answer the letter of the value that is right.",
    ]
    choices: dict[str, Any] = {}
    for number, conflict in enumerate(conflicts, start=1):
        lines.append(f"Field {number} ({conflict.path}):")
        letters = [letter_of(place) for place in range(len(conflict.values_by_model))]
        lines.extend(
            f"  {letter}: {_json(value)}"
            for letter, value in zip(letters, conflict.values_by_model.values(), strict=True)
        )
        choices[f"field_{number}"] = {"type": "string", "enum": letters}
    form = make_closed_object(choices)
    system = "You decide between conflicting values of a record."
    return Prompt(system=system, user="\n".join(lines), form=form, most_tokens=MIN_TOKENS + 20 * len(choices))


def letter_of(place: int) -> str:
    """Return the name of a choice: A, B, and so on."""
    return chr(ord("A") + place)


def note_of(classification: Classification | None, answer: str | None) -> str | None:
    """Return what the prompt is told of a check that was not a plain match, and of a person's answer to it."""
    parts = []
    if classification is not None and classification.status != "match":
        parts.append(f"the check of its type said {classification.status}: {classification.reasoning}")
    if answer:
        parts.append(f"a person says: {answer}")
    return "; ".join(parts) or None


def source_share(sources: int) -> int:
    """Return how many characters of each source a model is shown."""
    return MAX_SOURCE_CHARACTERS // max(sources, 1)


def count_leaves(form: Mapping[str, Any]) -> int:
    """Return how many values an answer of a form has; an array counts three times its item."""
    if isinstance(form.get("properties"), dict):
        return sum(count_leaves(each) for each in form["properties"].values())
    if isinstance(form.get("items"), dict):
        return 3 * count_leaves(form["items"])
    return 1


def _cut_sources(sources: Sequence[str]) -> list[str]:
    share = source_share(len(sources))
    return [text[:share] for text in sources]


def _json(value: Any) -> str:
    return write_json(value).decode()
