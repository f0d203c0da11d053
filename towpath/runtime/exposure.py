"""What a façade opens to whom: defaults for one person at one machine, and what is told or refused beyond it."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

import psutil

from towpath.net.addresses import is_loopback
from towpath.runtime.settings import Settings

WEBHOOK_HOSTS = "localhost:9000,127.0.0.1:9000"
"""Where webhooks may go on the machine of the embedded stack: one port, that no part of ours takes by default."""
DEVELOPMENT: dict[str, str] = {
    "open_registration": "true",
    "docs_open": "true",
    "cookie_secure": "false",
    "webhook_allowed_hosts": WEBHOOK_HOSTS,
}
"""Defaults of the embedded stack on loopback, for one person."""
PORTS = {"postgresql": 5432, "http": 80, "https": 443}


def development_defaults(settings: Settings) -> dict[str, str]:
    """Return what the embedded stack opens by itself: nothing where others can reach it, or where a setting decides."""
    if not is_loopback(settings.host):
        return {}
    return {name: value for name, value in DEVELOPMENT.items() if name not in settings.model_fields_set}


def list_dangers(settings: Settings) -> list[str]:
    """Return the settings that are safe on loopback only, if the façade listens elsewhere: a line for each."""
    if is_loopback(settings.host):
        return []
    dangers = []
    if settings.open_registration:
        dangers.append("TOWPATH_OPEN_REGISTRATION=true: whoever reaches it can make an organization and start jobs")
    if settings.embeddings_open:
        dangers.append("TOWPATH_EMBEDDINGS_OPEN=true: whoever reaches it reads and writes the default organization")
    if not settings.cookie_secure:
        dangers.append("TOWPATH_COOKIE_SECURE=false: session cookies travel in clear and can be stolen on the way")
    if "*" in settings.receiver_host_list or "*" in settings.allowed_host_list:
        dangers.append("TOWPATH_ALLOWED_HOSTS or TOWPATH_WEBHOOK_ALLOWED_HOSTS=*: requests reach all of your network")
    return dangers


def explain_refusal(settings: Settings) -> str | None:
    """Return why `towpath up` does not start with these settings; None: it does."""
    dangers = list_dangers(settings)
    if not dangers or settings.allow_insecure:
        return None
    return (
        f"TOWPATH_HOST={settings.host} is reached by others, and these settings are for one person at one machine:\n  "
        + "\n  ".join(dangers)
        + "\nChange them, listen on 127.0.0.1, or say TOWPATH_ALLOW_INSECURE=true"
    )


def list_exposures(settings: Settings) -> list[str]:
    """Return what an operator should know whose façade others can reach; nothing on loopback."""
    if is_loopback(settings.host):
        return []
    lines = [
        f"the façade listens on {settings.host}:{settings.port or 'any free port'} WITHOUT TLS, for everybody who"
        " reaches this machine: put an HTTPS proxy before it",
    ]
    if settings.cookie_secure:
        lines.append("signing in to the console needs HTTPS, since cookies are Secure")
    if settings.docs_open:
        lines.append("TOWPATH_DOCS_OPEN=true: /docs and /openapi.json can be read without a key")
    if settings.public_url is None and not settings.trusted_host_list:
        lines.append("TOWPATH_PUBLIC_URL is not set: links lead to the address of this machine")
    if "*" in settings.cors_origin_list:
        lines.append("TOWPATH_CORS_ORIGINS=*: scripts of every web site may call the API with a key that they have")
    return [*lines, *list_dangers(settings)]


def list_own_endpoints(settings: Settings) -> frozenset[tuple[str, int]]:
    """Return where our own parts answer, host and port: no request that comes from outside may be sent there."""
    ports = (settings.postgres_port, settings.temporal_port, settings.ui_port, settings.chroma_port, settings.llm_port)
    endpoints = {("127.0.0.1", port) for port in ports if port}
    if settings.port:
        endpoints |= {(host, settings.port) for host in _listening(settings.host)}
    # Not the Temporal UI where people reach it: behind a proxy that is the address of much else.
    urls = (settings.database_url, settings.chroma_url, settings.local_llm_url)
    for url in (*urls, f"temporal://{settings.temporal_address}" if settings.temporal_address else None):
        if url is None:
            continue
        parts = urlsplit(url)
        if parts.hostname and (port := parts.port or PORTS.get(parts.scheme)):
            endpoints.add((parts.hostname, port))
    return frozenset(endpoints)


def _listening(host: str) -> set[str]:
    """Return the addresses of a host that something listens on: all of the machine's, where it listens on all."""
    try:
        if not ip_address(host.strip("[]")).is_unspecified:
            return {host}
    except ValueError:
        return {host}
    inet = {socket.AF_INET, socket.AF_INET6}
    return {"127.0.0.1"} | {
        address.address for all_ in psutil.net_if_addrs().values() for address in all_ if address.family in inet
    }
