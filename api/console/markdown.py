"""Markdown of language models as HTML: no raw HTML, no images, no inline styles, links to the web and mail only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup, escape

SCHEMES = frozenset({"http", "https", "mailto"})
TOP_HEADING = 3
"""The answer stands below the page's first and the question's second heading."""


def render_markdown(text: str) -> Markup:
    """Render text as HTML that may be put into a page as it is."""
    return Markup(_parser.render(text))


def _is_allowed(url: str) -> bool:
    try:
        return urlsplit(url.strip()).scheme.lower() in SCHEMES
    except ValueError:
        return False


def _place_headings(state: StateCore) -> None:
    """Make the text's headings the page's third, fourth and so on, with no level left out."""
    headings = [token for token in state.tokens if token.type in {"heading_open", "heading_close"}]
    levels = sorted({token.tag for token in headings})
    for token in headings:
        token.tag = f"h{min(TOP_HEADING + levels.index(token.tag), 6)}"


def _align_by_class(state: StateCore) -> None:
    # The page's policy forbids inline styles.
    for token in state.tokens:
        if token.type in {"th_open", "td_open"} and (style := token.attrs.pop("style", None)):
            token.attrs["class"] = str(style).replace("text-align:", "to-")


def _link(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
    tokens[at].attrs["rel"] = "nofollow noopener"
    return renderer.renderToken(tokens, at, options, env)


def _image(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
    # An image of elsewhere would tell its server who reads the answer.
    return str(escape(renderer.renderInlineAsText(tokens[at].children or [], options, env)))


def _open_table(_renderer: RendererHTML, _tokens: Sequence[Token], _at: int, _options: OptionsDict, _env: Any) -> str:
    return '<div class="table-wrap" role="region" aria-label="Table in the answer" tabindex="0"><table>\n'


def _close_table(_renderer: RendererHTML, _tokens: Sequence[Token], _at: int, _options: OptionsDict, _env: Any) -> str:
    return "</table></div>\n"


def _make_renderer() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.validateLink = _is_allowed  # type: ignore[method-assign]
    parser.core.ruler.push("place_headings", _place_headings)
    parser.core.ruler.push("align_by_class", _align_by_class)
    for name, rule in (
        ("link_open", _link),
        ("image", _image),
        ("table_open", _open_table),
        ("table_close", _close_table),
    ):
        parser.add_render_rule(name, rule)
    return parser


_parser = _make_renderer()
