"""What every operation requires of its caller, read from the dependencies of its route; and that as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from towpath.accounts.types import Role, Scope
from towpath.api.http.auth import Needs, authenticate, authenticate_embeddings

READ_ONLY = "read-only"
CALLERS = ("nobody", READ_ONLY, *(role.value for role in Role))
"""Columns of the table. A read-only key is one without the scope `write`, here of the highest role."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What an operation requires of its caller.

    Attributes:
        authenticated: Whether there must be a caller, with a valid key or sign-in.
        needs: The role and scope that the caller must have; None: any.
    """

    authenticated: bool
    needs: Needs | None = None

    @property
    def words(self) -> str:
        """Return the same in a word or two: `public`, `any key`, `read`, or the role that may write."""
        if self.needs is None:
            return "any key" if self.authenticated else "public"
        scope, role = self.needs.scope, self.needs.role
        if scope is Scope.WRITE:
            return role.value
        return scope.value if role is Role.OPERATOR else f"{role} {scope}"

    def allows(self, caller: str) -> bool:
        """Return whether one of `CALLERS` may call it."""
        if caller == "nobody":
            return not self.authenticated
        if self.needs is None:
            return True
        if caller == READ_ONLY:
            return self.needs.scope is Scope.READ
        return Role(caller).covers(self.needs.role)


def collect_permissions(app: FastAPI) -> dict[str, Permission]:
    """Return what each operation of the OpenAPI document requires, by its method and path."""
    return {
        f"{method} {route.path_format}": _permission(route.dependant)
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute) and route.include_in_schema
        for method in sorted(route.methods or ())
    }


def _permission(dependant: Dependant) -> Permission:
    calls = list(_calls(dependant))
    declared = [needs for call in calls if isinstance(needs := getattr(call, "needs", None), Needs)]
    # If there are several, all hold: the strictest decides.
    strictest = max(
        declared, key=lambda needs: (list(Role).index(needs.role), needs.scope is Scope.WRITE), default=None
    )
    return Permission(bool(declared) or not {authenticate, authenticate_embeddings}.isdisjoint(calls), strictest)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for child in dependant.dependencies:
        if child.call is not None:
            yield child.call
        yield from _calls(child)


def render_table(permissions: dict[str, Permission]) -> str:
    """Return a Markdown table with a line per operation: who may call it."""
    lines = [f"| Operation | {' | '.join(CALLERS)} | Besides |", f"|---|{'---|' * len(CALLERS)}---|"]
    for name, permission in permissions.items():
        marks = ["yes" if permission.allows(caller) else "" for caller in CALLERS]
        beside = (permission.needs.unless if permission.needs is not None else None) or ""
        lines.append(f"| `{name}` | {' | '.join(marks)} | {beside} |")
    return "\n".join(lines)
