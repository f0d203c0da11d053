"""What commands share: options, printing, settings, and the database that they work on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from towpath.core.errors import TowpathError
from towpath.runtime.embedded import StackError
from towpath.runtime.embedded.home import Home
from towpath.runtime.settings import Settings, get_settings

if TYPE_CHECKING:
    from towpath.db.engine import Database

Result = TypeVar("Result")

console = Console()
error_console = Console(stderr=True)

HomeOption = Annotated[Path | None, typer.Option(help="The folder of the stack (TOWPATH_HOME).")]
PortOption = Annotated[int | None, typer.Option(help="Port of the façade (TOWPATH_PORT); 0 for any free port.")]
WorkersOption = Annotated[int | None, typer.Option(help="Number of worker processes (TOWPATH_WORKERS).")]
OrganizationOption = Annotated[str, typer.Option(help="The organization's id.")]


def read_settings(home: Path | None = None, port: int | None = None, workers: int | None = None) -> Settings:
    """Read the settings; options of the command line go before the environment."""
    for name, value in (("HOME", home), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            os.environ[f"TOWPATH_{name}"] = str(value)
    get_settings.cache_clear()
    try:
        return get_settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        fail(f"TOWPATH_{name}: {first['msg'].removeprefix('Value error, ')}")


def fail(message: str) -> NoReturn:
    """Print what is wrong and exit with status 2."""
    error_console.print("[red]towpath:[/] ", end="")
    error_console.print(message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)


def open_home(settings: Settings) -> Home:
    """Open the folder of the stack, or fail with the reason why it cannot be used."""
    try:
        return Home(settings.home)
    except StackError as error:
        fail(str(error))


def run_with_database(home: Path | None, work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Run a command on the database that the settings name, or else on that of the stack that runs here.

    An error that a user can mend ends the process with its message instead of a traceback.
    """
    from sqlalchemy.exc import IntegrityError, OperationalError

    from towpath.db.engine import Database as Handle

    settings = read_settings(home)
    url = settings.database_url or open_home(settings).published().get("database")
    if not url:
        fail("no database: set TOWPATH_DATABASE_URL, or start the stack with `towpath up`")

    async def run() -> Result:
        database = Handle(str(url), pool_size=1)
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except OperationalError as error:
        fail(f"the database does not answer: {error.orig}")
    except IntegrityError:
        fail("there is no such organization")
    except TowpathError as error:
        fail(str(error))
