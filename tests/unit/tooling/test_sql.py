"""SQL stands in stores only: what a table holds, and how it is locked, is known in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ["api", "workflows", "activities", "towpath"]
OTHER_DATABASES = {
    "towpath/ai/databases": "the databases of users, which questions are asked of",
    "towpath/runtime/embedded": "makes the database of the embedded stack, and that of the demo",
}
"""Folders with SQL of something else than our tables."""
STATEMENTS = {"execute", "executemany", "exec", "copy", "session"}
"""Methods of connections, cursors, sessions and `Database` that take SQL, or give what takes it."""


def is_store(path: Path) -> bool:
    """Whether a module may have SQL: one in a folder `store`, a module `store`, or the database's own."""
    return "store" in path.with_suffix("").parts or path.parts[:2] == ("towpath", "db")


def modules() -> Iterator[Path]:
    """All modules but stores, each once: links within the package are left out."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT)
            linked = any((ROOT / parent).is_symlink() for parent in relative.parents)
            if not linked and not is_store(relative) and not relative.as_posix().startswith(tuple(OTHER_DATABASES)):
                yield relative


def statements(source: str) -> list[int]:
    """Lines that call a method which takes SQL on something that may be a connection."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in STATEMENTS and _may_be_connection(call)
    ]


def _may_be_connection(call: ast.Call) -> bool:
    """`.copy()` and `.exec()` of other things have no argument or another receiver; SQL is an argument, but for
    `.session()`.
    """
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr == "session":
        return True
    return bool(call.args)


@pytest.mark.parametrize("module", list(modules()), ids=str)
def test_module_has_no_sql(module: Path) -> None:
    assert statements((ROOT / module).read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        'await connection.execute("SELECT 1")',
        "await cursor.executemany(INSERT, rows)",
        "async with state.db.session() as session: pass",
        "rows = await session.exec(select(JobRow))",
        'async with cursor.copy("COPY jobs FROM STDIN") as copy: pass',
    ],
)
def test_sql_is_recognized(source: str) -> None:
    assert statements(f"async def f():\n    {source}") == [2]


def test_all_rooms_are_looked_at() -> None:
    rooms = {path.parts[:2] for path in modules()}

    assert {("towpath", "jobs"), ("towpath", "enrichment"), ("api", "routes")} <= rooms
    assert ("towpath", "api") not in rooms
