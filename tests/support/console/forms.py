"""Forms of pages as a browser sends them."""

from __future__ import annotations

from lxml import html


def fields_of(page: str, form: str = "//form") -> dict[str, str]:
    """What a browser sends of a form that nobody has touched, without its buttons."""
    found: dict[str, str] = {}
    for field in html.fromstring(page).xpath(f"({form})[last()]//*[self::input or self::textarea or self::select]"):
        value = field.get("value", "")
        if field.tag == "textarea":
            # A browser leaves out one line end after the tag, and sends line ends as two characters.
            value = field.text_content().removeprefix("\n").replace("\n", "\r\n")
        elif field.tag == "select":
            value = next((one.get("value") for one in field.xpath(".//option[@selected]")), "")
        found[field.get("name")] = value
    return found
