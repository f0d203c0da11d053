"""Requests of public clients, replayed: what each sends, and which members of the answer it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

N8N = {"X-Client-Origin": "n8n"}
ABSENT = object()


@dataclass(frozen=True)
class Replay:
    """One request of one operation.

    Attributes:
        client: Whose.
        operation: Its name there.
        method: The request's.
        path: The same; a name in braces stands for something that was made before.
        reads: The members that the client reads, dotted; `name[]` stands for each item of a list that is not empty.
        body: Sent as JSON; texts in braces stand for what was made before.
        query: The query string as the client sends it, empty parameters included.
        files: Sent as a form.
        headers: Beside the key.
    """

    client: str
    operation: str
    method: str
    path: str
    reads: str
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    files: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.client}: {self.operation}"


def filled(value: Any, made: Mapping[str, Any]) -> Any:
    """Return a value with what stands for something made before replaced by it."""
    if isinstance(value, str):
        if value.startswith("{") and value.endswith("}") and value[1:-1] in made:
            return made[value[1:-1]]
        for name, text in made.items():
            value = value.replace(f"{{{name}}}", str(text))
        return value
    if isinstance(value, list):
        return [filled(each, made) for each in value]
    if isinstance(value, dict):
        return {name: filled(each, made) for name, each in value.items()}
    return value


def missing(answer: Any, reads: str) -> list[str]:
    """Return those of the members that a client reads which an answer does not have."""
    return [path for path in reads.split() if ABSENT in list(_values(answer, path.split(".")))]


def _values(value: Any, names: list[str]) -> Iterator[Any]:
    if not names:
        yield value
        return
    name = names[0].removesuffix("[]")
    if name and (not isinstance(value, dict) or name not in value):
        yield ABSENT
        return
    inner = value[name] if name else value
    if not names[0].endswith("[]"):
        yield from _values(inner, names[1:])
    elif not isinstance(inner, list) or not inner:
        yield ABSENT
    else:
        for each in inner:
            yield from _values(each, names[1:])
