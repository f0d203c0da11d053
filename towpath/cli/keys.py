"""`towpath keys`: the API keys of an organization."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.table import Table

from towpath.accounts.types import KeyKind, Role, Scope
from towpath.cli.terminal import HomeOption, OrganizationOption, console, run_with_database

if TYPE_CHECKING:
    from towpath.db.engine import Database

keys_app = typer.Typer(help="API keys of the database that TOWPATH_DATABASE_URL (or the running stack) names.")


@keys_app.command(name="create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    organization: OrganizationOption = "default",
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.EDITOR,
    read_only: Annotated[bool, typer.Option("--read-only", help="Without the scope `write`.")] = False,
    days: Annotated[int | None, typer.Option(min=1, help="How long it is valid; for ever without.")] = None,
    home: HomeOption = None,
) -> None:
    """Make an organization key and print it, this once."""
    from towpath.accounts.domain.keys import KEY_BYTES, make_key
    from towpath.accounts.store.auth import add_key, new_key

    key = make_key(secrets.token_bytes(KEY_BYTES))
    row = new_key(
        organization,
        name=name,
        kind=KeyKind.ORGANIZATION,
        role=role,
        scopes=[Scope.READ] if read_only else list(Scope),
        user_id=None,
        expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
    )

    async def create(database: Database) -> None:
        await add_key(database, key, row)

    run_with_database(home, create)
    console.print(key, highlight=False, soft_wrap=True)


@keys_app.command(name="list")
def list_keys(organization: OrganizationOption = "default", home: HomeOption = None) -> None:
    """Show an organization's keys; of each only the beginning is known."""
    from towpath.accounts.store import auth as store

    table = Table("id", "name", "begins with", "role", "scopes", "last use", "state")

    async def show(database: Database) -> None:
        for row in await store.list_keys(database, organization):
            over = row.expires_at is not None and row.expires_at <= datetime.now(UTC)
            state = "revoked" if row.revoked_at else "expired" if over else "valid"
            used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never"
            table.add_row(str(row.id), row.name, row.key_prefix, row.role, " ".join(row.scopes), used, state)

    run_with_database(home, show)
    console.print(table)


@keys_app.command(name="revoke")
def revoke_key(
    key_id: Annotated[UUID, typer.Argument(help="The key's id, as `towpath keys list` shows it.")],
    organization: OrganizationOption = "default",
    keep_children: Annotated[bool, typer.Option("--keep-children", help="Leave the keys that it has made.")] = False,
    home: HomeOption = None,
) -> None:
    """Make a key useless from now on, and the keys that it has made."""
    from towpath.accounts.store import auth as store

    async def revoke(database: Database) -> None:
        for gone in await store.revoke_key(database, organization, key_id, children=not keep_children):
            console.print(f"revoked {gone}", highlight=False)

    run_with_database(home, revoke)
