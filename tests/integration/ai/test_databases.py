"""Users' databases through real DuckDB files and a real Postgres: read-only, bounded, without a way out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import psycopg
import pytest
import pytest_asyncio

from tests.support.waiting import eventually
from towpath.ai.databases import Database, open_database
from towpath.ai.databases.duck import DuckDatabase
from towpath.ai.databases.postgres import read_url
from towpath.ai.databases.types import DatabaseConfig, DatabaseKind, ForeignKey, Limits
from towpath.ai.domain.semantics.compile import Dialect, compile_query
from towpath.ai.domain.semantics.draft import draft_model
from towpath.ai.semantic_types import DataType, Query
from towpath.core.errors import BadInputError, NotFoundError, QueryTooSlowError, TowpathError, UnavailableError
from towpath.net.http import GuardedClient

pytestmark = pytest.mark.asyncio(loop_scope="session")
DDL = """
CREATE TABLE depots (code varchar PRIMARY KEY, name text);
CREATE TABLE shipments (
    id bigint PRIMARY KEY, depot varchar REFERENCES depots (code), sent timestamp, day date, late boolean,
    price numeric(8, 2), tags int[]
);
INSERT INTO depots VALUES ('n', 'North'), ('e', 'East');
INSERT INTO shipments
SELECT i, CASE WHEN i % 3 = 0 THEN 'e' ELSE 'n' END, TIMESTAMP '2026-05-01 00:00', DATE '2026-05-01',
    i % 2 = 0, i, NULL FROM generate_series(1, 30) AS t (i);
