"""No spelling of a private address is accepted or connected to with production settings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.console.site import Site
from tests.support.raw_server import RawServer, answered, raw_server
from towpath.ai.databases.postgres import PostgresDatabase
from towpath.core.errors import BadInputError, UnavailableError
from towpath.net.http import GuardedClient, RefusedAddressError
from towpath.runtime.settings import Settings

HOSTS = [
    # This machine: names, decimal, octal, hex, short, mixed, with dots of other scripts.
    "localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.9.9.9", "2130706433",
    "0x7f000001", "0x7f.0.0.1", "0x7f.1", "017700000001", "0177.0.0.1", "0177.1", "00000177.0.0.1", "0", "0.0.0.0",
    "127。0。0。1", "127．0．0．1", "１２７.０.０.１", "①②⑦.⓪.⓪.①", "ｌocalhost", "127%2e0%2e0%2e1",
    # IPv6, and IPv4 within it: mapped, compatible, NAT64, local NAT64, 6to4, Teredo, zones.
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[::1%25lo]", "[fe80::1]",
    "[fe80::1%25eth0]", "[fec0::1]", "[fc00::1]", "[fd12:3456::1]", "[ff02::1]", "[2001:db8::1]", "[100::1]",
    # Private networks, metadata of clouds, shared, documentation, multicast, reserved, broadcast.
    "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.0.1", "169.254.169.254", "169.254.170.2", "0xa9fea9fe",
    "2852039166", "0251.0376.0251.0376", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.64.0.1", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1",
    "240.0.0.1", "255.255.255.255",
]  # fmt: skip
SPREAD = [
    "127.0.0.1",
    "[::ffff:169.254.169.254]",
    "2130706433",
    "localhost.",
    "10.0.0.1",
    "127。0。0。1",
    "[64:ff9b::7f00:1]",
]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server() as served:
        yield served


@pytest_asyncio.fixture
async def production() -> AsyncIterator[GuardedClient]:
    """The client of a façade whose settings allow nothing."""
    made = GuardedClient(allow_hosts=Settings().allowed_host_list, most_bytes=1000, seconds=10)
    yield made
    await made.close()


async def test_no_spelling_of_a_private_address_is_connected_to(server: RawServer, production: GuardedClient) -> None:
    server.answers["/"] = answered(200, b"inside")
    reached = []
    for host in HOSTS:
        url = f"http://{host}:{server.port}/"
        for call in (production.fetch(url), production.post(url, b"{}", {})):
            try:
                await call
            except (BadInputError, UnavailableError):
                continue
            reached.append(url)

    assert len(set(HOSTS)) >= 70
    assert (reached, server.asked) == ([], [])


async def test_an_address_is_refused_and_only_a_name_that_nobody_knows_may_be_named(production: GuardedClient) -> None:
    accepted = []
    for host in HOSTS:
        try:
            await production.check(f"http://{host}/")
        except BadInputError:
            continue
        accepted.append(host)
    for host in accepted:
        # What no resolver knows leads nowhere; each connection looks again.
        with pytest.raises(UnavailableError, match="is not known"):
            await production.addresses(httpx.URL(f"http://{host}/").host, 80)

    assert {"localhost", "127.0.0.1", "2130706433", "[::1]", "169.254.169.254", "127。0。0。1"}.isdisjoint(accepted)


async def test_no_redirect_leads_to_a_private_address(server: RawServer) -> None:
    client = GuardedClient(allow_hosts=[f"127.0.0.1:{server.port}"], most_bytes=1000, seconds=10)
    async with raw_server() as inside:
        for host in HOSTS:
            target = f"http://{host}:{inside.port}/"
            server.answers["/"] = f"HTTP/1.1 302 X\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
            with pytest.raises((BadInputError, UnavailableError)):
                await client.fetch(server.url)
        assert inside.asked == []
    await client.close()


@pytest.mark.parametrize("second", ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1"])
async def test_a_resolver_that_changes_its_mind_connects_to_what_was_checked(
    second: str, server: RawServer, production: GuardedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is public, all others are not: the connection goes to the first, or nowhere."""
    asked, dialled = [], []
    loop = asyncio.get_running_loop()

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else second
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def dial(address: str, port: int, *_: Any) -> Any:
        dialled.append(address)
        raise httpx.ConnectError("nobody is there")

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    monkeypatch.setattr(production._guard._network, "connect_tcp", dial)
    with pytest.raises(UnavailableError):
        await production.fetch(f"http://rebind.example.com:{server.port}/")
    with pytest.raises(RefusedAddressError):
        await production.fetch(f"http://rebind.example.com:{server.port}/")

    assert (dialled, len(asked), server.asked) == (["93.184.216.34"], 2, [])


async def test_a_database_at_a_private_address_is_not_connected_to(
    server: RawServer, production: GuardedClient
) -> None:
    reached = []
    for host in HOSTS:
        try:
            await PostgresDatabase.open(f"postgresql://u:p@{host}:{server.port}/x", production)
        except BadInputError:
            continue
        except UnavailableError as error:
            if "is not known" in error.detail:
                continue
        reached.append(host)

    assert (reached, server.asked) == ([], [])


@pytest.mark.asyncio(loop_scope="session")
async def test_the_door_refuses(running_site: Site) -> None:
    org = running_site.organization()
    org.index()
    for host in SPREAD:
        url = f"http://{host}/x"
        calls: list[tuple[str, dict[str, Any]]] = [
            ("/webhooks", {"json": {"url": url}}),
            ("/api/enrichment/batch/fetch", {"json": {"url": url}}),
            ("/extract", {"files": {"file": ("a.txt", b"a")}, "data": {"webhookUrl": url}}),
        ]
        if url.isascii():
            # A header carries no other characters.
            headers = {"Towpath-Webhook-Url": url}
            calls.append(("/v1/entities/batch", {"json": [{"id": 1, "name": "a"}], "headers": headers}))
        for path, options in calls:
            answer = org.http.post(path, **options)
            assert (answer.status_code, answer.json()["code"]) == (400, "ADDRESS_REFUSED"), (path, host, answer.text)
