"""A running façade without a worker, for all that call one."""

from __future__ import annotations

from tests.support.console.site import running_site

__all__ = ["running_site"]
