"""Hostile requests to every operation of the OpenAPI document: values that no part can hold, in every place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

NUL = "a\0b"
HALF = "a\ud800b"
HUGE = 10**30
OFF_THE_CALENDAR = "9999-12-31T23:59:59-23:59"
DEEP = "[" * 5_000 + "]" * 5_000
LONG = "x" * 1_000_000
METHODS = ("get", "post", "put", "patch", "delete")
Path = tuple[str | int, ...]
MISSING = object()


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: where it differs from a plain one, and all of it."""

    place: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the document."""

    method: str
    path: str
    parameters: list[dict[str, Any]]
    body: dict[str, Any] | None
    example: Any
    form: dict[str, Any] | None
    document: dict[str, Any] = field(repr=False)

    @property
    def forms(self) -> bool:
        """Whether it takes a form with files."""
        return self.form is not None

    @property
    def name(self) -> str:
        """What a test's id shows."""
        return f"{self.method} {self.path}"


def operations(document: dict[str, Any]) -> list[Operation]:
    """Every operation of a document."""
    return [
        _operation(document, path, method, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def _operation(document: dict[str, Any], path: str, method: str, told: dict[str, Any]) -> Operation:
    content = told.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {})
    return Operation(
        method=method.upper(),
        path=path,
        parameters=[resolved(document, one) for one in told.get("parameters", [])],
        body=body.get("schema"),
        example=body.get("example"),
        form=content.get("multipart/form-data", {}).get("schema"),
        document=document,
    )


def requests(operation: Operation, known: dict[str, str]) -> Iterator[Sent]:
    """Everything hostile that can be sent to an operation.

    Args:
        operation: The operation.
        known: Values of path and query parameters for which there is something.
    """
    yield from _in_parameters(operation, known)
    if operation.body is not None:
        yield from _in_body(operation, known)
    if operation.forms:
        yield from _in_forms(operation, known)


def plain(operation: Operation, known: dict[str, str]) -> Sent:
    """A request that has all that is required, and nothing hostile."""
    given = {one["name"]: _plain_parameter(operation, one, known) for one in operation.parameters}
    return _with(operation, given, "plain", _plain_body(operation))


def _in_parameters(operation: Operation, known: dict[str, str]) -> Iterator[Sent]:
    plain = {one["name"]: _plain_parameter(operation, one, known) for one in operation.parameters}
    body = _plain_body(operation)
    for one in operation.parameters:
        for raw in _hostile_parameter(operation, one):
            given = {**plain, one["name"]: raw}
            yield _with(operation, given, f"{one['in']} {one['name']} = {raw[:40]!r}", body)
    for raw in ("Last-Event-ID: 1" + "0" * 30, f"Towpath-Deadline: {OFF_THE_CALENDAR}", "Towpath-Deadline: 1e400",
                "Towpath-Deadline: nan", "Prefer: wait=1" + "0" * 400, "Prefer: wait=-1", "Content-Length-Hint: \xff",
                "Idempotency-Key: \xe9\xff", "Towpath-Webhook-Url: http://127.0.0.1:99999/",
                "X-API-Key: \xff", "Authorization: Bearer \xff.\xff.\xff", "Content-Encoding: gzip"):  # fmt: skip
        name, _, value = raw.partition(": ")
        yield _with(operation, plain, f"header {raw[:60]!r}", body, {name: value})
    yield _with(operation, plain, "query a NUL name", body, query="%00=1")
    yield _with(operation, plain, "query no UTF-8", body, query="x=%ff")


def _in_body(operation: Operation, known: dict[str, str]) -> Iterator[Sent]:
    plain = {one["name"]: _plain_parameter(operation, one, known) for one in operation.parameters}
    base = _plain_value(operation.document, operation.body or {}, operation.example)

    def sent(place: str, body: bytes, media: str = "application/json") -> Sent:
        return _with(operation, plain, place, body, {"Content-Type": media})

    whole = _json(base)
    for raw in (b"", b"null", b"[]", b"{}", b'"x"', b"1", b"NaN", b'{"a":1e400}', b'{"a":NaN}', b'{"a":"\xff"}',
                b"{", b"\xef\xbb\xbf" + whole, b'{"\\ud800":1}', b'{"a\\u0000":1}', b"[" * 100_000, DEEP.encode(),
                b'{"a":' + b"1" * 5_000 + b"}", whole[:-1], b'{"a":' * 300 + b"1" + b"}" * 300):  # fmt: skip
        yield sent(f"body {raw[:40]!r}", raw)
    for media in ("text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded", "x",
                  "application/json; charset=utf-16", "application/x-ndjson", "application/yaml"):  # fmt: skip
        yield sent(f"body as {media}", whole, media)
    for path in _places(base, operation.document, operation.body or {}):
        for value in _HOSTILE_VALUES if len(path) == 1 else _DEEPER_VALUES:
            shown = "missing" if value is MISSING else repr(value)[:40]
            yield sent(f"body {'.'.join(map(str, path))} = {shown}", _json(_changed(base, path, value)))


def _in_forms(operation: Operation, known: dict[str, str]) -> Iterator[Sent]:
    plain = {one["name"]: _plain_parameter(operation, one, known) for one in operation.parameters}
    for name, value, file in (
        ("schema", NUL, "a.txt"), ("a\0b", "x", "a.txt"), ("schema", '{"a": "\\u0000"}', "a.txt"),
        ("schema", '{"a": "\\ud800"}', "a.txt"), ("schema", "\xff", "a.txt"), ("schema", DEEP, "a.txt"),
        ("schema", "1" * 5000, "a.txt"), ("schema", "{}", "a\0b.txt"), ("schema", "{}", ".."), ("schema", "{}", ""),
        ("schema", "{}", "x" * 5000 + ".txt"), ("schema", "{}", "\xff.png"),
    ):  # fmt: skip
        form = (
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="{file}"\r\n\r\nhello\r\n--b--\r\n'
        )
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        for text in (form.encode("latin-1"), form.encode("latin-1").replace(b'"file"', b'"files"')):
            yield _with(operation, plain, f"form {name!r} {value[:30]!r} {file[:30]!r}", text, headers)
    for media in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\xff"):
        yield _with(operation, plain, media, b"--b\r\n\r\n", {"Content-Type": media})


_HOSTILE_VALUES: tuple[Any, ...] = (
    MISSING, None, "", NUL, HALF, "😀", "..", LONG, HUGE, -1, 2**63, 2**31, 1.5, True, [], ["x"], {}, {"a\0": 1},
    {"\ud800": 1}, {"x": HUGE}, OFF_THE_CALENDAR, "0001-01-01", "http://127.0.0.1:99999/", "http://example.com:x/",
    "postgresql://u:p@example.com/x?port=abc", "\u202e%00\r\n", "{'a': 1}", "[" * 5_000,
    [[[[[[[[[[1]]]]]]]]]], {"$ref": "#"}, [HUGE, None, True],
)  # fmt: skip


_DEEPER_VALUES: tuple[Any, ...] = (MISSING, None, NUL, HALF, HUGE, LONG[:5000], -1, True, ["x"], {"x": HUGE}, "..")


def _hostile_parameter(operation: Operation, one: dict[str, Any]) -> list[str]:
    kinds = _kinds(operation.document, one["schema"])
    values = [NUL, "", "😀", "..", "%", "x" * 5_000, "null", "[]", "{}", "'\";--", "1" + "0" * 30, OFF_THE_CALENDAR]
    if kinds & {"integer", "number"}:
        values += ["-1", str(2**63), str(2**31), "0", "1.5", "NaN", "1e400", "true"]
    if "boolean" in kinds:
        values += ["2", "-1", "maybe"]
    if "date-time" in kinds:
        values += ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "1e20", "-1", "99999999999999", "2026-13-01"]
    if one["in"] == "header":
        return [value.encode("latin-1", "ignore").decode("latin-1").replace("\0", "") for value in values]
    return [*values, "%ff", "%ed%a0%80"]


