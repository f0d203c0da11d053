"""What models are asked, as text: the entity, the fields wanted, and the rules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from towpath.core.json_values import write_json
from towpath.core.languages import find_language
from towpath.enrichment.domain.content import (
    GENERAL,
    Content,
    domain_description,
    domain_name,
    group_by_domain,
)
from towpath.enrichment.domain.forms import answer_form, count_leaves, make_closed_object
from towpath.enrichment.domain.fusion import normalise
from towpath.enrichment.domain.known import find_known
from towpath.enrichment.types import Classification, ClassificationStatus, Conflict
from towpath.llm.marks import MATERIAL, enclose_in_marks, escape_marks
from towpath.llm.types import MIN_CACHED_CHARACTERS, ImagePart, Prompt

FIELD_TOKENS = 60
MIN_TOKENS = 512
MAX_TOKENS = 8192
ROOM = 4
"""An answer gets so many times the room that one like it takes."""
MIN_ROOM, MAX_ROOM = 4096, 16_384
CACHE_GAIN = 9
"""A cached character costs a tenth of another one."""

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
    told_domains: bool = False,
) -> Prompt:
    """Return the prompt for a whole schema, or for one of its expertise domains.

    What all prompts of a job have in common comes first, so that providers cache it: the type, the domains where one
    call is told all of them, and the sources. Entity, domain and languages come last.

    Args:
        content: The schema.
        entity: The known facts.
        domain: The expertise domain asked for; None: the whole schema.
        keys: The properties asked for, as far as they are not given with the entity; None: all.
        languages: Languages of multilingual values, the first for everything else.
        sources: Texts of attachments, as far as the model has room for them.
        images: Attachments for a model that sees.
        note: What the check of the entity's type found, or a person answered.
        small: Bound the answer for a small model.
        strict: The provider enforces the form by itself.
        told_domains: Name the schema's expertise domains with their fields.
    """
    form = domain_form(content, entity, keys=keys, languages=languages, small=small)
    stable = stable_text(content, sources, told_domains=told_domains)
    lines = [f"Known facts: {_json(entity)}"]
    if domain is not None and domain != GENERAL:
        lines.append(f"Your field of expertise: {domain_name(content, domain)}. {domain_description(content, domain)}")
    lines.append(f"Write texts in: {language_name(languages[0])}")
    if len(languages) > 1:
        lines.append(f"Language codes: {'; '.join(language_name(language) for language in languages)}")
    if note:
        lines.append(f"Note: {note}")
    if small:
        # It takes up what it has read last: without this it gives the type or the name back.
        lines.append(f"Fields to answer: {', '.join(form['properties'])}")
    return Prompt(
        system=f"{RULES} {MATERIAL}" if sources else RULES,
        user=stable + escape_marks("\n".join(lines)),
        stable=len(stable),
        form=form,
        images=list(images),
        most_tokens=_answer_tokens(form, len(languages), small=small),
        strict=strict,
    )


def usual_tokens(form: Mapping[str, Any]) -> int:
    """Return what an answer of a form hardly ever takes more than."""
    return min(MAX_TOKENS, max(MIN_TOKENS, FIELD_TOKENS * count_leaves(form)))


def _answer_tokens(form: Mapping[str, Any], languages: int, *, small: bool) -> int:
    if small:
        # Its answers are short by their form, and it does not always come to an end.
        return usual_tokens(form)
    return min(MAX_ROOM, max(MIN_ROOM, ROOM * FIELD_TOKENS * count_leaves(form) * (1 + languages // 4)))


def domain_form(
    content: Content,
    entity: Mapping[str, Any],
    *,
    keys: Sequence[str] | None = None,
    languages: Sequence[str] = ("en",),
    small: bool = False,
) -> dict[str, Any]:
    """Return the form of an answer about an entity, without what is given with it."""
    known = find_known(content, entity, languages)
    chosen = None if keys is None else list(keys)
    return answer_form(content, keys=chosen, languages=list(languages), small=small, without=known)


def stable_text(content: Content, sources: Sequence[str], *, told_domains: bool = False) -> str:
    """Return the part of a prompt that is the same for all entities and domains of a job."""
    root = content["root"]
    lines = [f"Type of entity: {root.get('name', 'entity')}"]
    if root.get("description"):
        lines.append(f"What it is: {root['description']}")
    if told_domains:
        for domain, names in group_by_domain(content).items():
            texts = [domain_name(content, domain), domain_description(content, domain), f"It has: {', '.join(names)}"]
            lines.append("Field of expertise: " + " ".join(f"{text.rstrip('.')}." for text in texts if text))
    lines = [escape_marks(line) for line in lines]
    lines += [
        f"Source {number}:\n{enclose_in_marks(text, attributes=f'number={number}')}"
        for number, text in enumerate(sources, start=1)
    ]
    return "\n".join([*lines, ""])


def gains_by_shared_forms(stable: int, forms: Sequence[Mapping[str, Any]], entities: int) -> bool:
    """Return whether it pays to send the forms of all domains with each call.

    Providers cache the forms before the text, so calls with different forms share nothing of it. All forms in each
    call cost something for every entity; without them the text is bought anew once for each domain.

    Args:
        stable: How many characters of text the calls have in common.
        forms: The forms of the domains.
        entities: How many entities are asked about.
    """
    if len(forms) < 2 or stable < MIN_CACHED_CHARACTERS:
        return False
    return CACHE_GAIN * stable > sum(len(_json(form)) for form in forms) * entities


def language_name(code: str) -> str:
    """Return a language's code with its name: `fr = French`."""
    name = find_language(code)
    return f"{code} = {name}" if name else code


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
        "Several sources differ. For each field answer the letter of the value that is right.",
        f"Known facts: {_json(entity)}",
    ]
    choices: dict[str, Any] = {}
    for number, conflict in enumerate(conflicts, start=1):
        lines.append(f"Field {number} ({conflict.path}):")
        models = list_choices(conflict)
        letters = [letter_of(place) for place in range(len(models))]
        lines.extend(
            f"  {letter}: {_json(conflict.values_by_model[model])}"
            for letter, model in zip(letters, models, strict=True)
        )
        choices[f"field_{number}"] = {"type": "string", "enum": letters}
    form = make_closed_object(choices)
    system = "You decide between conflicting values of a record."
    return Prompt(system=system, user="\n".join(lines), form=form, most_tokens=MIN_TOKENS + 20 * len(choices))


def list_choices(conflict: Conflict) -> list[str]:
    """Return the models whose values an arbiter chooses from: one for each value, in an order that favours none.

    Who is first is chosen more often. The order is a digest's: it differs from field to field, and a repeat has the
    same.
    """
    by_value: dict[str, str] = {}
    for model, value in conflict.values_by_model.items():
        by_value.setdefault(normalise(value), model)
    values = sorted(by_value)
    seed = _json([conflict.path, values])
    order = sorted(values, key=lambda value: hashlib.sha256(f"{seed}\n{value}".encode()).digest())
    return [by_value[value] for value in order]


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


def _json(value: Any) -> str:
    return write_json(value).decode()
