"""`towpath keys`: the API keys of an organization."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from towpath.accounts.types import Role, Scope
from towpath.cli.terminal import HomeOption, OrganizationOption, console, run_with_database

keys_app = typer.Typer(help="Manage API keys in the database of TOWPATH_DATABASE_URL, or else of the running stack.")


@keys_app.command(name="create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    organization: OrganizationOption = "default",
    role: Annotated[Role, typer.Option(help="What the key may do.")] = Role.EDITOR,
    read_only: Annotated[bool, typer.Option("--read-only", help="Create the key without the scope `write`.")] = False,
    days: Annotated[
        int | None, typer.Option(min=1, help="How many days the key is valid; by default it never expires.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Create an organization key and print it. It is shown only once."""
    from towpath.accounts.service import operator

    scopes = [Scope.READ] if read_only else list(Scope)
    key = run_with_database(
        home,
        lambda database: operator.create_key(database, organization, name=name, role=role, scopes=scopes, days=days),
    )
    console.print(key, highlight=False, soft_wrap=True)


@keys_app.command(name="list")
def list_keys(organization: OrganizationOption = "default", home: HomeOption = None) -> None:
    """List an organization's keys, each by its first characters."""
    from towpath.accounts.service import operator

    table = Table("id", "name", "begins with", "role", "scopes", "last use", "state")

    for key in run_with_database(home, lambda database: operator.list_keys(database, organization)):
        is_expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
        state = "revoked" if key.revoked_at else "expired" if is_expired else "valid"
        last_use = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
        table.add_row(str(key.id), key.name, key.key_prefix, key.role, " ".join(key.scopes), last_use, state)
    console.print(table)


@keys_app.command(name="revoke")
def revoke_key(
    key_id: Annotated[UUID, typer.Argument(help="The key's id, as `towpath keys list` shows it.")],
    organization: OrganizationOption = "default",
    keep_children: Annotated[bool, typer.Option("--keep-children", help="Keep the keys that it created.")] = False,
    home: HomeOption = None,
) -> None:
    """Revoke a key, and the keys that it created."""
    from towpath.accounts.service import operator

    revoked = run_with_database(
        home, lambda database: operator.revoke_key(database, organization, key_id, children=not keep_children)
    )
    for revoked_id in revoked:
        console.print(f"revoked {revoked_id}", highlight=False)
