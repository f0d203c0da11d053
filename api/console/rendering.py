"""What every template may use: escaping, words for numbers and times, and the headers that go with a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import MutableHeaders

from towpath.api.console.markdown import render_markdown
from towpath.api.console.static_files import asset_url
from towpath.core.errors import TowpathError
from towpath.core.texts import format_count

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MIN_SHOWN_USD = 0.0001


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a page, as templates know it.

    Attributes:
        writes: Whether the page offers what changes something.
        csrf: What its forms carry.
        signed_in: Whether there is a session to sign out of.
        edits: Whether the page offers what an editor does.
        owns: Whether it offers what an owner does.
        person: Whether there is an account of their own.
        waiting: How many reviews wait, for the way to them; None: not known here.
    """

    writes: bool
    csrf: str = ""
    signed_in: bool = True
    edits: bool = False
    owns: bool = False
    person: bool = False
    waiting: int | None = None


def money(usd: float) -> str:
    """Dollars, with as many digits as a small sum needs."""
    if 0 < usd < MIN_SHOWN_USD:
        return f"under ${MIN_SHOWN_USD}"
    return f"${usd:,.2f}" if usd == 0 or usd >= 0.1 else f"${usd:.4f}"


def iso(at: datetime) -> str:
    """Return a time for machines, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def readable(at: datetime) -> str:
    """Return a time for people, in UTC; the script puts the reader's own in its place."""
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"


def span(seconds: float) -> str:
    """Return how long something took: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def sentence(detail: str) -> str:
    """Return an error's words as a sentence of a page."""
    text = detail.strip()
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def make_environment() -> Environment:
    """Make what fills templates: values are escaped, and one that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"asset": asset_url, "counted": format_count, "span": span}
    filters = {"markdown": render_markdown, "money": money, "iso": iso, "readable": readable, "sentence": sentence}
    environment.filters |= filters
    return environment


_templates = make_environment()


def render(template: str, /, **view: Any) -> str:
    """Return a template filled with values, each of them escaped."""
    return _templates.get_template(template).render(view)


def page(template: str, /, *, code: int = HTTPStatus.OK, **view: Any) -> HTMLResponse:
    """Return the same as an answer with a status, which the template knows as `code`."""
    return HTMLResponse(render(template, code=code, **view), code)


def set_retry_after(response: Response, refused: TowpathError | None) -> None:
    """Say on the page of an error when to try again, where that is known."""
    if refused is not None and refused.retry_after is not None:
        response.headers["Retry-After"] = str(refused.retry_after)


def set_page_headers(headers: MutableHeaders) -> None:
    """Give an answer the headers of every page; what it has set itself stays."""
    headers.setdefault("Content-Security-Policy", POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Cache-Control", "no-store")