def _with(
    operation: Operation,
    given: dict[str, str],
    place: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    query: str = "",
) -> Sent:
    path, pairs, sent = operation.path, [query] if query else [], {}
    for one in operation.parameters:
        value = given[one["name"]]
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", _quoted(value) or "%20")
        elif one["in"] == "query" and (one.get("required") or value):
            pairs.append(f"{one['name']}={_quoted(value)}")
        elif one["in"] == "header" and value:
            sent[one["name"]] = value
    if body is not None:
        sent["Content-Type"] = "application/json"
    if "/entities/batch" in operation.path:
        # Else each answer waits for its job.
        sent["Prefer"] = "respond-async"
    return Sent(place, path, "&".join(pairs), {**sent, **(headers or {})}, body)


def _quoted(value: str) -> str:
    # `%ff` and its like are no text, and stand as they are.
    return value if value.startswith("%") and len(value) > 1 else quote(value, safe="").replace(".", "%2E")


def _plain_parameter(operation: Operation, one: dict[str, Any], known: dict[str, str]) -> str:
    if one["in"] == "path" or one.get("required"):
        value = known.get(one["name"])
        return str(_plain_value(operation.document, one["schema"])) if value is None else value
    return ""


def _plain_body(operation: Operation) -> bytes | None:
    if operation.body is None:
        return None
    return _json(_plain_value(operation.document, operation.body, operation.example))


