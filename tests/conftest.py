"""Parts for the tests: one Postgres and Temporal a session, fresh databases, own ports and folders.

Each test is marked `unit`, `integration` or `system` after the folder it is in.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
import pytest_asyncio

from tests.support import builders
from tests.support.ai import make_lamps
from tests.support.batch_server import BatchLlmServer, batch_server
from tests.support.llm_server import LlmServer
from tests.support.receiver import Receiver, receiver
from towpath.db.engine import Database
from towpath.db.migrate import migrate
from towpath.features import register_features
from towpath.runtime.embedded import EmbeddedStack, postgres
from towpath.runtime.settings import Settings

register_features()

# How long an example takes tells of the machine, not of the code.
hypothesis.settings.register_profile(
    "towpath",
    deadline=None,
    print_blob=True,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("towpath")


# What a process has written survives its kill without this. Only a crash of the machine, which no test has, needs it.
postgres.SETTINGS |= {"fsync": "off", "full_page_writes": "off"}
postgres.INITDB_OPTIONS.append("--no-sync")

TESTS = Path(__file__).parent
OWN_STACK = re.compile(r"\b(supervised|make_stack|Popen)\(|\bbreakable\b")
TIERS = {
    "unit": "starts no process and opens no connection",
    "integration": "needs a part: a database, Temporal, Chroma, a server or a child process",
    "system": "needs the whole running system, or a browser",
}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for name, description in TIERS.items():
        config.addinivalue_line("markers", f"{name}: {description}; set by the folder")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test after its folder, and let those come first that take longest.

    A file goes to one process as a whole: with the short ones last, no process waits long for another one's end.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder not in TIERS:
            raise pytest.UsageError(f"{item.nodeid} belongs in one of the folders {', '.join(TIERS)}")
        item.add_marker(folder)
    items.sort(key=lambda item: _turn_of(item.path))


@cache
def _turn_of(file: Path) -> tuple[int, bool]:
    """When a file has its turn: system tests first, and of a tier those that start processes of their own."""
    tier = list(TIERS)[::-1].index(file.relative_to(TESTS).parts[0])
    return tier, OWN_STACK.search(file.read_text(encoding="utf-8")) is None


@pytest.fixture(scope="session")
def session_home() -> Iterator[Path]:
    """A folder outside the checkout, so that the unprivileged Postgres can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="towpath-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home below a folder that only its owner may enter, as a home under /root is."""
    folder = Path(tempfile.mkdtemp(prefix="towpath-runtime-"))
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="session")
async def parts(session_home: Path) -> AsyncIterator[EmbeddedStack]:
    """Postgres and Temporal, shared by all tests of the session; each test uses its own database."""
    settings = Settings(home=session_home / "home", port=0, ui_port=0, temporal_port=0, postgres_port=0)
    async with EmbeddedStack(settings, parts={"postgres", "temporal"}, echo=False) as stack:
        yield stack


@pytest.fixture(scope="session")
def make_database(parts: EmbeddedStack) -> Callable[[], str]:
    """Makes a fresh, migrated database and gives its URL.

    All migrations run once a session: every database is a copy of the one that they have run on, which nobody opens.
    """
    server = parts.database_url.rsplit("/", 1)[0]

    @cache
    def migrated() -> str:
        name = f"migrated_{uuid4().hex[:12]}"
        create(name)
        migrate(f"{server}/{name}")
        return name

    def create(name: str, template: str = "template1") -> None:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")

    def make() -> str:
        name = f"test_{uuid4().hex[:12]}"
        create(name, migrated())
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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def neighbour(database_url: str) -> AsyncIterator[Database]:
    """A second handle on it, as another process has, for what is done while a transaction of the first is open."""
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
def loopback() -> Iterator[BatchLlmServer]:
    """A provider of language models, in the place of every remote one."""
    with batch_server() as served:
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
