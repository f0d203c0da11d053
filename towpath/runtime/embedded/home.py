"""The folder of the embedded stack: who owns it now, its ports, its secrets, what it left behind."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
from pathlib import Path
from typing import Any, TextIO

import psutil

from towpath.runtime.embedded.process import end_orphan

logger = logging.getLogger("towpath.stack")

FACTS = "stack.json"
KEY_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


class StackError(RuntimeError):
    """The stack cannot start; the message says why and what to change."""


class Home:
    """`TOWPATH_HOME`, held by a lock that dies with its owner.

    Args:
        folder: Made with mode 0700 when it is not there.

    Attributes:
        made_key: Whether the API key was made by this object, and nobody has seen it yet.

    Raises:
        StackError: It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self.made_key = False
        self._lock: TextIO | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise self.unusable(error) from error

    def take(self) -> None:
        """Become the owner, and end what a killed owner left running.

        Raises:
            StackError: Another live stack owns the folder, or nothing can be written there.
        """
        try:
            lock = (self.folder / "lock").open("a+")
        except OSError as error:
            raise self.unusable(error) from error
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
                logger.info("ended %s (pid %s), left behind by a killed stack", name, child["pid"])
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
        """Return the process ids of the children as they are now, also after a restart of one."""
        return {name: int(child["pid"]) for name, child in self._read("children.json").items()}

    def port(self, name: str, preferred: int, host: str) -> int:
        """Return a port for a part: the wanted one, else the one it had before, else a free one.

        Raises:
            StackError: The wanted port cannot be had.
        """
        ports = self._read("ports.json")
        if preferred:
            check_port(name, preferred, host)
            return preferred
        before = ports.get(name)
        if isinstance(before, int) and _refusal(host, before) is None:
            return before
        used = {port for other, port in ports.items() if other != name}
        chosen = before
        while chosen in {None, before} or chosen in used:
            # One that is kept for a part that starts later is free, yet not to be had.
            with _probe(host) as probe:
                probe.bind((host, 0))
                chosen = probe.getsockname()[1]
        ports[name] = chosen
        self._write("ports.json", ports)
        return int(ports[name])

    def secret(self, name: str) -> str:
        """Return a secret that is made once and kept with mode 0600."""
        path = self.folder / name
        if not path.exists():
            self.write_private(name, secrets.token_urlsafe(48))
        return path.read_text().strip()

    def api_key(self) -> str:
        """Return the first API key: made once, kept in `api-key`."""
        path = self.folder / "api-key"
        if not path.exists():
            self.write_private("api-key", "ent_" + "".join(secrets.choice(KEY_LETTERS) for _ in range(40)))
            self.made_key = True
        return path.read_text().strip()

    def write_private(self, name: str, text: str) -> None:
        """Write a file that only its owner can read.

        Raises:
            StackError: It cannot be written.
        """
        path = self.folder / name
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text + "\n")
        except OSError as error:
            raise self.unusable(error) from error

    def publish(self, **facts: Any) -> None:
        """Write where everything is to `stack.json`."""
        self._write(FACTS, facts)

    def published(self) -> dict[str, Any]:
        """Return what the last stack published."""
        return self._read(FACTS)

    def unusable(self, error: OSError) -> StackError:
        """Return what to tell when something cannot be written there."""
        return StackError(f"{self.folder} cannot be written to ({error.strerror}); set TOWPATH_HOME to another folder")

    def _read(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads((self.folder / name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return content

    def _write(self, name: str, facts: dict[str, Any]) -> None:
        # Replaced in one step: a kill in the middle leaves the old file, not half of the new one.
        fresh = self.folder / f".{name}.new"
        self.write_private(fresh.name, json.dumps(facts, indent=1, default=str))
        fresh.replace(self.folder / name)


def check_port(name: str, number: int, host: str) -> None:
    """See that a part may listen where its setting says.

    Raises:
        StackError: It may not; the message names the setting.
    """
    refusal = _refusal(host, number)
    if refusal is None:
        return
    if refusal.errno == errno.EADDRINUSE:
        raise StackError(f"port {number} is in use; set TOWPATH_{name.upper()} to another one, or 0 for any")
    if refusal.errno in {errno.EACCES, errno.EPERM}:
        raise StackError(f"port {number} needs a privilege; set TOWPATH_{name.upper()} to one above 1023, or 0 for any")
    raise StackError(f"nothing can listen on {host}:{number} ({refusal.strerror}); see TOWPATH_HOST")


def _refusal(host: str, port: int) -> OSError | None:
    """Return why a port cannot be had; None: it is free."""
    try:
        with _probe(host) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error
    return None


def _probe(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
