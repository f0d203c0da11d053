"""`towpath`: start the stack, run one part, show what runs, make keys, run the demo.

A module a topic; here they become the commands, in the order in which `--help` lists them.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer
from rich.table import Table

from towpath.cli.keys import keys_app
from towpath.cli.limits import show_limits
from towpath.cli.processes import api, worker
from towpath.cli.schema import migrate
from towpath.cli.sealing import secrets_app
from towpath.cli.stack import demo, status, up
from towpath.cli.terminal import console
from towpath.cli.users import users_app
from towpath.runtime.settings import Settings

app = typer.Typer(
    help="Towpath: durable jobs over data and AI, as Temporal workflows behind a REST API.",
    no_args_is_help=True,
    add_completion=False,
)


def _show_version(is_requested: bool) -> None:
    if is_requested:
        console.print(version("towpath"), highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    """Take the options of every command."""


def show_settings() -> None:
    """List every setting with its default and its meaning."""
    table = Table("environment variable", "default", "meaning")
    for name, field in Settings.model_fields.items():
        table.add_row(f"TOWPATH_{name.upper()}", str(field.default), field.description or "")
    console.print(table)


for command in (up, status, demo, worker, api, migrate):
    app.command()(command)
app.command(name="limits")(show_limits)
app.command(name="settings")(show_settings)
app.add_typer(keys_app, name="keys")
app.add_typer(users_app, name="users")
app.add_typer(secrets_app, name="secrets")


def main() -> None:
    """Run the `towpath` command."""
    app()
