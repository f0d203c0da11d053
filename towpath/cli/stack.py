"""`towpath up`, `towpath status` and `towpath demo`: the whole system on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from logging.handlers import RotatingFileHandler
from typing import Annotated

import typer
from rich.table import Table

from towpath.cli.schema import bring_up_to_date, furnish
from towpath.cli.terminal import (
    HomeOption,
    PortOption,
    WorkersOption,
    console,
    error_console,
    fail,
    open_home,
    read_settings,
)
from towpath.runtime.embedded import EmbeddedStack, StackError
from towpath.runtime.embedded.home import Home
from towpath.runtime.exposure import list_exposures
from towpath.runtime.logs import configure_logging
from towpath.runtime.settings import Settings


def up(
    home: HomeOption = None,
    port: PortOption = None,
    workers: WorkersOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also print the output of every part.")] = False,
) -> None:
    """Start Postgres, Temporal with its UI, the façade and the workers, and keep running. Ctrl-C stops them all.

    The output of each part is logged to HOME/logs.
    """
    settings = read_settings(home, port, workers)
    try:
        _log_to_terminal_and_file(settings, verbose=verbose)
        asyncio.run(_run_until_stopped(settings, verbose=verbose))
    except StackError as error:
        fail(str(error))


def _log_to_terminal_and_file(settings: Settings, *, verbose: bool) -> None:
    """Log what the supervisor does: to the terminal what is of interest there, to a file all of it."""
    home = Home(settings.home)
    try:
        file_handler = RotatingFileHandler(home.logs / "stack.log", maxBytes=settings.log_bytes, backupCount=1)
    except OSError as error:
        raise home.unusable(error) from error
    configure_logging(settings.log_level, file_handler)
    console_handler = logging.StreamHandler(sys.stdout)
    console_handler.setFormatter(logging.Formatter("stack      %(message)s"))
    if not verbose:
        console_handler.addFilter(lambda record: record.name == "towpath.stack" or record.levelno >= logging.WARNING)
    logging.getLogger().addHandler(console_handler)


async def _run_until_stopped(settings: Settings, *, verbose: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(_start(settings, verbose=verbose))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    stack = starting.result()
    _show_addresses(stack)
    await stop.wait()
    console.print("stack      stopping")
    await stack.stop()
    console.print("stack      stopped")


async def _start(settings: Settings, *, verbose: bool) -> EmbeddedStack:
    stack = EmbeddedStack(settings, prepare=bring_up_to_date, furnish=furnish, echo=verbose, report=_report_ready)
    await stack.__aenter__()
    try:
        if not await stack.workers_ready():
            console.print(f"worker     not ready yet; see {stack.home.logs}", highlight=False, soft_wrap=True)
    except BaseException:
        await stack.stop()
        raise
    return stack


def _report_ready(name: str, address: str, seconds: float) -> None:
    console.print(f"{name:<10} ready in {seconds:5.1f} s  {address}", highlight=False, soft_wrap=True)


def _show_addresses(stack: EmbeddedStack) -> None:
    """Show where everything is; the key itself only when it has just been made."""
    key = stack.api_key
    source = "TOWPATH_BOOTSTRAP_KEY" if stack.gave_key else str(stack.home.folder / "api-key")
    console.print()
    _warn_if_exposed(stack.settings)
    for name, value in (
        ("API", stack.api_url),
        ("API docs", f"{stack.api_url}/docs"),
        ("console", f"{stack.api_url}/console"),
        ("Temporal UI", stack.temporal_ui_url or "external"),
        ("API key", f"{key}  (shown this once; kept in {source})" if stack.home.made_key else f"in {source}"),
        ("home", str(stack.home.folder)),
        ("logs", str(stack.home.logs)),
    ):
        console.print(f"{name:<12} {value}", highlight=False, soft_wrap=True)
    console.print()


def _warn_if_exposed(settings: Settings) -> None:
    """Say loudly what others can reach."""
    lines = list_exposures(settings)
    if lines:
        error_console.print("[bold red]WARNING: others can reach this façade[/]")
        lines.append("whoever reads this terminal or its log has seen the first key, if it was shown; rotate it")
        lines.append("Temporal, its UI, Postgres and Chroma stay on 127.0.0.1 of this machine; the UI has no sign-in")
    for line in lines:
        error_console.print(f"  - {line}", highlight=False, markup=False, soft_wrap=True)


def status(home: HomeOption = None) -> None:
    """Show what the stack in TOWPATH_HOME is running, and whether it is ready."""
    import httpx
    import psutil

    folder = open_home(read_settings(home))
    facts = folder.published()
    if not facts:
        fail("nothing has been started here; `towpath up` does")
    table = Table("part", "pid", "state")
    for name, pid in (facts.get("pids", {}) | folder.children()).items():
        table.add_row(name, str(pid), "running" if pid and psutil.pid_exists(pid) else "stopped")
    console.print(table)
    if not any(pid and psutil.pid_exists(pid) for name, pid in facts.get("pids", {}).items() if name == "api"):
        # Whatever answers at its address now is another stack.
        fail("the façade of this stack does not run; `towpath up` starts it")
    try:
        answer = httpx.get(f"{facts['api']}/health", timeout=5)
        console.print(f"{facts['api']}/health: {answer.status_code} {answer.text}", highlight=False)
    except httpx.TransportError as error:
        fail(f"the façade at {facts['api']} does not answer: {error}")


def demo(
    home: HomeOption = None, keep: Annotated[bool, typer.Option(help="Keep the stack running afterwards.")] = False
) -> None:
    """Find the duplicates among 5,000 people, kill a worker twice on the way, and show the result."""
    # Small pages, so that the kills land between chunks.
    os.environ.setdefault("TOWPATH_INDEX_CHUNK", "250")
    settings = read_settings(home)
    try:
        asyncio.run(_run_demo(settings, keep=keep))
    except StackError as error:
        fail(str(error))


async def _run_demo(settings: Settings, *, keep: bool) -> None:
    try:
        from towpath.demo.run import run_demo
    except ImportError as error:
        fail(f"the demo needs the extra `towpath[demo]`: {error}")
        return
    console.print("starting Postgres, Temporal, the façade and the workers ...")
    async with EmbeddedStack(settings, prepare=bring_up_to_date, furnish=furnish, echo=False) as stack:

        def kill_worker() -> int:
            return asyncio.run_coroutine_threadsafe(_kill_worker(stack), loop).result()

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(run_demo, stack.api_url, stack.api_key, kill_worker, console)
        if keep or (sys.stdin.isatty() and sys.stdout.isatty()):
            console.print("\nThe stack stays up for you to look around; Ctrl-C stops it.")
            _show_addresses(stack)
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
            await stop.wait()
        else:
            console.print("\nThe stack stops now; `make up` starts it again, and these addresses answer.")


async def _kill_worker(stack: EmbeddedStack) -> int:
    return stack.kill("worker-0")
