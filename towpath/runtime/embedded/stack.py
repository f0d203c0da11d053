"""The stack as a whole: what is started, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from towpath.core.values import format_url_host
from towpath.runtime.embedded.demand import CHROMA_WANTED, LLM_WANTED
from towpath.runtime.embedded.home import Home, StackError, check_port
from towpath.runtime.embedded.postgres import Postgres
from towpath.runtime.embedded.process import Child, Spec
from towpath.runtime.embedded.temporal_server import TemporalServer
from towpath.runtime.exposure import development_defaults, explain_refusal
from towpath.runtime.settings import Settings, child_environment

logger = logging.getLogger("towpath.stack")

PARTS = frozenset({"postgres", "temporal", "worker", "api"})
ROOT = Path(__file__).resolve().parents[3]
OURS = [sys.executable, "-P", "-m"]
"""Runs a module of ours, whatever lies in the folder where `towpath up` was called."""
API_READY_SECONDS = 60.0
HEALTH_PARTS = ("chroma", "llm", "temporal", "postgres")
"""Parts that façade and workers ask, in the order in which they stop."""
MAX_STARTS = 4
CHROMA_READY_SECONDS = 60.0
LLM_READY_SECONDS = 60.0
DEMAND_SECONDS = 0.5
WORKER_READY_SECONDS = 60.0
WORKER_READY = "ready, serving"

Report = Callable[[str, str, float], None]


class EmbeddedStack:
    """Starts the parts that are not external, supervises them, and stops them in order.

    Use as `async with EmbeddedStack(settings) as stack`.

    Args:
        settings: Ports, home and external parts.
        parts: Which parts to start; tests leave some out and start them later.
        echo: Whether every line of every part goes to stdout as well as to its file.
        report: Told of each part when it is ready: its name, where it is, the seconds that it took.
        prepare: Called with the database URL before façade and workers start: runs the migrations.
        furnish: Called after that: adds what a fresh stack brings along.
        extra: Further environment for façade and workers, by setting name.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        parts: Collection[str] = PARTS,
        echo: bool = False,
        report: Report | None = None,
        prepare: Callable[[str], None] | None = None,
        furnish: Callable[[EmbeddedStack], Awaitable[None]] | None = None,
        extra: dict[str, str | int] | None = None,
    ) -> None:
        self._settings = settings
        self._parts = set(parts)
        self._echo = echo
        self._report = report
        self._workers: list[asyncio.Task[None]] = []
        self._prepare = prepare
        self._furnish = furnish
        self._extra = extra or {}
        self.home = Home(settings.home)
        self._children: dict[str, Child] = {}
        self.database_url = settings.database_url or ""
        self.temporal_address = settings.temporal_address or ""
        self.temporal_ui_url = settings.temporal_ui_url
        self.chroma_url = settings.chroma_url or ""
        self.api_port = 0
        self.llm_url = settings.local_llm_url or ""
        self._starts = {"chroma": asyncio.Lock(), "llm": asyncio.Lock()}
        self._ports: dict[str, int] = {}
        self._demand: list[asyncio.Task[None]] = []

    @property
    def settings(self) -> Settings:
        """What the stack was told."""
        return self._settings

    @property
    def api_url(self) -> str:
        """The façade."""
        return self._api_at(self._settings.host)

    @property
    def _local_api_url(self) -> str:
        """The façade, as a browser on this machine reaches it."""
        host = "127.0.0.1" if self._settings.host in {"0.0.0.0", "::"} else self._settings.host
        return self._api_at(host)

    def _api_at(self, host: str) -> str:
        return f"http://{format_url_host(host)}:{self.api_port}"

    @property
    def databases(self) -> Path:
        """The folder of DuckDB files."""
        return self._settings.databases_root or self.home.folder / "databases"

    @property
    def encryption_keys(self) -> list[str]:
        """The passphrases for secrets at rest, the newest first."""
        return self._settings.encryption_key_list or [self.home.secret("encryption-key")]

    @property
    def codec_token(self) -> str:
        """The secret in the path by which the Temporal UI has payloads decrypted."""
        return self._settings.codec_token or self.home.secret("codec-token")

    @property
    def api_key(self) -> str:
        """The first API key."""
        return self._settings.bootstrap_key or self.home.api_key()

    @property
    def gave_key(self) -> bool:
        """Whether the settings name the first API key."""
        return self._settings.bootstrap_key is not None

    async def __aenter__(self) -> Self:
        """Start the parts.

        Raises:
            StackError: One cannot start; those that did are stopped again.
        """
        self.home.take()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        if (refused := explain_refusal(self._settings)) is not None:
            raise StackError(refused)
        self._check_ports()
        # The Temporal UI is told of the façade before that runs.
        self.api_port = self._port("port", self._settings.host)
        await asyncio.gather(self._start_postgres(), self._start_temporal())
        if self._prepare is not None and self.database_url:
            with self._reported("schema", "up to date"):
                await asyncio.to_thread(self._prepare, self.database_url)
        if self._furnish is not None and self.database_url:
            await self._furnish(self)
        self.publish()
        if "worker" in self._parts:
            for number in range(self._settings.workers):
                await self.start_worker(number)
        if "api" in self._parts:
            with self._reported("api", self.api_url):
                await self.start_api()
        self.publish()
        starters = {CHROMA_WANTED: self.start_chroma, LLM_WANTED: self.start_llm}
        self._demand = [asyncio.create_task(self._meet_demand(mark, start)) for mark, start in starters.items()]

    def _check_ports(self) -> None:
        """See that every port that a setting names can be had, before anything starts.

        Raises:
            StackError: One cannot, or two parts are to have the same.
        """
        settings, parts = self._settings, self._parts
        preferred: dict[str, tuple[int, bool]] = {
            "port": (settings.port, "api" in parts),
            "postgres_port": (settings.postgres_port, settings.database_url is None and "postgres" in parts),
            "temporal_port": (settings.temporal_port, settings.temporal_address is None and "temporal" in parts),
            "ui_port": (settings.ui_port, settings.temporal_address is None and "temporal" in parts),
            "chroma_port": (settings.chroma_port, settings.chroma_url is None),
            "llm_port": (settings.llm_port, settings.local_llm_url is None),
        }
        owners: dict[int, str] = {}
        for name, (port, starts) in preferred.items():
            if not port or not starts:
                continue
            setting = f"TOWPATH_{name.upper()}"
            if port in owners:
                raise StackError(f"{owners[port]} and {setting} are both {port}; set one of them to another port")
            owners[port] = setting
            check_port(name, port, settings.host if name == "port" else "127.0.0.1")

    @contextmanager
    def _reported(self, name: str, address: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._tell(name, address, began)

    def _tell(self, name: str, address: str, began: float) -> None:
        if self._report is not None:
            self._report(name, address, time.monotonic() - began)

    async def _meet_demand(self, mark: str, start: Callable[[], Awaitable[str]]) -> None:
        """Start a part once a façade or a worker has asked for it by a file in the home."""
        # Another process makes the file: there is no event to wait for.
        while not (self.home.folder / mark).exists():  # noqa: ASYNC110
            await asyncio.sleep(DEMAND_SECONDS)
        try:
            await start()
        except StackError as error:
            # Whoever asked is told by the time that passes; everything else goes on without the part.
            logger.error("%s its log is in %s", str(error).splitlines()[0], self.home.logs)

    async def _start_postgres(self) -> None:
        if self._settings.database_url is not None or "postgres" not in self._parts:
            return
        port = self._port("postgres_port")
        server = Postgres(self.home, port, echo=self._echo)
        with self._reported("postgres", f"127.0.0.1:{port}"):
            await self._run(await server.start())
            await server.wait_ready()
        self.database_url = server.url

    async def _start_temporal(self) -> None:
        if self._settings.temporal_address is not None or "temporal" not in self._parts:
            return
        settings = self._settings
        port = self._port("temporal_port")
        ui_port = self._port("ui_port")
        server = TemporalServer(
            self.home,
            port,
            ui_port,
            retention_days=settings.retention_days,
            echo=self._echo,
            codec_endpoint=f"{self._local_api_url}/codec/{self.codec_token}",
        )
        with self._reported("temporal", server.address):
            child = await server.start()
            await self._run(child)
            await server.wait_ready(child)
        self.temporal_address = server.address
        self.temporal_ui_url = settings.temporal_ui_url or f"http://127.0.0.1:{ui_port}"

    async def start_worker(self, number: int = 0) -> Child:
        """Start one worker process; workers are `worker-0`, `worker-1` and so on."""
        name = f"worker-{number}"
        child = await self._run_ours(name, [*OURS, "towpath.worker", "--queues", self._settings.queues])
        self._workers.append(asyncio.create_task(self._watch(child)))
        return child

    async def _watch(self, child: Child) -> None:
        with self._reported(child.spec.name, self._settings.queues.replace(",", ", ")):
            await child.wait_for_line(WORKER_READY)

    async def workers_ready(self) -> bool:
        """Wait until every worker that was started takes work; not for ever.

        Returns:
            Whether they do.
        """
        if not self._workers:
            return True
        _, late = await asyncio.wait(self._workers, timeout=WORKER_READY_SECONDS)
        return not late

    async def start_api(self) -> Child:
        """Start the façade and wait until it is ready.

        Raises:
            StackError: It did not become ready.
        """
        child = await self._run_ours("api", [*OURS, "towpath", "api"])
        async with httpx.AsyncClient() as client:
            for _ in range(int(API_READY_SECONDS * 10)):
                if child.starts > MAX_STARTS:
                    break
                try:
                    if (await client.get(f"{self.api_url}/health", timeout=5)).status_code == 200:
                        return child
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        raise StackError("the façade does not become ready:\n" + "\n".join(child.lines))

    async def start_chroma(self) -> str:
        """Start Chroma, when it is first needed.

        Returns:
            Its URL.

        Raises:
            StackError: It did not become ready.
        """
        async with self._starts["chroma"]:
            if not self.chroma_url:
                began = time.monotonic()
                self.chroma_url = await self._start_chroma()
                self.publish()
                self._tell("chroma", self.chroma_url, began)
        return self.chroma_url

    async def _start_chroma(self) -> str:
        port = self._port_now("chroma_port")
        program = Path(sys.executable).parent / "chroma"
        command = [str(program), "run", "--path", str(self.home.folder / "chroma"), "--host", "127.0.0.1"]
        environment = child_environment() | {"ANONYMIZED_TELEMETRY": "False"}
        spec = Spec("chroma", [*command, "--port", str(port)], environment=environment, stop_seconds=10)
        return await self._run_on_demand(spec, port, "/api/v2/heartbeat", CHROMA_READY_SECONDS)

    async def start_llm(self) -> str:
        """Start the embedded language model, when it is first needed.

        Returns:
            Its base URL.

        Raises:
            StackError: It did not become ready.
        """
        async with self._starts["llm"]:
            if not self.llm_url:
                began = time.monotonic()
                port = self._port_now("llm_port")
                command = [*OURS, "towpath.runtime.embedded.llm_server", "--port", str(port)]
                spec = Spec("llm", command, environment=child_environment(), folder=ROOT, death_signal=signal.SIGKILL)
                self.llm_url = await self._run_on_demand(spec, port, "/health", LLM_READY_SECONDS) + "/v1"
                self.publish()
                self._tell("llm", self.llm_url, began)
        return self.llm_url

    async def _run_on_demand(self, spec: Spec, port: int, path: str, seconds: float) -> str:
        """Start a part with an HTTP API and wait until it answers."""
        child = Child(spec, self.home.logs, sys.stdout if self._echo else None)
        await self._run(child)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient() as client:
            for _ in range(int(seconds * 10)):
                try:
                    if (await client.get(f"{url}{path}", timeout=5)).status_code == 200:
                        return url
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        await self._children.pop(spec.name).stop()
        raise StackError(f"{spec.name} does not become ready:\n" + "\n".join(child.lines))

    async def _run_ours(self, name: str, command: list[str]) -> Child:
        spec = Spec(
            name,
            command,
            environment=self._environment(),
            folder=ROOT,
            # With the supervisor go the servers; a worker would wait out its grace for them and hold up the next start.
            death_signal=signal.SIGKILL,
        )
        child = Child(spec, self.home.logs, sys.stdout if self._echo else None)
        await self._run(child)
        return child

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        own = settings.temporal_address is None
        values = {
            name: getattr(settings, name)
            for name in settings.model_fields_set - {"database_url", "temporal_address", "chroma_url", "local_llm_url"}
        }
        values.update(
            self._own_ports(),
            home=self.home.folder,
            database_url=self.database_url,
            temporal_address=self.temporal_address,
            temporal_ui_url=self.temporal_ui_url,
            chroma_url=self.chroma_url or None,
            local_llm_url=self.llm_url or None,
            bootstrap_key=self.api_key,
            secret=settings.secret or self.home.secret("secret"),
            encryption_keys=",".join(self.encryption_keys),
            codec_token=self.codec_token,
            host=settings.host,
            port=self.api_port,
        )
        if own:
            values.update(development_defaults(settings))
            values.setdefault("databases_root", self.databases)
        values.update(self._extra)
        environment = child_environment(**values)
        for name in settings.model_fields_set:
            # What is said to be none stays none, whatever the environment says.
            if values.get(name) is None:
                environment.pop(f"TOWPATH_{name.upper()}", None)
        if own:
            # A key or certificate for somebody's cloud would make the client speak TLS to our own server.
            environment = {name: value for name, value in environment.items() if not name.startswith("TEMPORAL_")}
        # Numpy's own threads would fight with the worker's slots over two cores.
        environment.setdefault("OMP_NUM_THREADS", "1")
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        return environment

    def _port(self, name: str, host: str = "127.0.0.1") -> int:
        """Return a part's port, chosen once: who listens there already must not look like somebody else."""
        if name not in self._ports:
            self._ports[name] = self.home.port(name, getattr(self._settings, name), host)
        return self._ports[name]

    def _port_now(self, name: str) -> int:
        """Return the same for a part that starts late; another one, if somebody has taken its port meanwhile."""
        self._ports.pop(name, None)
        return self._port(name)

    def _own_ports(self) -> dict[str, int]:
        """Return the ports of our parts, also of those that start when they are needed: webhooks may not go there."""
        settings = self._settings
        parts = {
            "postgres_port": settings.database_url,
            "temporal_port": settings.temporal_address,
            "ui_port": settings.temporal_address,
            "chroma_port": settings.chroma_url,
            "llm_port": settings.local_llm_url,
        }
        return {name: self._port(name) for name, external in parts.items() if external is None}

    async def _run(self, child: Child) -> None:
        async def note(started: Child) -> None:
            if started.pid is not None:
                self.home.note_child(started.spec.name, started.pid, started.spec.stop_signal)

        child.on_start = note
        child.log_bytes = self._settings.log_bytes
        self._children[child.spec.name] = child
        await child.start()

    def publish(self) -> None:
        """Write where everything is to `stack.json`."""
        self.home.publish(
            api=self.api_url,
            temporal=self.temporal_address,
            temporal_ui=self.temporal_ui_url,
            database=self.database_url,
            chroma=self.chroma_url or None,
            llm=self.llm_url or None,
            pids={name: child.pid for name, child in self._children.items()},
        )

    def child(self, name: str) -> Child:
        """Return a supervised child by its name."""
        return self._children[name]

    def kill(self, name: str) -> int:
        """End a child with SIGKILL; it is started again.

        Returns:
            The pid that was killed.
        """
        return self._children[name].kill()

    async def stop(self) -> None:
        """Stop everything in the order of who needs whom: façade and workers first, database last."""
        waiting = [*self._demand, *self._workers]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        self._workers.clear()
        asking = [name for name in self._children if name not in HEALTH_PARTS]
        await asyncio.gather(*(self._children[name].stop() for name in asking))
        for name in HEALTH_PARTS:
            if name in self._children:
                await self._children[name].stop()
        self._children.clear()
        self.home.release()
