"""Import rules for what import-linter cannot see: `worker.py`, `cli.py`, and the rooms' own knowledge of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("api", "workflows", "activities", "contracts", "domain", "stores", "clients", "runtime")
COMPOSITION_ROOTS = {"cli", "worker"}


def imported(path: Path) -> set[str]:
    """The first word of every module that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def test_a_worker_does_not_know_the_facade() -> None:
    # A worker that imported it would carry FastAPI and every route into each process.
    assert not imported(ROOT / "worker.py") & {"api", "cli", "bench"}


def test_the_command_line_asks_the_facade_for_nothing_but_to_start() -> None:
    # It starts the façade by name, as a server does; its routes are for requests.
    assert not imported(ROOT / "cli.py") & {"api", "workflows", "activities"}


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_knows_the_composition_roots_the_benchmarks_or_the_tests(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert not imported(path) & (COMPOSITION_ROOTS | {"bench", "tests"}), path


def test_only_the_gateway_starts_and_signals_workflows() -> None:
    # One place decides on ids, conflicts and search attributes.
    calls = {"start_workflow", "execute_workflow", "get_workflow_handle", "get_workflow_handle_for"}
    for path in (ROOT / "api").rglob("*.py"):
        named = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert path.name == "gateway.py" or not named & calls, path


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "common.py"])
def test_no_module_is_a_drawer_for_everything(name: str) -> None:
    assert [path for room in ROOMS for path in (ROOT / room).rglob(name)] == []
