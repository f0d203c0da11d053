"""Import rules for what import-linter cannot see: which names are ours, and who may talk to Temporal."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "towpath"
FOLDERS = [PACKAGE, *(ROOT / name for name in ("api", "workflows", "activities"))]
"""All code of the package; three of its folders lie at the root, with a link to each inside."""


def modules() -> list[Path]:
    return sorted({path.resolve() for folder in FOLDERS for path in folder.rglob("*.py")})


def imported(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("name", ["api", "workflows", "activities"])
def test_the_folders_at_the_root_belong_to_the_package(name: str) -> None:
    assert (PACKAGE / name).resolve() == ROOT / name
    assert (PACKAGE / name).readlink() == Path("..") / name


def test_everything_is_imported_under_one_name() -> None:
    # `import api` would find the folder at the root, as a second copy of every module.
    ours = {path.stem for path in PACKAGE.iterdir()} - {"secrets", "demo"}
    files = [*modules(), *(path for folder in ("bench", "tests") for path in (ROOT / folder).rglob("*.py"))]
    for path in files:
        assert not {name.partition(".")[0] for name in imported(path)} & ours, path


def test_a_worker_does_not_know_the_facade() -> None:
    # A worker that imported it would carry FastAPI and every route into each process.
    assert not [name for name in imported(PACKAGE / "worker.py") if name.startswith(("towpath.api", "towpath.cli"))]


def test_the_command_line_asks_the_facade_for_nothing_but_to_start() -> None:
    # It starts the façade by name, as a server does; its routes are for requests.
    above = ("towpath.api", "towpath.workflows", "towpath.activities")
    for path in (PACKAGE / "cli").glob("*.py"):
        assert not [name for name in imported(path) if name.startswith(above)], path


def test_the_package_knows_neither_benchmarks_nor_tests() -> None:
    for path in modules():
        assert not {name.partition(".")[0] for name in imported(path)} & {"bench", "tests"}, path


def test_only_the_gateway_starts_and_signals_workflows() -> None:
    # One place decides on ids, conflicts and search attributes; of deliveries, their own service does.
    calls = {"start_workflow", "execute_workflow", "get_workflow_handle", "get_workflow_handle_for"}
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"activities", "workflows", "runtime"}
    callers = set()
    for path in (path for room in rooms for path in (PACKAGE / room).rglob("*.py")):
        named = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        if named & calls:
            callers.add(path.relative_to(PACKAGE).as_posix())

    assert callers == {"jobs/gateway.py", "webhooks/service/deliveries.py"}


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "common.py"])
def test_no_module_is_a_drawer_for_everything(name: str) -> None:
    assert [path for path in modules() if path.name == name] == []


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_what_is_private_stays_in_its_module() -> None:
    files = [*modules(), *(path for folder in ("bench", "docs") for path in (ROOT / folder).rglob("*.py"))]

    assert [path for path in files if private(path.stem)] == []
    assert [(path, name) for path in files for name in imported(path) if any(map(private, name.split(".")))] == []
