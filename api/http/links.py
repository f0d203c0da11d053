"""Where links begin: at an address that a setting names, and never at one that a stranger's request does."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from fastapi import Request

from towpath.core.values import format_url_host
from towpath.net.addresses import is_loopback
from towpath.runtime.settings import Settings

logger = logging.getLogger(__name__)


def public_base(request: Request, settings: Settings) -> str:
    """Return what a link to this façade begins with, without a slash at its end.

    Args:
        request: Its `Host` is taken where it is a trusted one; else the address at which the façade was reached.
        settings: `public_url` comes before all; `trusted_hosts`, `host` and loopback are trusted.
    """
    if settings.public_url:
        return settings.public_url.rstrip("/")
    scope = request.scope
    host = request.headers.get("host", "").strip().lower()
    if not _trusted(host, settings):
        logger.warning(
            "a request came for the host %.100r, which is not trusted: its links lead to this machine's address;"
            " TOWPATH_PUBLIC_URL or TOWPATH_TRUSTED_HOSTS changes it",
            host,
        )
        host = _own(scope.get("server"), settings)
    return f"{scope['scheme']}://{host}{scope.get('root_path', '')}".rstrip("/")


def _trusted(host: str, settings: Settings) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return False
    # Anything but a name and a port would say so by not being the whole.
    if not name or parts.netloc != host or parts.username is not None:
        return False
    return is_loopback(name) or not {host, name}.isdisjoint({*settings.trusted_host_list, settings.host.lower()})


def _own(server: tuple[str, int | None] | None, settings: Settings) -> str:
    """Return the address at which the request came in: the server's own, which no header changes."""
    host, port = server or (settings.host, settings.port)
    literal = format_url_host(host)
    return f"{literal}:{port}" if port else literal
