"""One child process, seen from its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from towpath.core.errors import ErrorCode, JobFaultError, MissingExtraError, NotFoundError, TowpathError
from towpath.documents.faults import document_error
from towpath.documents.types import ReadLimits
from towpath.documents.wire import LENGTH_BYTES, LOAD_SECONDS, MAX_BODY, Fault, Request, Tag, make_frame

ROOT = Path(__file__).resolve().parents[2]
BUFFER_BYTES = 1 << 20
# All that a child is told of its surroundings: no key of the deployment gets near a file from outside.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
# What others send; what a document brings about is another signal.
SENT_SIGNALS = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP})


class ChildDiedError(Exception):
    """The child has ended in the middle of a request; what that means is for the reader to say.

    Args:
        code: Its return code; negative: the signal.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code

    @property
    def was_sent(self) -> bool:
        """Return whether somebody else ended it, such as the kernel of a machine without memory."""
        return self.code is not None and -self.code in SENT_SIGNALS

    @property
    def was_late(self) -> bool:
        """Return whether it used more processor time than a page may."""
        return self.code == -signal.SIGXCPU

    def __str__(self) -> str:
        if self.code is None or self.code >= 0:
            return f"exit code {self.code}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-self.code).name
        return f"signal {-self.code}"


class Child:
    """A running child; one request at a time.

    Args:
        process: With pipes for input and output.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.last_path: str | None = None
        """Which document it holds open."""

    @classmethod
    async def start(cls, limits: ReadLimits, threads: int) -> Child:
        """Start a child, and wait until it is ready.

        Raises:
            JobFaultError: It does not start.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "towpath.documents.child",
            limits.model_dump_json(),
            str(threads),
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=BUFFER_BYTES,
            cwd=ROOT,
            env=_surroundings(threads),
            start_new_session=True,
        )
        child = cls(process)
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await child._next()
        except (ChildDiedError, TimeoutError) as error:
            await child.kill()
            raise JobFaultError(f"the process that reads documents does not start: {error}") from error
        except BaseException:
            await child.kill()
            raise
        return child

    async def ask(self, request: Request, seconds: float) -> AsyncGenerator[tuple[Tag, bytes], None]:
        """Ask for something, and yield the answers as they come.

        Args:
            seconds: Longest wait for each.

        Raises:
            ChildDiedError: The child has ended.
            TimeoutError: It takes longer.
            TowpathError: What it says is wrong with the document.
        """
        self.last_path = request.path
        assert self._process.stdin is not None
        self._process.stdin.write(make_frame(Tag.ASK, request.model_dump_json().encode()))
        wait = seconds
        while True:
            async with asyncio.timeout(wait):
                tag, body = await self._next()
            wait = LOAD_SECONDS if tag == Tag.LOADING else seconds
            if tag in {Tag.LOADING, Tag.LOADED}:
                continue
            if tag == Tag.DONE:
                return
            if tag == Tag.FAULT:
                raise _error(Fault.model_validate_json(body))
            yield tag, body

    async def kill(self) -> None:
        """End it, whatever it does, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        # A cancelled caller leaves no zombie: the loop reaps it all the same.
        await self._process.wait()

    async def _next(self) -> tuple[Tag, bytes]:
        out = self._process.stdout
        assert out is not None
        try:
            head = await out.readexactly(LENGTH_BYTES + 1)
            length = int.from_bytes(head[:LENGTH_BYTES], "big")
            if length > MAX_BODY:
                raise ChildDiedError(None)
            return Tag(head[LENGTH_BYTES]), await out.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            # Nothing more comes from it; a moment later its code is known.
            with contextlib.suppress(ProcessLookupError):
                if not isinstance(error, asyncio.IncompleteReadError):
                    self._process.kill()
            raise ChildDiedError(await self._process.wait()) from error


def _error(reported: Fault) -> TowpathError:
    if reported.code == ErrorCode.NOT_FOUND:
        return NotFoundError(reported.detail)
    if reported.missing is not None:
        return MissingExtraError(*reported.missing)
    if reported.code == ErrorCode.INTERNAL:
        return JobFaultError(reported.detail)
    error = document_error(reported.code, reported.detail, reported.page)
    error.extra.update({"fatal": True} if reported.fatal else {})
    return error


def _surroundings(threads: int) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **passed,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        # Each arena takes 64 MB of the address space.
        "MALLOC_ARENA_MAX": "2",
    }
