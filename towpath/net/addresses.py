"""Which IP addresses are somebody's on the public internet."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# RFC 6052: the last 32 bits are an IPv4 address.
NAT64 = IPv6Network("64:ff9b::/96")
# RFC 6890, RFC 8215, RFC 3879: local use; older Pythons take some for global.
LOCAL_V4 = IPv4Network("192.0.0.0/24")
LOCAL_V6 = (IPv6Network("64:ff9b:1::/48"), IPv6Network("fec0::/10"))
# Public by its number, yet it answers as the machine's own host at a large provider.
HOST_SERVICES = frozenset({IPv4Address("168.63.129.16")})


def is_public(text: str) -> bool:
    """Tell whether an address is on the public internet.

    An IPv6 address that carries an IPv4 address is as public as the one it carries.

    Raises:
        ValueError: No IP address.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = _carried(address)
        if inner is not None:
            return is_public(str(inner))
        if any(address in network for network in LOCAL_V6):
            return False
    elif address in HOST_SERVICES or address in LOCAL_V4:
        return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not address.is_loopback
        and not address.is_link_local
    )


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    # The deprecated "compatible" form, ::a.b.c.d.
    if int(address) >> 32 == 0 and int(address) > 1:
        return IPv4Address(int(address))
    return None


def meet(left: Collection[str], right: Collection[str]) -> bool:
    """Return whether two lists of addresses lead to one machine: they share one, or both have a loopback address."""
    return not _places(left).isdisjoint(_places(right))


def _places(addresses: Collection[str]) -> set[IPv4Address | IPv6Address | None]:
    """Return the addresses, in one form each; None: the machine that asks."""
    resolved: set[IPv4Address | IPv6Address | None] = set()
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        if isinstance(address, IPv6Address):
            address = _carried(address) or address
        resolved.add(None if address.is_loopback or address.is_unspecified else address)
    return resolved


def is_loopback(host: str) -> bool:
    """Return whether a host, by name or address, is this machine, so that no other reaches what listens there."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
