"""What every operation asks of its caller, read from the dependencies of its route; and that as a table for people.

`python -m api.permissions` writes the table between its marks in `docs/explanation/security.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from towpath.accounts.types import Role, Scope
from towpath.api.app import create_app
from towpath.api.http.auth import Needs, authenticate, authenticate_embeddings
from towpath.runtime.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "security.md"
BEGIN = "<!-- roles: made by `python -m api.permissions` -->"
END = "<!-- end of roles -->"
READ_ONLY = "read-only"
CALLERS = ("nobody", READ_ONLY, *(role.value for role in Role))
"""Columns of the table. A read-only key is one without the scope `write`, here of the highest role."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What an operation asks of its caller.

    Attributes:
        asked: Whether there must be one, with a valid key or sign-in.
        needs: The role and scope that the caller must have; None: any.
    """

    asked: bool
    needs: Needs | None = None

    @property
    def words(self) -> str:
        """The same in a word or two: `public`, `any key`, `read`, or the role that may write."""
        if self.needs is None:
            return "any key" if self.asked else "public"
        scope, role = self.needs.scope, self.needs.role
        if scope is Scope.WRITE:
            return role.value
        return scope.value if role is Role.OPERATOR else f"{role} {scope}"

    def allows(self, caller: str) -> bool:
        """Whether one of `CALLERS` may call it."""
        if caller == "nobody":
            return not self.asked
        if self.needs is None:
            return True
        if caller == READ_ONLY:
            return self.needs.scope is Scope.READ
        return Role(caller).covers(self.needs.role)


def permissions(app: FastAPI) -> dict[str, Permission]:
    """What each operation of the OpenAPI document asks for, by its method and path."""
    return {
        f"{method} {one.path_format}": _permission(one.dependant)
        for one in iter_route_contexts(app.routes)
        if isinstance(one.original_route, APIRoute) and one.include_in_schema
        for method in sorted(one.methods or ())
    }


def _permission(dependant: Dependant) -> Permission:
    calls = list(_calls(dependant))
    found = [needs for call in calls if isinstance(needs := getattr(call, "needs", None), Needs)]
    # Of several, all hold: the strictest is what counts.
    needs = max(found, key=lambda one: (list(Role).index(one.role), one.scope is Scope.WRITE), default=None)
    return Permission(bool(found) or not {authenticate, authenticate_embeddings}.isdisjoint(calls), needs)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for one in dependant.dependencies:
        if one.call is not None:
            yield one.call
        yield from _calls(one)


def table(found: dict[str, Permission]) -> str:
    """Markdown: an operation a line, and who may call it."""
    lines = [f"| Operation | {' | '.join(CALLERS)} | Besides |", f"|---|{'---|' * len(CALLERS)}---|"]
    for name, one in found.items():
        marks = ["yes" if one.allows(caller) else "" for caller in CALLERS]
        beside = (one.needs.unless if one.needs is not None else None) or ""
        lines.append(f"| `{name}` | {' | '.join(marks)} | {beside} |")
    return "\n".join(lines)


def written(page: str, made: str) -> str:
    """A page with the table between its marks.

    Raises:
        ValueError: The marks are not there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no {BEGIN} and {END} after it")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def main() -> None:
    """Write the table into its page."""
    made = table(permissions(create_app(Settings(docs_open=True))))
    PAGE.write_text(written(PAGE.read_text(), made))
    print(f"{PAGE}: {made.count(chr(10)) - 1} operations")


if __name__ == "__main__":
    main()
