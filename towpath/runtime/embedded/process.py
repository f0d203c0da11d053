"""One child process: started, logged line by line under its name, restarted when it dies, stopped in time.

A small supervisor of our own: circus and supervisor want their own daemon and configuration files, honcho
ends everything when one process dies; what is needed here is the opposite, and is a page long.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import psutil

from towpath.runtime.logs import BoundedLog

logger = logging.getLogger("towpath.stack")

PR_SET_PDEATHSIG = 1
FIRST_BACKOFF = 0.2
MAX_BACKOFF = 10.0
STEADY_SECONDS = 30.0
LAST_LINES = 12
LOG_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Spec:
    """How a child is run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    user: int | None = None
    group: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 25.0
    death_signal: signal.Signals = signal.SIGTERM


@dataclass(slots=True)
class Child:
    """A supervised child.

    Args:
        spec: How it is run.
        log_folder: Its output goes to `NAME.log` there, and to `echo` with its name before each line.
        echo: None: only the file.
        log_bytes: How large the file may grow.
    """

    spec: Spec
    log_folder: Path
    echo: TextIO | None = None
    on_start: Callable[[Child], Awaitable[None]] | None = None
    log_bytes: int = LOG_BYTES
    lines: list[str] = field(default_factory=list)
    starts: int = 0
    _process: asyncio.subprocess.Process | None = None
    _keeper: asyncio.Task[None] | None = None
    _stopping: bool = False
    _awaited: list[tuple[str, asyncio.Event]] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        """The running process."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it and keep it running until `stop`."""
        self._stopping = False
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def _spawn(self) -> None:
        self.starts += 1
        self._process = await asyncio.create_subprocess_exec(
            *self.spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=None if self.spec.environment is None else dict(self.spec.environment),
            cwd=self.spec.folder,
            user=self.spec.user,
            group=self.spec.group,
            extra_groups=None if self.spec.user is None else [],
            # A group of its own: Ctrl-C reaches the supervisor alone, which then stops things in order.
            start_new_session=True,
            preexec_fn=_die_with_parent(self.spec.death_signal),
        )
        if self.on_start is not None:
            await self.on_start(self)

    async def _keep(self) -> None:
        backoff = FIRST_BACKOFF
        while True:
            process = self._process
            assert process is not None
            began = time.monotonic()
            await self._read(process)
            code = await process.wait()
            if self._stopping:
                return
            if time.monotonic() - began > STEADY_SECONDS:
                backoff = FIRST_BACKOFF
            logger.warning("%s ended with %s; it starts again in %.1f s", self.spec.name, _reason(code), backoff)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF)
            if self._stopping:
                return
            await self._spawn()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.closing(BoundedLog(self.log_folder / f"{self.spec.name}.log", self.log_bytes)) as log:
            while True:
                try:
                    raw = await process.stdout.readline()
                except ValueError:
                    # A line beyond the reader's limit: the rest of it comes as the next one.
                    continue
                if not raw:
                    return
                line = raw.decode(errors="replace").rstrip()
                self.lines = [*self.lines[-LAST_LINES:], line]
                log.write(line)
                for words, event in self._awaited:
                    if words in line:
                        event.set()
                if self.echo is not None:
                    print(f"{self.spec.name:<10}| {line}", file=self.echo, flush=True)

    async def wait_for_line(self, words: str) -> None:
        """Wait for a line with some words in it, of those that have not been read yet."""
        event = asyncio.Event()
        waiter = (words, event)
        self._awaited.append(waiter)
        try:
            await event.wait()
        finally:
            self._awaited.remove(waiter)

    def kill(self) -> int:
        """End the process at once with SIGKILL; it is started again.

        Returns:
            The pid that was killed.

        Raises:
            ProcessLookupError: It does not run now.
        """
        pid = self.pid
        if pid is None:
            raise ProcessLookupError(f"{self.spec.name} does not run")
        os.kill(pid, signal.SIGKILL)
        return pid

    async def stop(self) -> None:
        """End it in its own way, then by force, and do not start it again."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.spec.stop_signal)
            try:
                async with asyncio.timeout(self.spec.stop_seconds):
                    await process.wait()
            except TimeoutError:
                logger.warning("%s did not stop in %.0f s and is killed", self.spec.name, self.spec.stop_seconds)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """On Linux the kernel ends the child when the supervisor is killed, so that nothing is left behind."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))

    return before_exec


def end_orphan(pid: int, started: float, *, number: int = signal.SIGTERM, seconds: float = 30.0) -> bool:
    """End a child that a killed supervisor left behind; only if the pid is still that process.

    Args:
        pid: As it was recorded.
        started: The process's start time as it was recorded, seconds since the epoch.
        number: The signal that stops it in its own way.
        seconds: How long it may take to end by itself.

    Returns:
        Whether there was one.
    """
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - started) > 1.0 or has_ended(process):
            return False
        process.send_signal(number)
        if not wait_until_ended([process], seconds):
            process.kill()
            wait_until_ended([process], seconds)
    except psutil.NoSuchProcess:
        return False
    return True


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended; a zombie that its parent never reaps, as in many containers, has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_ended(processes: Sequence[psutil.Process], seconds: float) -> bool:
    """Wait for processes that need not be our children.

    Returns:
        Whether all have ended in time.
    """
    deadline = time.monotonic() + seconds
    while not all(has_ended(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