"""


@pytest.fixture
async def guard() -> AsyncIterator[GuardedClient]:
    made = GuardedClient(allow_hosts=["127.0.0.1"], most_bytes=0, seconds=5)
    yield made
    await made.close()


def own_folder(root: Path, organization: str = "acme") -> Path:
    folder = root / organization
    folder.mkdir(exist_ok=True)
    return folder


@pytest_asyncio.fixture(params=list(DatabaseKind), loop_scope="session")
async def opened(
    request: pytest.FixtureRequest, tmp_path: Path, make_database: Any, guard: GuardedClient
) -> AsyncIterator[tuple[Database, DatabaseKind]]:
    """The same tables in each kind."""
    if request.param is DatabaseKind.DUCKDB:
        with duckdb.connect(str(own_folder(tmp_path) / "data.duckdb")) as connection:
            connection.execute(DDL.replace("generate_series(1, 30) AS t (i)", "range(1, 31) AS t (i)"))
        config = DatabaseConfig(kind=request.param, path="data.duckdb")
    else:
        url = make_database().replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as writing:
            writing.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            writing.execute(DDL)
        config = DatabaseConfig(kind=request.param, url=url)
    database = await open_database(config, "acme", root=tmp_path, guard=guard)
    yield database, request.param
    await database.close()


async def test_what_it_holds_is_told(opened: tuple[Database, DatabaseKind]) -> None:
    tables = {table.name: table for table in await opened[0].tables()}

    assert set(tables) == {"depots", "shipments"}
    shipments = {one.name: (one.type, one.key) for one in tables["shipments"].columns}
    assert shipments == {
        "id": (DataType.NUMBER, True), "depot": (DataType.STRING, False), "sent": (DataType.TIMESTAMP, False),
        "day": (DataType.DATE, False), "late": (DataType.BOOLEAN, False), "price": (DataType.NUMBER, False),
        "tags": (None, False),
    }  # fmt: skip
    assert tables["shipments"].foreign_keys == [ForeignKey(columns=["depot"], table="depots", references=["code"])]


async def test_a_drafted_model_answers_a_query(opened: tuple[Database, DatabaseKind]) -> None:
    database, kind = opened
    content = draft_model(await database.tables())
    query = Query(table="shipments", fields=["depots.name", "shipments.count", "shipments.total_price"],
                  filters={"shipments.late": True, "shipments.sent": {"gte": "2026-01-01"}})  # fmt: skip
    made = compile_query(content, "shipments", query, Dialect(kind))
    rows = await database.run(made.sql, made.parameters, Limits())

    assert [(name, count, float(price)) for name, count, price in rows.rows] == [
        ("North", 10, 150.0),
        ("East", 5, 90.0),
    ]
    assert (rows.columns, rows.truncated) == (["depots.name", "shipments.count", "shipments.total_price"], False)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO depots VALUES ('x', 'X')",
        "DELETE FROM shipments",
        "DROP TABLE shipments",
        "CREATE TABLE more (a int)",
        "SELECT * FROM nowhere",
        "no sql at all",
    ],
)
async def test_nothing_is_written_and_the_next_query_works(opened: tuple[Database, DatabaseKind], sql: str) -> None:
    database, _ = opened
    with pytest.raises(BadInputError, match="refuses"):
        await database.run(sql, {}, Limits())

    assert (await database.run("SELECT count(*) FROM shipments", {}, Limits())).rows == [(30,)]


async def test_rows_are_bounded(opened: tuple[Database, DatabaseKind]) -> None:
    rows = await opened[0].run("SELECT id FROM shipments ORDER BY id", {}, Limits(rows=7))

    assert ([row[0] for row in rows.rows], rows.truncated) == (list(range(1, 8)), True)


async def test_a_slow_query_is_ended_and_the_next_one_works(opened: tuple[Database, DatabaseKind]) -> None:
    database, kind = opened
    slow = {
        DatabaseKind.POSTGRES: "SELECT pg_sleep(30)",
        DatabaseKind.DUCKDB: "SELECT sum(a.range * b.range % 7) FROM range(1000000) a, range(1000000) b",
    }[kind]
    started = time.monotonic()
    with pytest.raises(QueryTooSlowError):
        await database.run(slow, {}, Limits(seconds=0.5))
    assert time.monotonic() - started < 20

    assert (await database.run("SELECT 1", {}, Limits())).rows == [(1,)]


async def test_a_caller_that_leaves_ends_its_query(tmp_path: Path, guard: GuardedClient) -> None:
    duckdb.connect(str(own_folder(tmp_path) / "a.duckdb")).close()
    database = await open_database(
        DatabaseConfig(kind=DatabaseKind.DUCKDB, path="a.duckdb"), "acme", root=tmp_path, guard=guard
    )
    slow = "SELECT sum(a.range * b.range % 7) FROM range(1000000) a, range(1000000) b"
    task = asyncio.create_task(database.run(slow, {}, Limits(seconds=300)))
    # Also one that leaves before the database has begun.
    assert isinstance(database, DuckDatabase)
    await eventually(database._lock.locked, "query")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert (await database.run("SELECT 1", {}, Limits())).rows == [(1,)]
    await database.close()


async def test_only_tables_of_the_users_own_may_be_named(opened: tuple[Database, DatabaseKind]) -> None:
    database, kind = opened
    space = "main" if kind is DatabaseKind.DUCKDB else "public"
    await database.check_own(["depots", f"{space}.shipments"])
    system = [
        "duckdb_databases", "duckdb_settings", "pragma_database_list", "sqlite_master", "pg_settings", "pg_user",
        "pg_catalog.pg_class", "information_schema.tables", "main.duckdb_databases", "system.main.duckdb_tables",
        "nowhere", "nowhere.depots", "connection",
    ]  # fmt: skip
    for name in system:
        with pytest.raises(BadInputError, match=f"no table {name} of its own"):
            await database.check_own([name])
    assert (await database.run("SELECT count(*) FROM depots", {}, Limits())).rows == [(2,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{secret}')", "SELECT * FROM read_text('{secret}')", "SELECT * FROM '{secret}'",
        "ATTACH '{secret}' AS other", "COPY (SELECT 1) TO '{secret}.out'", "INSTALL httpfs", "LOAD httpfs",
        "SET enable_external_access = true", "SELECT * FROM glob('/*')",
    ],
)  # fmt: skip
async def test_duckdb_has_no_way_out_of_its_file(tmp_path: Path, guard: GuardedClient, sql: str) -> None:
    (tmp_path / "secret.csv").write_text("word\nhidden\n")
    duckdb.connect(str(own_folder(tmp_path) / "a.duckdb")).close()
    config = DatabaseConfig(kind=DatabaseKind.DUCKDB, path="a.duckdb")
    database = await open_database(config, "acme", root=tmp_path, guard=guard)
    with pytest.raises(BadInputError):
        await database.run(sql.format(secret=tmp_path / "secret.csv"), {}, Limits())
    await database.close()


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"kind": "duckdb"}, BadInputError),
        ({"kind": "duckdb", "path": "../other/theirs.duckdb"}, BadInputError),
        ({"kind": "duckdb", "path": "other/theirs.duckdb"}, NotFoundError),
        ({"kind": "duckdb", "path": "/etc/passwd"}, BadInputError),
        ({"kind": "duckdb", "path": "missing.duckdb"}, NotFoundError),
        ({"kind": "duckdb", "path": "text.duckdb"}, BadInputError),
        ({"kind": "duckdb", "path": "link.duckdb"}, BadInputError),
        ({"kind": "postgres"}, BadInputError),
        ({"kind": "postgres", "url": "mysql://x"}, BadInputError),
        ({"kind": "postgres", "url": "postgresql:///db?host=/var/run"}, BadInputError),
        ({"kind": "postgres", "url": "postgresql://a@10.0.0.1/db"}, BadInputError),
        ({"kind": "postgres", "url": "postgresql://a@example.com/db?host=127.0.0.1"}, BadInputError),
        ({"kind": "postgres", "url": "postgresql://a@127.0.0.1:1/db?port=2"}, BadInputError),
        ({"kind": "postgres", "url": "postgresql://a@1.1.1.1/db?hostaddr=127.0.0.1"}, BadInputError),
        ({"kind": "postgres", "url": "postgresql://a@1.1.1.1/db?options=-c%20x"}, BadInputError),
        ({"kind": "postgres", "url": "postgresql://a@1.1.1.1,10.0.0.1/db"}, BadInputError),
        ({"kind": "postgres", "url": "postgresql://a@127.0.0.1:1/db"}, UnavailableError),
    ],
)
async def test_what_may_not_be_opened(
    tmp_path: Path, guard: GuardedClient, config: dict[str, str], error: type[TowpathError]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    own, other = own_folder(root), own_folder(root, "other")
    (own / "text.duckdb").write_text("no database")
    (other / "theirs.duckdb").write_text("x")
    (own / "link.duckdb").symlink_to(other / "theirs.duckdb")
    with pytest.raises(error) as caught:
        await open_database(DatabaseConfig.model_validate(config), "acme", root=root, guard=guard)
    assert not (password := urlsplit(config.get("url", "")).password) or password not in caught.value.detail


@pytest.mark.parametrize("password", ["p[x]", "p]x", "S\uff03t"])
async def test_a_password_may_hold_what_no_host_may(password: str) -> None:
    assert read_url(f"postgresql://u:{password}@db.example.com/d")["password"] == password
