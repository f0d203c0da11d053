"""What a schema's content says: its properties, domains and flags, and an entity's values for them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from towpath.core.errors import BadInputError

GENERAL = "general"
MAX_REFERENCES = 20

Content = dict[str, Any]
Path = tuple[str, ...]
"""The names of a property and of the objects that it is in, from the root."""


def resolve(spec: Mapping[str, Any], content: Content, followed: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a property with its `$ref` followed; the property's own words win.

    Raises:
        BadInputError: The reference leads nowhere, or to itself.
    """
    reference = spec.get("$ref")
    if reference is None:
        return dict(spec)
    match = re.fullmatch(r"#/(\$defs|\$enums|definitions)/([^/]+)", str(reference))
    place = "$defs" if match and match[1] == "definitions" else (match[1] if match else "")
    target = content.get(place, {}).get(match[2]) if match else None
    if len(followed) >= MAX_REFERENCES:
        raise BadInputError(
            f"schema_content: more than {MAX_REFERENCES} $ref follow each other at {str(reference)[:100]!r}",
            field="schema_content",
        )
    if target is None or reference in followed:
        raise BadInputError(f"schema_content: $ref {reference!r} leads nowhere", field="schema_content")
    if place == "$enums":
        values = target if isinstance(target, list) else target.get("values", target.get("enum"))
        if not isinstance(values, list) or not values:
            raise BadInputError(
                f"schema_content.$enums.{match[2] if match else ''} must list values", field="schema_content"
            )
        target = {"type": "string", "enum": values}
    own = {key: value for key, value in spec.items() if key != "$ref"}
    return {**resolve(target, content, followed | {str(reference)}), **own}


def resolve_properties(content: Content) -> dict[str, dict[str, Any]]:
    """Return the root's properties, references followed."""
    return {name: resolve(spec, content) for name, spec in content["root"]["properties"].items()}


def group_by_domain(content: Content) -> dict[str, list[str]]:
    """Return the expertise domains that have properties, in the order of the schema.

    A property that names none joins the domain that has the fewest to ask for: a call of its own would cost more than
    it asks. Where the schema has no domain at all, all are `general`.
    """
    names_by_domain: dict[str, list[str]] = {}
    to_ask: Counter[str] = Counter()
    homeless = []
    for name, spec in resolve_properties(content).items():
        domain = spec.get("expertise")
        if not domain:
            homeless.append(name)
            continue
        names_by_domain.setdefault(domain, []).append(name)
        to_ask[domain] += not (spec.get("preserve") or spec.get("identifying"))
    if homeless:
        # A domain of which everything is given needs no call, and is not given one.
        candidates = [domain for domain in names_by_domain if to_ask[domain]]
        home = min(candidates, key=to_ask.__getitem__) if candidates else next(iter(names_by_domain), GENERAL)
        names_by_domain.setdefault(home, []).extend(homeless)
    order = {name: place for place, name in enumerate(content["root"]["properties"])}
    return {domain: sorted(names, key=order.__getitem__) for domain, names in names_by_domain.items()}


def domain_name(content: Content, key: str) -> str:
    """Return a domain's name for people."""
    spec = content["expertise_domains"].get(key)
    return str(spec.get("name") or key) if isinstance(spec, dict) else key


def domain_description(content: Content, key: str) -> str:
    """Return what a domain is about."""
    spec = content["expertise_domains"].get(key)
    return str(spec.get("description") or "") if isinstance(spec, dict) else str(spec or "")


def find_flagged(content: Content, flag: str) -> list[Path]:
    """Return the paths of properties with a flag, within objects too, but not within lists."""
    return list(_walk_flagged(content, resolve_properties(content), flag, ()))


def _walk_flagged(content: Content, specs: Mapping[str, Any], flag: str, above: Path) -> Iterator[Path]:
    for name, raw in specs.items():
        spec = resolve(raw, content)
        path = (*above, name)
        if spec.get(flag):
            yield path
        elif isinstance(spec.get("properties"), dict) and len(path) < MAX_REFERENCES:
            yield from _walk_flagged(content, spec["properties"], flag, path)


def input_contract(content: Content) -> dict[str, Any]:
    """Return what an entity must bring: `{identifying_keys, preserve, array_item_keys}`, nested ones as `a.b`."""
    arrays: dict[str, list[str]] = {}
    for name, spec in resolve_properties(content).items():
        if spec.get("type") == "array":
            item = resolve(spec.get("items", {}), content)
            keys = [key for key, each in item.get("properties", {}).items() if each.get("identifying")]
            if keys:
                arrays[name] = keys
    return {
        "identifying_keys": [dotted(path) for path in find_flagged(content, "identifying")],
        "preserve": [dotted(path) for path in find_flagged(content, "preserve")],
        "array_item_keys": arrays,
    }


def dotted(path: Path) -> str:
    """Return a path as people write it."""
    return ".".join(path)


def value_of(entity: Mapping[str, Any], name: str) -> Any:
    """Return an entity's value for a property, whatever the case of its key; None: missing or empty."""
    if name in entity:
        value = entity[name]
    else:
        folded = name.casefold()
        value = next((each for key, each in entity.items() if key.casefold() == folded), None)
    empty = value is None or (isinstance(value, str) and not value.strip()) or value in ([], {})
    return None if empty else value


def value_at(entity: Mapping[str, Any], path: Path) -> Any:
    """Return an entity's value for a nested property, as `value_of` does; None: missing or empty."""
    value: Any = entity
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value_of(value, name)
    return value


def check_entity(content: Content, entity: Mapping[str, Any], place: str) -> None:
    """Refuse an entity that the schema cannot work from, before anything is spent.

    Args:
        content: The schema.
        entity: The known facts.
        place: The entity's place in the request, for the message.

    Raises:
        BadInputError: No identifying property has a value, or one to preserve has none.
    """
    identifying = find_flagged(content, "identifying")
    if identifying and all(value_at(entity, path) is None for path in identifying):
        names = ", ".join(dotted(path) for path in identifying)
        raise BadInputError(f"{place} needs a value for one of: {names}", field=place)
    for path in find_flagged(content, "preserve"):
        if value_at(entity, path) is None:
            where = f"{place}.{dotted(path)}"
            raise BadInputError(f"{where} is to be preserved and has no value", field=where)


def entity_label(content: Content, entity: Mapping[str, Any]) -> str:
    """Return a short name of an entity for people."""
    naming = [(name,) for name in ("name", "title", "label", "id")]
    for path in [*find_flagged(content, "identifying"), *naming]:
        value = value_at(entity, path)
        if isinstance(value, str | int | float):
            return str(value)[:200]
    return next((str(value)[:200] for value in entity.values() if isinstance(value, str | int) and value), "entity")
