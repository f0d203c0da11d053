"""A running façade without a worker, for pages whose state a test makes itself."""

from __future__ import annotations

from tests.support.console.site import running_site

__all__ = ["running_site"]
