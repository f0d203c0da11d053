"""Names say what they hold, functions say what they do, and no module is too long to read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate import FOLDER

ROOT = FOLDER.parent
PACKAGES = ("towpath", "api", "activities", "workflows", "bench", "docs")
MAX_LINES = 500
WORDS = {
    "asked": "the request or question: `question`, `requested`, `body`",
    "drawn": "what was drawn: `sample`, `picture`",
    "found": "what was looked up: `row`, `cursor`, `match`, `matches`, `errors`",
    "given": "what it is: `value`, `text`, `pattern`, `body`",
    "kept": "what stays: `remaining`, `stored`, `head`",
    "made": "what was created: `key`, `row`, `invitation`, `pieces`",
    "one": "what it is one of: `row`, `item`, `char`, `job`",
    "said": "the message: `message`, `line`, `verdict`",
    "told": "what was stated: `message`, `declared`, `value`",
    "wanted": "what is needed: `expected`, `required`, `requested`",
    "wish": "the request: `request`, `choice`",
    "wished": "the request: `requested`, `choice`",
}
"""Words that say how a value came about instead of what it is, each with what to write instead."""
VAGUE = re.compile(r"(What|Who|How|Whether|The|A|An|That|Which|Where|One|All|Everything|Everybody)\b")
"""How a docstring begins that describes instead of saying what the function does."""
ROUTES = {"get", "post", "put", "patch", "delete", "head", "options", "api_route"}


def modules() -> Iterator[Path]:
    """All modules of the package and around it, each once; migrations stay as they were released."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT)
            is_linked = any((ROOT / parent).is_symlink() for parent in relative.parents)
            if not is_linked and "versions" not in relative.parts:
                yield relative


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module gives to something, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def vague_names(source: str) -> list[str]:
    """The names of a module that are among `WORDS`, each with its line and what to write instead."""
    words = ((line, name, name.strip("_").lower()) for line, name in bound_names(ast.parse(source)))
    return [f"line {line}, {name}: name {WORDS[word]}" for line, name, word in words if word in WORDS]


def vague_docstrings(source: str) -> list[str]:
    """The public functions of a module whose docstrings are not in the imperative.

    Properties are described as what they are, and the docstrings of routes are texts of the API.
    """
    return [
        f"line {function.lineno}, {function.name}: {docstring.partition(chr(10))[0]}"
        for function in _public_functions(ast.parse(source).body)
        if (docstring := ast.get_docstring(function) or "") and VAGUE.match(docstring)
    ]


def _public_functions(nodes: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_functions(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not (
            node.name.startswith("_") or any(map(_describes, node.decorator_list))
        ):
            yield node


def _describes(decorator: ast.expr) -> bool:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
    return name.endswith("property") or name == "computed_field" or name in ROUTES


@pytest.mark.parametrize("module", list(modules()), ids=str)
def test_names_say_what_they_hold(module: Path) -> None:
    assert vague_names((ROOT / module).read_text()) == []


@pytest.mark.parametrize("module", list(modules()), ids=str)
def test_docstrings_say_what_a_function_does(module: Path) -> None:
    assert vague_docstrings((ROOT / module).read_text()) == []


def test_no_module_is_too_long_to_read() -> None:
    lines = {path.as_posix(): len((ROOT / path).read_text().splitlines()) for path in modules()}

    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize(
    "source",
    [
        "found = rows[0]",
        "for one in rows: pass",
        "def read(asked): pass",
        "def _told(): pass",
        "class Made: pass",
        "self._kept = 1",
        "rows = [one for one in rows]",
        "if (found := match(text)): pass",
        "async def wait(*, wanted=1): pass",
    ],
)
def test_a_vague_name_is_recognized(source: str) -> None:
    assert vague_names(source) != []


@pytest.mark.parametrize("source", ["row = found", "foundation = 1", "call(found=1)", "is_done = True", "x.told()"])
def test_other_names_are_free(source: str) -> None:
    assert vague_names(source) == []


@pytest.mark.parametrize(
    ("source", "is_vague"),
    [
        ('def f():\n    """The rows."""', True),
        ('class A:\n    async def f(self):\n        """Whether it holds."""', True),
        ('def f():\n    """Return the rows."""', False),
        ('def f():\n    """Thereafter count."""', False),
        ('def _f():\n    """The rows."""', False),
        ('class A:\n    @cached_property\n    def f(self):\n        """The rows."""', False),
        ('@router.get("/")\nasync def f():\n    """The rows."""', False),
        ('@contextmanager\ndef f():\n    """A file."""', True),
    ],
)
def test_a_describing_docstring_is_recognized(source: str, is_vague: bool) -> None:
    assert bool(vague_docstrings(source)) is is_vague
