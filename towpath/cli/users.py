"""`towpath users`: for an operator whom nobody lets in any more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from towpath.cli.terminal import HomeOption, OrganizationOption, console, run_with_database

users_app = typer.Typer(help="Manage users in that database, for operators who are locked out of the console.")
EmailArgument = Annotated[str, typer.Argument(help="The user's e-mail address.")]


@users_app.command(name="list")
def list_users(organization: OrganizationOption = "default", home: HomeOption = None) -> None:
    """Show an organization's users."""
    from towpath.accounts.service import operator

    table = Table("id", "e-mail", "role", "since", "state")

    for user in run_with_database(home, lambda database: operator.list_users(database, organization)):
        state = "active" if user.active else "deactivated"
        table.add_row(str(user.id), user.email, user.role, f"{user.created_at:%Y-%m-%d}", state)
    console.print(table)


def _set_active(email: str, home: Path | None, *, active: bool) -> None:
    from towpath.accounts.service import operator

    run_with_database(home, lambda database: operator.set_user_active(database, email, active=active))


@users_app.command(name="deactivate")
def deactivate_user(email: EmailArgument, home: HomeOption = None) -> None:
    """End a user's sessions and refuse sign-ins until `towpath users activate`."""
    _set_active(email, home, active=False)
    console.print(f"deactivated {email}", highlight=False, markup=False)


@users_app.command(name="activate")
def activate_user(email: EmailArgument, home: HomeOption = None) -> None:
    """Allow a deactivated user to sign in again."""
    _set_active(email, home, active=True)
    console.print(f"activated {email}", highlight=False, markup=False)


@users_app.command(name="reset-password")
def reset_password(email: EmailArgument, home: HomeOption = None) -> None:
    """Create a password reset and print the path of its page. It is shown only once and is valid for 24 hours."""
    from towpath.accounts.service import operator

    token = run_with_database(home, lambda database: operator.issue_reset(database, email))
    console.print(f"/password-reset?token={token}", highlight=False, soft_wrap=True)
