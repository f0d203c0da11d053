"""The documentation says what the code says, and its links lead somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs.generate import COMMAND, FOLDER, stale_pages

ROOT = FOLDER.parent
PAGES = sorted([*ROOT.glob("*.md"), *FOLDER.rglob("*.md")])
LINK = re.compile(r"(?<!`)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
STEP = re.compile(r"^\| \d+ \| `(?P<name>[\w.]+)` \| `(?P<file>[\w/.]+)` \|", re.MULTILINE)
WAIT = re.compile(r"^ *until curl .*$", re.MULTILINE)
END_STATE = re.compile(r"""grep -qE '"(status|state)":"\(\w+(\|\w+)+\)"'""")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as both GitHub and the site make them."""
    titles = (heading["title"] for heading in HEADING.finditer(FENCE.sub("", page.read_text())))
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    broken = []
    for link in LINK.finditer(FENCE.sub("", page.read_text())):
        path, _, anchor = link["target"].partition("#")
        if "://" in link["target"] or path.startswith("mailto:"):
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link["target"])
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-heading) [c](there.md#another) [d](gone.md) [e](https://example.com)\n"
    )

    assert broken_links(page) == ["there.md#another", "gone.md"]


def defined_in(file: Path) -> set[str]:
    """The functions and classes of a module, and the methods of its classes as `Class.method`."""
    names: set[str] = set()
    if not file.exists():
        return names
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef):
            methods = (member for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {node.name, *(f"{node.name}.{method.name}" for method in methods)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return names


def test_every_step_of_the_walks_is_where_the_architecture_says() -> None:
    steps = list(STEP.finditer((FOLDER / "explanation" / "architecture.md").read_text()))

    assert len(steps) > 50
    lost = [step["name"] for step in steps if step["name"] not in defined_in(ROOT / step["file"])]
    assert lost == []


@pytest.mark.parametrize(
    ("walk", "most"),
    [
        ("From an entity to its duplicates", 33),
        ("From an enrichment to its record and its stream", 30),
        ("From a document to its review", 30),
        ("From a question to its webhook", 26),
    ],
)
def test_a_walk_stays_short(walk: str, most: int) -> None:
    """Two thirds of the hops that each had before features became rooms."""
    page = (FOLDER / "explanation" / "architecture.md").read_text()
    section = page.partition(f"### {walk}\n")[2].partition("\n#")[0]

    assert 10 < len(STEP.findall(section)) <= most


def test_generated_blocks_are_up_to_date() -> None:
    stale = [str(path.relative_to(ROOT)) for path in stale_pages()]

    assert stale == [], f"run `{COMMAND}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_who_waits_for_a_job_waits_for_an_end_of_it(page: Path) -> None:
    """A lone word as `"failed"` stands in every answer, for it names a count as well; and a job may end badly."""
    assert [loop[0] for loop in WAIT.finditer(page.read_text()) if not END_STATE.search(loop[0])] == []
