"""Data checked by a JSON Schema with `jsonschema`, with bounded work and without any reference fetched.

Work is counted, in units of about ten nanoseconds: each keyword that is looked at, what it compares and writes into
messages, each pattern by its size and the text's. So what a check may take depends on the schema and the data alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from fractions import Fraction
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import UnknownType, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from towpath.core.errors import BadInputError
from towpath.core.json_schema.patterns import BadPatternError, Pattern, compile_pattern

MAX_WORK = 200_000_000
MAX_LEVELS = 120
"""Keywords within keywords; each takes three frames of Python, which has room for a thousand."""
KEYWORD = 400
SUBSCHEMA = 600
STEP = 50
PATTERN_SHARE = 10
COMPILED = 30
MAX_ERRORS = 1000
# Their own work is one step for each entry; what is within is counted where it is looked at.
APPLICATORS = frozenset(
    {
        "allOf",
        "anyOf",
        "contains",
        "dependentSchemas",
        "else",
        "if",
        "items",
        "patternProperties",
        "prefixItems",
        "properties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class UncheckableError(BadInputError):
    """Data cannot be checked by this schema: it leads out of itself, never ends, or takes too much work."""


class _Work:
    """What is left to be spent on one check."""

    def __init__(self) -> None:
        self.left = MAX_WORK
        self.level = 0
        self.patterns: dict[str, Pattern] = {}
        # By identity: all that is weighed lives as long as the check.
        self._weights: dict[int, int] = {}

    def spend(self, units: int) -> None:
        """Take units off.

        Raises:
            UncheckableError: None are left.
        """
        self.left -= units
        if self.left < 0:
            raise UncheckableError(
                "checking the data by the schema takes too much work: "
                "it needs fewer alternatives, references or pattern checks, or less data"
            )

    def weight(self, value: Any) -> int:
        """About the characters that a value takes when it is written."""
        if isinstance(value, str):
            return len(value) + 2
        if not isinstance(value, dict | list):
            return 8 if not isinstance(value, int) else 8 + value.bit_length() // 3
        known = self._weights.get(id(value))
        if known is None:
            known = 8
            if isinstance(value, dict):
                for name, item in value.items():
                    known += len(str(name)) + 4 + self.weight(item)
            else:
                for item in value:
                    known += 2 + self.weight(item)
            self._weights[id(value)] = known
        return known


_WORK: ContextVar[_Work] = ContextVar("work of a check")


def errors_of(data: Any, schema: Mapping[str, Any] | bool, *, most: int = MAX_ERRORS) -> list[ValidationError]:
    """Return what is wrong with data by a schema, in the order of the schema.

    Args:
        data: As JSON gives it.
        schema: Of draft 2020-12. What was stored before `check_schema` was may hold anything, and is refused here.
        most: Errors after which the check ends.

    Raises:
        UncheckableError: A reference leads out of the schema, it refers to itself without end, a pattern does not run
            here, or the check takes too much work.
    """
    resource = DRAFT202012.create_resource(schema if isinstance(schema, bool) else dict(schema))
    return _errors(data, resource, Registry().with_resource("", resource), most)


def meta_errors_of(schema: Any, *, most: int = 1) -> list[ValidationError]:
    """Return what is wrong with a schema by the rules for schemas.

    Raises:
        UncheckableError: It is too large, or nested too deeply.
    """
    return _errors(schema, DRAFT202012.create_resource(dict(Draft202012Validator.META_SCHEMA)), Registry(), most)


def _errors(data: Any, resource: Any, registry: Any, most: int) -> list[ValidationError]:
    token = _WORK.set(_Work())
    errors: list[ValidationError] = []
    try:
        # With a registry of its own nothing is fetched; crawled, so that no anchor is looked for twice.
        for error in _BOUNDED(resource.contents, registry=registry.crawl()).iter_errors(data):
            errors.append(error)
            if len(errors) >= most:
                break
    except BadPatternError as error:
        raise UncheckableError(f"the schema has a pattern that cannot be run: {error}"[:300]) from error
    except Unresolvable as error:
        raise UncheckableError(f"the schema refers to {str(error.ref)[:100]!r}, which is not within it") from error
    except UnknownType as error:
        raise UncheckableError(f"the schema has an unknown type {str(error.type)[:80]!r}") from error
    except RecursionError as error:
        raise _too_deep() from error
    finally:
        _WORK.reset(token)
    return errors


def _too_deep() -> UncheckableError:
    return UncheckableError(
        "the schema refers to itself without end, or schema and data are nested too deeply to be checked"
    )


def _count_work(word: str, keyword: Keyword) -> Keyword:
    """Return a keyword that spends what it takes."""
    shallow = word in APPLICATORS

    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        work = _WORK.get()
        work.level += 1
        try:
            if work.level > MAX_LEVELS:
                raise _too_deep()
            entries = len(value) if shallow and isinstance(value, dict | list) else 0
            items = len(instance) if isinstance(instance, dict | list) else 0
            work.spend(KEYWORD + STEP * (items + entries) + (0 if shallow else work.weight(value)))
            # What `false` refuses, and what a reference leads to may be that, is written without a keyword of its own.
            errors = _falses(value) + (0 if shallow else 1)
            work.spend(errors * work.weight(instance) if errors else 0)
            for error in keyword(validator, value, instance, schema) or ():
                work.spend(KEYWORD + work.weight(instance))
                yield error
        finally:
            work.level -= 1

    return counted


def _falses(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,)
    return sum(each is False for each in inside)


def _matches(pattern: Any, text: str) -> bool:
    work = _WORK.get()
    compiled = work.patterns.get(pattern)
    if compiled is None:
        compiled = work.patterns[pattern] = compile_pattern(pattern)
        work.spend(COMPILED * compiled.size)
    work.spend(KEYWORD + compiled.steps(text) // PATTERN_SHARE)
    return compiled.found_in(text)


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for pattern, subschema in patterns.items():
            for name, value in instance.items():
                if _matches(pattern, name):
                    yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, subschema: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [
        name for name in instance if name not in known and not any(_matches(pattern, name) for pattern in patterns)
    ]
    if validator.is_type(subschema, "object"):
        for name in extras:
            yield from validator.descend(instance[name], subschema, path=name)
    elif not subschema and extras:
        yield ValidationError(_unexpected("Additional properties", [repr(name) for name in extras]))


def _unique_items(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    # The library compares each with each where they cannot be sorted.
    if unique and validator.is_type(instance, "array") and len({_canonical(item) for item in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _canonical(value: Any) -> str:
    """One text for all values that JSON Schema calls equal: 1 is 1.0, and is not true."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name!r}:{_canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:x}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)