def _plain_value(document: dict[str, Any], schema: dict[str, Any], example: Any = None) -> Any:
    """Something of the form that a schema describes."""
    schema = resolved(document, schema)
    example = example if example is not None else schema.get("example", next(iter(schema.get("examples", [])), None))
    if example is not None:
        return example
    if "enum" in schema or "const" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    kind = schema.get("type")
    if kind == "object":
        needed = schema.get("required", [])
        told = {name: one for name, one in schema.get("properties", {}).items() if name in needed}
        return {name: _plain_value(document, one) for name, one in told.items()}
    if kind == "array":
        return [_plain_value(document, schema.get("items", {}))] if schema.get("minItems") else []
    if kind == "string" and schema.get("format") == "uuid":
        return "0198f0d6-3a51-7cc2-9f1e-0f6a0a1b2c3d"
    plain = {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 1), "boolean": False}
    return plain.get(str(kind), "x" * max(1, schema.get("minLength", 1)))


def _places(base: Any, document: dict[str, Any], schema: dict[str, Any]) -> list[Path]:
    """The members of a body: those that it has, and those that the schema knows."""
    found = dict.fromkeys(_inside(base, ()))
    known = resolved(document, schema)
    found.update(dict.fromkeys((name,) for name in known.get("properties", {})))
    return list(found)


def _inside(value: Any, path: Path) -> Iterator[Path]:
    if len(path) > 4:
        return
    inside: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value[:1]))
    for name, item in inside:
        yield (*path, name)
        yield from _inside(item, (*path, name))


def _changed(base: Any, path: Path, value: Any) -> Any:
    whole = copy.deepcopy(base)
    inside = whole
    for name in path[:-1]:
        inside = inside[name]
    if value is not MISSING:
        inside[path[-1]] = value
    elif isinstance(inside, list) or path[-1] in inside:
        del inside[path[-1]]
    return whole


def _json(value: Any) -> bytes:
    # With escapes, so that half of a surrogate pair is sent as one.
    return json.dumps(value).encode()


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema behind its reference, and of several the first that is not null."""
    while True:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            schema = document["components"]["schemas"].get(name, {})
            continue
        several = schema.get("anyOf") or schema.get("oneOf")
        if not several:
            return schema
        schema = next((one for one in several if one.get("type") != "null"), {})


def _kinds(document: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    several = schema.get("anyOf") or [schema]
    known = [resolved(document, one) for one in several]
    return {str(one.get(name)) for one in known for name in ("type", "format") if name in one}
