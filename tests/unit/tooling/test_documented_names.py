"""Whatever the documentation names in a code span exists: files, modules, classes, commands, settings, operations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from docs.generate import FOLDER
from towpath.api.app import create_app
from towpath.cli import app as command_line
from towpath.runtime.settings import Settings

ROOT = FOLDER.parent
# The changelog tells of names as they were.
PAGES = sorted({*ROOT.glob("*.md"), *FOLDER.rglob("*.md")} - {ROOT / "CHANGELOG.md"})
CODE = ("activities", "api", "bench", "deploy", "docs", "tests", "towpath", "workflows")
SOURCES = frozenset({".py", ".sql", ".sh", ".toml", ".yml", ".yaml", ".html", ".js", ".css", ".lock", ".md", ".env"})

FENCE = re.compile(r"^ *```(?P<language>\w*).*?\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`(?P<text>[^`]+)`(?!`)")
PATH = re.compile(r"[\w.*<>-]+(/[\w.*<>-]+)*/?")
MODULE = re.compile(r"towpath(\.\w+)+")
MEMBER = re.compile(r"(?P<owner>[A-Z][a-z]\w*)\.(?P<name>[a-z]\w*)")
OPERATION = re.compile(r"(?P<method>GET|POST|PUT|PATCH|DELETE) (?P<path>/[^\s?`]*)")
IDENTIFIER = re.compile(r"[a-z]+(_[a-z]+)+|([A-Z][a-z]+){2,}")
SETTING = re.compile(r"\bTOWPATH_[A-Z_]*[A-Z]\b")
COMMAND = re.compile(r"^\$? ?(\w+=\S+ )*(\.venv/bin/)?(?P<program>make|towpath|python -m)(?P<words>( [\w.-]+)+)")

EXAMPLES = re.compile(r"parcel", re.IGNORECASE)
"""The feature that `docs/how-to/add-a-job-kind.md` makes up."""
NOT_FILES = frozenset(
    {
        "towpath/reconcile",  # the id of the reconciler's workflow
        *("chroma/", "chroma.wanted", "logs/"),  # in the home of the embedded stack
    }
)
MEDIA = ("application/", "image/", "text/")
NOT_SETTINGS = frozenset({"TOWPATH_WORKERS"})
NOT_OURS = frozenset({"IndexError", "TaskGroup", "lock_timeout", "max_body_size", "pg_dump"})
"""Names of other programs and libraries that no code of ours mentions."""


def spans(page: str) -> Iterator[str]:
    """The code spans of a page."""
    return (" ".join(span["text"].split()) for span in SPAN.finditer(FENCE.sub("", page)))


def commands(page: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a page that run something of ours: the program, and its words."""
    shells = (fence["text"] for fence in FENCE.finditer(page) if fence["language"] in {"bash", "console"})
    for line in [*spans(page), *(line for shell in shells for line in shell.splitlines())]:
        if command := COMMAND.match(line.strip()):
            yield command["program"], command["words"].split()


@cache
def words_of_code() -> frozenset[str]:
    """Every word of the code, its comments and texts included; not of the tests, which name what must not exist."""
    folders = set(CODE) - {"tests"}
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in SOURCES - {".md"}]
    files += [path for path in ROOT.iterdir() if path.is_file() and path.suffix != ".md"]
    return frozenset(word for path in files for word in re.findall(r"\w+", path.read_text(errors="replace")))


