"""Lines and tables of a Markdown text, bare of their marks."""

from __future__ import annotations

import re
from collections.abc import Iterator

RULE = re.compile(r"^\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?$")
CELL_END = re.compile(r"(?<!\\)\|")
LINE_MARKS = re.compile(r"^\s*(#{1,6}\s+|>\s+|[-*+]\s+|\d+[.)]\s+)?")
EMPHASIS = re.compile(r"(\*\*|__|`)(?=\S)(.{1,200}?)(?<=\S)\1")
ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|<>~])")


def find_markdown_tables(content: str) -> Iterator[list[list[str]]]:
    """Find the tables of a text, their headers first, all rows as wide as the header."""
    table: list[list[str]] = []
    for line in [*content.splitlines(), ""]:
        if line.startswith("|"):
            if not RULE.match(line.strip()):
                table.append(_cells(line))
        elif table:
            width = len(table[0])
            yield [row[:width] + [""] * (width - len(row)) for row in table]
            table = []


def find_markdown_lines(content: str) -> Iterator[str]:
    """Find the lines of a text that are no table, without marks of headings, lists and emphasis."""
    for line in content.splitlines():
        if line.strip() and not line.startswith("|"):
            yield _bare(LINE_MARKS.sub("", line, count=1))


def _cells(line: str) -> list[str]:
    return [_bare(cell) for cell in CELL_END.split(line.strip().removeprefix("|"))[:-1]]


def _bare(text: str) -> str:
    return ESCAPED.sub(r"\1", EMPHASIS.sub(r"\2", text)).replace("<br>", "\n").strip()