def _multiple_of(validator: Any, step: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    try:
        yield from Draft202012Validator.VALIDATORS["multipleOf"](validator, step, instance, schema)
    except OverflowError:
        # An integer beyond what a float can hold, by a step that is one.
        if (Fraction(instance) / Fraction(step)).denominator != 1:
            yield ValidationError(f"{instance!r} is not a multiple of {step}")


def _unevaluated_properties(validator: Any, subschema: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        evaluated = _evaluated(validator, instance, schema)
        wrong = [
            repr(name) for name in instance if name not in evaluated and not _fits(validator, instance[name], subschema)
        ]
        if wrong:
            yield ValidationError(_unexpected("Unevaluated properties", wrong))


def _unevaluated_items(validator: Any, subschema: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "array"):
        evaluated = _evaluated_items(validator, instance, schema)
        wrong = [
            repr(item)
            for at, item in enumerate(instance)
            if at not in evaluated and not _fits(validator, item, subschema)
        ]
        if wrong:
            yield ValidationError(_unexpected("Unevaluated items", wrong))


def _unexpected(what: str, items: Sequence[str]) -> str:
    return f"{what} are not allowed ({', '.join(items)} {'was' if len(items) == 1 else 'were'} unexpected)"


def _evaluated(validator: Any, instance: Mapping[str, Any], schema: Any) -> set[str]:
    """The properties that a schema and what applies in its place look at; the library's own uses Python's patterns."""
    if not isinstance(schema, Mapping):
        return set()
    evaluated = {name for name in schema.get("properties", {}) if name in instance}
    for word in ("additionalProperties", "unevaluatedProperties"):
        if word in schema:
            evaluated.update(name for name, value in instance.items() if _fits(validator, value, schema[word]))
    for pattern in schema.get("patternProperties", {}):
        evaluated.update(name for name in instance if _matches(pattern, name))
    return evaluated.union(
        *(_evaluated(inner, instance, inner_schema) for inner, inner_schema in _in_place(validator, instance, schema))
    )


def _evaluated_items(validator: Any, instance: Sequence[Any], schema: Any) -> set[int]:
    """Return the same for the items of a list; the library's own looks each up in a list."""
    if not isinstance(schema, Mapping):
        return set()
    if "items" in schema:
        return set(range(len(instance)))
    evaluated = set(range(len(schema.get("prefixItems", []))))
    for word in ("contains", "unevaluatedItems"):
        if word in schema:
            evaluated.update(at for at, item in enumerate(instance) if _fits(validator, item, schema[word]))
    inside = _in_place(validator, instance, schema)
    return evaluated.union(*(_evaluated_items(inner, instance, inner_schema) for inner, inner_schema in inside))


def _in_place(validator: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The schemas that apply to the same value and take it, each with the validator that knows its references."""
    for word in ("$ref", "$dynamicRef"):
        if word in schema:
            target = validator._resolver.lookup(schema[word])
            yield validator.evolve(schema=target.contents, _resolver=target.resolver), target.contents
    if isinstance(instance, Mapping):
        yield from (
            (validator, inner) for name, inner in schema.get("dependentSchemas", {}).items() if name in instance
        )
    for word in ("allOf", "oneOf", "anyOf"):
        for inner in schema.get(word, []):
            if _fits(validator, instance, inner):
                yield validator, inner
    if "if" in schema:
        fits = _fits(validator, instance, schema["if"])
        for word in ("if", "then") if fits else ("else",):
            if word in schema:
                yield validator, schema[word]


def _fits(validator: Any, value: Any, schema: Any) -> bool:
    return next(validator.descend(value, schema), None) is None


def _evolve(self: Any, **changes: Any) -> Any:
    """Return a validator for a part of a schema: always a bounded one, whatever `$schema` the part names."""
    schema = changes.get("schema", self.schema)
    _WORK.get().spend(SUBSCHEMA + 10 * (len(schema) if isinstance(schema, Mapping) else 0))
    current = {"schema": self.schema, "registry": self._registry, "_resolver": self._resolver}
    return _BOUNDED(**{**current, **changes})


_OWN: dict[str, Keyword] = {
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "unevaluatedItems": _unevaluated_items,
    "unevaluatedProperties": _unevaluated_properties,
    "uniqueItems": _unique_items,
}
_KEYWORDS: dict[str, Any] = {
    word: _count_work(word, _OWN.get(word) or keyword) for word, keyword in Draft202012Validator.VALIDATORS.items()
}
_BOUNDED: Any = extend(Draft202012Validator, validators=_KEYWORDS)  # type: ignore[no-untyped-call]
_BOUNDED.evolve = _evolve
