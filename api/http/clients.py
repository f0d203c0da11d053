"""From where a request comes: the network address that limits are counted by."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, ip_address, ip_network

from starlette.requests import HTTPConnection

HOME_BITS = 64
"""Of an IPv6 address that one household or machine has all the rest of."""


def place_of(connection: HTTPConnection) -> str:
    """The caller's network address; of an IPv6 one its network, because a caller has a whole one.

    `X-Forwarded-For` is believed from TOWPATH_TRUSTED_PROXIES alone: the server puts it in the peer's place there.
    """
    host = connection.client.host if connection.client else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host or "unknown"
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, HOME_BITS), strict=False))


def place_digest(place: str) -> bytes:
    """What is kept of the places that a user has signed in from."""
    return hashlib.sha256(place.encode()).digest()
