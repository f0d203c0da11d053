"""What of a result is given with the entity: it is not asked, no model overwrites it, and nobody disputes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from towpath.enrichment.domain.content import MAX_REFERENCES, Content, Path, resolve, resolve_properties, value_of

Known = dict[Path, Any]
"""The given values by the paths of their properties; lists are not walked into."""


def find_known(content: Content, entity: Mapping[str, Any], languages: Sequence[str] = ("en",)) -> Known:
    """Find what an entity brings: properties to preserve, and identifying ones that it has a value for.

    Args:
        content: The schema.
        entity: The known facts.
        languages: Of multilingual values. An identifying one is asked where a language is missing.
    """
    return dict(_walk(content, resolve_properties(content), entity, tuple(languages), ()))


def _walk(
    content: Content,
    specs: Mapping[str, Any],
    facts: Mapping[str, Any],
    languages: Sequence[str],
    above: Path,
) -> Iterator[tuple[Path, Any]]:
    for name, raw in specs.items():
        spec, value, path = resolve(raw, content), value_of(facts, name), (*above, name)
        if spec.get("preserve"):
            yield path, value
        elif spec.get("identifying"):
            if value is not None and not _lacks_language(spec, value, languages):
                yield path, value
        elif isinstance(spec.get("properties"), dict) and len(path) < MAX_REFERENCES:
            nested = value if isinstance(value, Mapping) else {}
            yield from _walk(content, spec["properties"], nested, languages, path)


def _lacks_language(spec: Mapping[str, Any], value: Any, languages: Sequence[str]) -> bool:
    return bool(spec.get("multilingual")) and not (
        isinstance(value, Mapping) and all(value_of(value, language) is not None for language in languages)
    )


def apply_known(content: Content, known: Known, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result in which every given value stands as it was given, in the order of the schema."""
    merged = dict(result)
    for path, value in known.items():
        target = merged
        for name in path[:-1]:
            nested = target.get(name)
            target[name] = target = dict(nested) if isinstance(nested, Mapping) else {}
        target[path[-1]] = value
    return {name: merged[name] for name in resolve_properties(content) if name in merged}


def needs_asking(content: Content, known: Known, name: str) -> bool:
    """Return whether anything of a property of the root is not given."""
    return _has_unknown(content, resolve_properties(content)[name], known, (name,))


def _has_unknown(content: Content, raw: Mapping[str, Any], known: Known, path: Path) -> bool:
    if path in known:
        return False
    spec = resolve(raw, content)
    nested = spec.get("properties")
    if not isinstance(nested, dict) or not nested or len(path) >= MAX_REFERENCES:
        return True
    return any(_has_unknown(content, each, known, (*path, name)) for name, each in nested.items())
