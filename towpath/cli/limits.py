"""`towpath limits`: what one organization may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from towpath.cli.terminal import HomeOption, console, fail, run_with_database

if TYPE_CHECKING:
    from towpath.accounts.limits import LimitName

MAX_LIMIT = (1 << 63) - 1


def show_limits(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=NUMBER (0: unlimited) or NAME=default. Can be repeated."),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Show or change the limits of an organization. Façades notice a change within ten seconds."""
    from towpath.accounts.limits import MEANINGS, LimitName
    from towpath.accounts.service import operator

    changed = dict(_read_limit(change) for change in changes or [])
    table = Table("limit", "most", "meaning")

    own = run_with_database(home, lambda database: operator.set_limits(database, organization, changed))
    for name in LimitName:
        maximum = "as the settings say" if name not in own else f"{own[name]:,}" if own[name] else "none"
        table.add_row(name, maximum, MEANINGS[name])
    console.print(table)


def _read_limit(change: str) -> tuple[LimitName, int | None]:
    """Read a limit and its number from `name=number`; None: the default again."""
    from towpath.accounts.limits import LimitName

    name, separator, value = change.partition("=")
    if not separator or name not in set(LimitName):
        fail(f"--set {change}: must be one of {', '.join(LimitName)}, then = and a number")
    if value == "default":
        return LimitName(name), None
    if not value.isascii() or not value.isdigit() or int(value) > MAX_LIMIT:
        fail(f"--set {change}: must be a whole number up to {MAX_LIMIT}, or default")
    return LimitName(name), int(value)
