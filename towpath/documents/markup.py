"""HTML as Markdown. Needs the extra `documents`."""

from __future__ import annotations

import re
from typing import Any

import markdownify
from bs4 import BeautifulSoup, FeatureNotFound

UNSEEN = ["script", "style", "noscript", "template", "head", "svg", "iframe", "object"]
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}")


class _Plain(markdownify.MarkdownConverter):
    """Text first: pictures are what is said in their place."""

    def convert_img(self, el: Any, text: str, parent_tags: Any) -> str:
        return str(el.attrs.get("alt") or "")


def convert_html(page: str) -> str:
    """Convert what a page shows to Markdown."""
    try:
        soup = BeautifulSoup(page, "lxml")
    except FeatureNotFound:
        soup = BeautifulSoup(page, "html.parser")
    for unseen in soup.find_all(UNSEEN):
        unseen.decompose()
    converter = _Plain(
        heading_style="ATX", bullets="-", escape_asterisks=False, escape_underscores=False, table_infer_header=True
    )
    try:
        content = str(converter.convert_soup(soup))
    except RecursionError:
        # Nested beyond all meaning: its text alone.
        content = soup.get_text("\n", strip=True)
    return _BLANK_LINES.sub("\n\n", content).replace("\x00", "").strip()
