"""`towpath users`: for an operator whom nobody lets in any more."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.cli.terminal import HomeOption, OrganizationOption, console, run_with_database
from towpath.core.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from towpath.db.engine import Database
    from towpath.db.tables import UserRow

users_app = typer.Typer(help="Users of that database: for an operator whom nobody lets in any more.")
EmailArgument = Annotated[str, typer.Argument(help="The user's e-mail address.")]


def _operator_of(organization: str) -> Principal:
    """Who has the database is above everyone in it."""
    return Principal(
        organization=organization, kind=KeyKind.ORGANIZATION, role=Role.ADMIN, scopes=frozenset(Scope)
    )  # fmt: skip


async def _find_user(database: Database, email: str) -> UserRow:
    from towpath.accounts.store.auth import find_user

    user = await find_user(database, email)
    if user is None:
        raise NotFoundError(f"no user {email}")
    return user


@users_app.command(name="list")
def list_users(organization: OrganizationOption = "default", home: HomeOption = None) -> None:
    """Show an organization's users."""
    from towpath.accounts.store import auth as store

    table = Table("id", "e-mail", "role", "since", "state")

    async def show(database: Database) -> None:
        for row in await store.list_users(database, organization):
            state = "active" if row.active else "deactivated"
            table.add_row(str(row.id), row.email, row.role, f"{row.created_at:%Y-%m-%d}", state)

    run_with_database(home, show)
    console.print(table)


def _set_active(email: str, home: Path | None, *, active: bool) -> None:
    from towpath.accounts.domain.policy import AccountAction, UserTarget, assert_may
    from towpath.accounts.store import accounts

    async def change(database: Database) -> None:
        user = await _find_user(database, email)

        def check(row: UserRow) -> None:
            assert_may(_operator_of(row.organization), AccountAction.CHANGE_USER, UserTarget(row.id, row.role))

        await accounts.change_user(database, user.organization, user.id, check, active=active)

    run_with_database(home, change)


@users_app.command(name="deactivate")
def deactivate_user(email: EmailArgument, home: HomeOption = None) -> None:
    """End a user's sessions and let them in no more, until `towpath users activate`."""
    _set_active(email, home, active=False)
    console.print(f"deactivated {email}", highlight=False, markup=False)


@users_app.command(name="activate")
def activate_user(email: EmailArgument, home: HomeOption = None) -> None:
    """Let a user in again."""
    _set_active(email, home, active=True)
    console.print(f"activated {email}", highlight=False, markup=False)


@users_app.command(name="reset-password")
def reset_password(email: EmailArgument, home: HomeOption = None) -> None:
    """Make a reset and print the path of its page with the token, this once; it holds for 24 hours."""
    from towpath.accounts.domain.policy import AccountAction, UserTarget, assert_may
    from towpath.accounts.store import accounts

    token = secrets.token_hex(24)

    async def reset(database: Database) -> None:
        user = await _find_user(database, email)
        if not user.may_enter:
            raise ConflictError(f"{email} is deactivated; `towpath users activate` first")
        assert_may(_operator_of(user.organization), AccountAction.RESET_PASSWORD, UserTarget(user.id, user.role))
        await accounts.make_reset(database, user.id, token, by=None)

    run_with_database(home, reset)
    console.print(f"/password-reset?token={token}", highlight=False, soft_wrap=True)