@cache
def modules_by_class() -> dict[str, list[str]]:
    """The modules that define a class, by its name."""
    modules: dict[str, list[str]] = {}
    for folder in ("activities", "api", "towpath", "workflows"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.relative_to(ROOT).parts[1] in {"api", "activities", "workflows"}:
                continue  # the links to the folders of the root
            parts = path.relative_to(ROOT).with_suffix("").parts
            module = ".".join(parts if parts[0] == "towpath" else ("towpath", *parts)).removesuffix(".__init__")
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    modules.setdefault(node.name, []).append(module)
    return modules


def has_member(owner: Any, name: str) -> bool:
    """Whether a module or class has an attribute, an annotated one included."""
    bases = owner.__mro__ if isinstance(owner, type) else (owner,)
    return hasattr(owner, name) or any(name in vars(base).get("__annotations__", {}) for base in bases)


def exists_in_module(path: str) -> bool:
    """Whether a dotted path leads to a module, or to what one defines."""
    module, names = path, list[str]()
    while find_module(module) is None:
        module, _, name = module.rpartition(".")
        names.insert(0, name)
    owner: Any = import_module(module)
    for name in names:
        if not has_member(owner, name):
            return False
        owner = getattr(owner, name, None)
    return True


def find_module(name: str) -> object:
    """Find a module, or `None` where a package on the way is missing."""
    try:
        return find_spec(name)
    except ModuleNotFoundError:
        return None


def is_path(span: str) -> bool:
    """Whether a span looks like a file or folder of the repository."""
    if not PATH.fullmatch(span) or span.startswith((".", *MEDIA)) or any(map(str.isupper, re.split(r"[/.]", span))):
        return False
    return "/" in span or Path(span).suffix in SOURCES


def exists_as_path(span: str) -> bool:
    """Whether a path, with `<name>` or `*` for any name, leads somewhere: from the root, the package, or anywhere."""
    pattern = re.sub(r"<\w+>", "*", span).rstrip("/")
    if any(True for base in (ROOT, ROOT / "towpath") for _ in base.glob(pattern)):
        return True
    return "/" not in pattern and any(True for folder in CODE for _ in (ROOT / folder).rglob(pattern))


@cache
def operations() -> frozenset[str]:
    """Every operation of the façade, without the names of its parameters."""
    routes = create_app(Settings(docs_open=True)).openapi()["paths"]
    return frozenset(f"{method.upper()} {unnamed(path)}" for path, item in routes.items() for method in item)


def unnamed(path: str) -> str:
    """Return a path without the names of its parameters."""
    return re.sub(r"\{\w+\}", "{}", path)


def is_operation(method: str, path: str) -> bool:
    """Whether the façade serves a path, in which a value may stand for a parameter."""
    parts = unnamed(path).rstrip("/").split("/")
    for known in operations():
        verb, _, template = known.partition(" ")
        places = template.rstrip("/").split("/")
        fits = len(places) == len(parts) and all(a in ("{}", b) for a, b in zip(places, parts, strict=True))
        if verb == method and fits:
            return True
    return False


@cache
def settings() -> frozenset[str]:
    """Every variable of the environment that is read."""
    return frozenset(f"TOWPATH_{name.upper()}" for name in Settings.model_fields) | NOT_SETTINGS


@cache
def make_targets() -> frozenset[str]:
    """The targets of the Makefile."""
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def is_command(words: list[str]) -> bool:
    """Whether `towpath` has a command."""
    command: Any = typer.main.get_command(command_line)
    for word in words:
        if word.startswith("-"):
            if word != "--help" and not any(word in option.opts for option in command.params):
                return False
        elif hasattr(command, "commands"):  # else it is an argument
            if word not in command.commands:
                return False
            command = command.commands[word]
    return True


def exists_as_command(program: str, words: list[str]) -> bool:
    """Whether a command of ours can be run."""
    if program == "make":
        return words[0] in make_targets()
    if program == "towpath":
        return is_command(words)
    return find_module(words[0]) is not None


def missing_names(page: str) -> list[str]:
    """What a page names and the repository does not have."""
    page = "\n".join(line for line in page.splitlines() if not EXAMPLES.search(line))
    missing = [
        f"{program} {' '.join(words)}" for program, words in commands(page) if not exists_as_command(program, words)
    ]
    missing += [name for name in SETTING.findall(page) if name not in settings()]
    for span in spans(page):
        if span not in NOT_FILES and not is_known(span):
            missing.append(span)
    return sorted(set(missing))


def is_known(span: str) -> bool:
    """Whether a code span names nothing of ours, or something that exists."""
    span = span.removesuffix("()")
    if MODULE.fullmatch(span):
        return exists_in_module(span)
    if is_path(span):
        return exists_as_path(span)
    if operation := OPERATION.match(span):
        return is_operation(operation["method"], operation["path"])
    if member := MEMBER.fullmatch(span):
        owners = modules_by_class().get(member["owner"], [])
        return any(has_member(getattr(import_module(module), member["owner"]), member["name"]) for module in owners)
    return not IDENTIFIER.fullmatch(span) or span in words_of_code() | NOT_OURS


def ids(pages: Iterable[Path]) -> list[str]:
    """Name pages by their path."""
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_what_a_page_names_exists(page: Path) -> None:
    assert missing_names(page.read_text()) == []


def test_what_does_not_exist_is_noticed() -> None:
    page = """
The files `towpath/jobs/gone.py`, `towpath/gone/`, `towpath/<room>/gone.py`, `gone.py` and `pyproject.toml`.
The modules `towpath.jobs.gone`, `towpath.gone.service`, `towpath.jobs.service`, `towpath.jobs.service.JobService.gone`.
`JobService.gone`, `GoneService.cancel`, `JobService.cancel`, `GET /v1/gone`, `DELETE /v1/jobs`, `GET /v1/jobs/{any}`.
`gone_with_the_wind`, `TOWPATH_GONE`, `TOWPATH_PORT`, `make gone`, `make check`.

```bash
towpath gone
towpath keys gone
towpath up --gone
towpath keys create "gone" --role editor
.venv/bin/python -m bench.gone
python -m bench.matching
```
"""

    assert missing_names(page) == [
        "DELETE /v1/jobs",
        "GET /v1/gone",
        "GoneService.cancel",
        "JobService.gone",
        "TOWPATH_GONE",
        "gone.py",
        "gone_with_the_wind",
        "make gone",
        "python -m bench.gone",
        "towpath gone",
        "towpath keys gone",
        "towpath up --gone",
        "towpath.gone.service",
        "towpath.jobs.gone",
        "towpath.jobs.service.JobService.gone",
        "towpath/<room>/gone.py",
        "towpath/gone/",
        "towpath/jobs/gone.py",
    ]
