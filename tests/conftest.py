"""Real parts for the tests: one Postgres and Temporal a session, fresh databases, own ports and folders.

A test that uses none of these fixtures, and is in no room of processes, is marked `fast` by itself and held to it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
import pytest_asyncio

from tests import builders, tiers
from tests.ai.builders import make_lamps
from tests.builders import Organization, organization, providers, small_provider
from tests.llm_server import LlmServer, llm_server
from tests.receiver import Receiver, receiver
from tests.supervised import supervised
from towpath.db.engine import Database
from towpath.db.migrate import migrate
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

# How long an example takes tells of the machine, not of the code.
hypothesis.settings.register_profile(
    "towpath",
    deadline=None,
    print_blob=True,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("towpath")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and watch what fast tests do."""
    config.addinivalue_line("markers", "fast: starts no process, opens no connection; set by itself")
    tiers.watch(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs no part of the system."""
    for item in items:
        if tiers.is_fast(item):
            item.add_marker("fast")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Hold a fast test, with its fixtures, to what it says."""
    with tiers.held(item):
        return (yield)


@pytest.fixture(scope="session")
def session_home() -> Iterator[Path]:
    """A folder outside the checkout, so that the unprivileged Postgres can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="towpath-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="session")
async def parts(session_home: Path) -> AsyncIterator[EmbeddedStack]:
    """Postgres and Temporal, shared by all tests of the session; each test uses its own database."""
    settings = Settings(home=session_home / "home", port=0, ui_port=0, temporal_port=0, postgres_port=0)
    async with EmbeddedStack(settings, parts={"postgres", "temporal"}, echo=False) as stack:
        yield stack


@pytest.fixture(scope="session")
def make_database(parts: EmbeddedStack) -> Callable[[], str]:
    """Makes a fresh, migrated database and gives its URL."""

    def make() -> str:
        name = f"test_{uuid4().hex[:12]}"
        server = parts.database_url.rsplit("/", 1)[0]
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        migrate(f"{server}/{name}")
        return f"{server}/{name}"

    return make


@pytest.fixture(scope="module")
def database_url(make_database: Callable[[], str]) -> str:
    """A fresh database for one module."""
    return make_database()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """A handle on the module's database."""
    handle = Database(database_url)
    yield handle
    await handle.close()


@pytest.fixture(scope="session")
def files(session_home: Path) -> Path:
    """The folder that items may name files in."""
    folder = session_home / "root" / "files"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def databases(session_home: Path) -> Path:
    """The folder of DuckDB files, with one of lamps in it."""
    folder = session_home / "root" / "databases"
    folder.mkdir(parents=True)
    make_lamps(folder / "lamps.duckdb")
    builders.SEEDED.append(folder)
    return folder


@pytest.fixture(scope="session")
def loopback() -> Iterator[LlmServer]:
    """A provider of language models, in the place of every remote one."""
    with llm_server() as served:
        yield served


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with receiver() as served:
        yield served


@pytest.fixture
def path(hook: Receiver) -> str:
    """A path of the receiver that only this test uses."""
    hook.scripts = []
    return f"/{uuid4().hex}"


@pytest.fixture
def provider(loopback: LlmServer) -> LlmServer:
    """The same, as new."""
    loopback.reset()
    return loopback


@pytest.fixture(scope="session")
def system(session_home: Path, files: Path, databases: Path, loopback: LlmServer) -> Iterator[EmbeddedStack]:
    """Everything as processes: Postgres, Temporal, Chroma, one worker, one façade; tests bring their own tenant."""
    settings = Settings(
        home=session_home / "system", port=0, ui_port=0, workers=1, index_chunk=50, match_chunk=200, vector_chunk=50,
        max_json_bytes=2_000_000, max_ndjson_bytes=3_000_000, vector_max_items=400, files_root=files,
        allowed_hosts="127.0.0.1", webhook_allowed_hosts="127.0.0.1,localhost", llm_seconds=30.0,
        provider_patience_seconds=15.0,
        llm_providers={**providers(loopback.url), **small_provider(loopback.url)},
        databases_root=databases, query_seconds=5.0, ai_rate=1_000_000,
    )  # fmt: skip
    with supervised(settings) as stack:
        yield stack


@pytest.fixture
def org(system: EmbeddedStack) -> Organization:
    """A fresh organisation on the session's system."""
    return organization(system.api_url)
