"""What tests of pages share: a running façade, a browser."""

from __future__ import annotations

from tests.pages.browser import browser, browser_page, new_page
from tests.pages.site import running_site

__all__ = ["browser", "browser_page", "new_page", "running_site"]
