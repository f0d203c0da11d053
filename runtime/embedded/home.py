"""The folder of the embedded stack: who owns it now, its ports, its secrets, what it left behind."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
from pathlib import Path
from typing import Any, TextIO

import psutil

from runtime.embedded.process import end_orphan

KEY_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


class StackError(RuntimeError):
    """The stack cannot start; the message says why and what to change."""


class Home:
    """`TOWPATH_HOME`, held by a lock that dies with its owner.

    Args:
        folder: Made with mode 0700 when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.logs = self.folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self._lock: TextIO | None = None

    def take(self) -> None:
        """Become the owner, and end what a killed owner left running.

        Raises:
            StackError: Another live stack owns the folder.
        """
        lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise StackError(
                f"a Towpath stack with pid {owner} already runs on {self.folder}; stop it, or set TOWPATH_HOME"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        # Last started first, as a stop does it: a server would wait for its clients.
        for name, child in reversed(self._read("children.json").items()):
            if end_orphan(int(child["pid"]), float(child["started"]), number=int(child.get("signal", signal.SIGTERM))):
                print(f"stack     | ended {name} (pid {child['pid']}), left behind by a killed stack", flush=True)
        self._write("children.json", {})

    def release(self) -> None:
        """Let the folder go."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def note_child(self, name: str, pid: int, stop_signal: int) -> None:
        """Record a child, so that the next owner can end it if this one is killed."""
        children = self._read("children.json")
        try:
            children[name] = {
                "pid": pid,
                "started": psutil.Process(pid).create_time(),
                "signal": int(stop_signal),
            }
        except psutil.NoSuchProcess:
            children.pop(name, None)
        self._write("children.json", children)

    def children(self) -> dict[str, int]:
        """The process ids of the children as they are now, also after a restart of one."""
        return {name: int(child["pid"]) for name, child in self._read("children.json").items()}

    def port(self, name: str, wanted: int, host: str) -> int:
        """A port for a part: the wanted one, else the one it had before, else a free one.

        Raises:
            StackError: The wanted port is in use.
        """
        ports = self._read("ports.json")
        if wanted:
            if not _free(host, wanted):
                raise StackError(f"port {wanted} is in use; set TOWPATH_{name.upper()} to another one, or 0 for any")
            return wanted
        before = ports.get(name)
        if isinstance(before, int) and _free(host, before):
            return before
        with socket.socket() as probe:
            probe.bind((host, 0))
            ports[name] = probe.getsockname()[1]
        self._write("ports.json", ports)
        return int(ports[name])

    def secret(self, name: str) -> str:
        """A secret that is made once and kept with mode 0600."""
        path = self.folder / name
        if not path.exists():
            self.write_private(name, secrets.token_urlsafe(48))
        return path.read_text().strip()

    def api_key(self) -> str:
        """The first API key: made once, kept in `api-key`."""
        path = self.folder / "api-key"
        if not path.exists():
            self.write_private("api-key", "ent_" + "".join(secrets.choice(KEY_LETTERS) for _ in range(40)))
        return path.read_text().strip()

    def write_private(self, name: str, text: str) -> None:
        """Write a file that only its owner can read."""
        path = self.folder / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text + "\n")

    def publish(self, **facts: Any) -> None:
        """Write where everything is to `stack.json`."""
        self._write("stack.json", facts)

    def published(self) -> dict[str, Any]:
        """What the last stack published."""
        return self._read("stack.json")

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return found

    def _write(self, name: str, facts: dict[str, Any]) -> None:
        # Replaced in one step: a kill in the middle leaves the old file, not half of the new one.
        fresh = self.folder / f".{name}.new"
        self.write_private(fresh.name, json.dumps(facts, indent=1, default=str))
        fresh.replace(self.folder / name)


def _free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
