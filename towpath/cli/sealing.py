"""`towpath secrets`: secrets at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from towpath.cli.terminal import HomeOption, console, open_home, read_settings, run_with_database

if TYPE_CHECKING:
    from towpath.db.engine import Database

secrets_app = typer.Typer(help="Manage stored secrets: database credentials, webhook secrets.")


@secrets_app.command(name="reseal")
def reseal_secrets(home: HomeOption = None) -> None:
    """Encrypt all stored secrets with the first of TOWPATH_ENCRYPTION_KEYS. The others can then be removed."""
    from towpath.secrets.service import reseal_secrets as reseal
    from towpath.secrets.vault import Vault

    settings = read_settings(home)
    passphrases = settings.encryption_key_list or [open_home(settings).secret("encryption-key")]

    async def change(database: Database) -> None:
        count = await reseal(database, Vault(passphrases))
        console.print(f"{count} secrets are sealed with the first key", highlight=False)

    run_with_database(home, change)
