"""The guarded client against a real server: what is refused, what is bounded, what is told."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import pytest_asyncio

from tests.support.raw_server import RawServer, answered, raw_server
from towpath.core.errors import BadInputError, NotFoundError, TooLargeError, UnavailableError
from towpath.net.http import GuardedClient, RefusedAddressError, parse_retry_after


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server() as served:
        yield served


@pytest_asyncio.fixture
async def client() -> AsyncIterator[GuardedClient]:
    made = GuardedClient(allow_hosts=["127.0.0.1"], most_bytes=100_000, seconds=3)
    yield made
    await made.close()


async def test_a_page_with_its_type_and_charset(server: RawServer, client: GuardedClient) -> None:
    server.answers["/a?b=c"] = answered(200, b"gr\xfc\xdfe", Content_Type="Text/Plain; charset=ISO-8859-1")

    fetched = await client.fetch(f"{server.url}/a?b=c", {"Authorization": "Bearer x"})

    assert (fetched.media_type, fetched.charset, fetched.body) == ("text/plain", "iso-8859-1", b"gr\xfc\xdfe")
    path, headers = server.asked[0]
    assert (path, headers["authorization"], headers["host"]) == ("/a?b=c", "Bearer x", f"127.0.0.1:{server.port}")


SPELLINGS = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:ffff:7f00:1]",
    "0.0.0.0",
    "127.0.0.1.",
    "１２７.０.０.１",
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_this_machine_is_reached(server: RawServer, host: str) -> None:
    client = GuardedClient(most_bytes=1000, seconds=3)
    server.answers["/"] = answered(200, b"inside")

    # Some spellings are no host at all for the resolver: refused as well, for another reason.
    with pytest.raises((BadInputError, UnavailableError)):
        await client.fetch(f"http://{host}:{server.port}/")

    assert server.asked == []
    await client.close()


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "100.100.100.200"])
async def test_private_networks_and_metadata_are_refused_before_a_connection(host: str) -> None:
    client = GuardedClient(most_bytes=1000, seconds=3)

    with pytest.raises(RefusedAddressError):
        await client.fetch(f"http://{host}/latest/meta-data")
    await client.close()


async def test_a_name_is_judged_by_every_address_that_the_connection_would_use(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the first answer is public, the next is not; only the one connected to counts, and it is checked."""
    answers = [["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]]

    async def resolve(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "getaddrinfo", resolve)
    client = GuardedClient(most_bytes=1000, seconds=3)
    for _ in range(2):
        with pytest.raises(RefusedAddressError):
            await client.fetch(f"http://rebound.example:{server.port}/")
    assert answers == []
    assert server.asked == []
    await client.close()


async def test_a_name_that_leads_elsewhere_after_the_check_is_refused(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what was checked at the door is not what the connection finds."""
    now = ["93.184.216.34"]

    async def resolve(_host: str, _port: int) -> list[str]:
        return now

    monkeypatch.setattr("towpath.net.http._resolve", resolve)
    client = GuardedClient(most_bytes=1000, seconds=3)
    await client.check(f"http://hooks.example.com:{server.port}/x")
    now[:] = ["127.0.0.1"]
    with pytest.raises(RefusedAddressError, match="public"):
        await client.post(f"http://hooks.example.com:{server.port}/x", b"{}", {})
    with pytest.raises(RefusedAddressError, match="public"):
        await client.check(f"http://hooks.example.com:{server.port}/x")
    await client.close()
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("file:///etc/passwd", RefusedAddressError),
        ("ftp://example.org/", RefusedAddressError),
        ("gopher://127.0.0.1/", RefusedAddressError),
        ("//example.org/", RefusedAddressError),
        ("http://user:secret@example.org/", RefusedAddressError),
        ("http://", BadInputError),
        ("http://exa mple.org:port/", BadInputError),
        ("", BadInputError),
    ],
)
async def test_what_is_no_plain_web_address_is_refused(client: GuardedClient, url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await client.fetch(url)


async def test_an_allowed_host_is_allowed_with_its_port_alone(server: RawServer) -> None:
    server.answers["/"] = answered(200, b"yes")
    for allowed, fine in (
        (f"127.0.0.1:{server.port}", True),
        ("127.0.0.1:1", False),
        ("*", True),
        ("localhost", False),
    ):
        client = GuardedClient(allow_hosts=[allowed], most_bytes=1000, seconds=3)
        if fine:
            assert (await client.fetch(server.url)).body == b"yes"
        else:
            with pytest.raises(RefusedAddressError):
                await client.fetch(server.url)
        await client.close()


async def test_redirects_are_checked_anew_and_lose_what_was_meant_for_the_first(server: RawServer) -> None:
    async with raw_server() as other:
        client = GuardedClient(allow_hosts=[f"127.0.0.1:{server.port}"], most_bytes=1000, seconds=3)
        server.answers["/out"] = answered(302, Location=f"{other.url}/secret")
        server.answers["/file"] = answered(302, Location="file:///etc/passwd")
        other.answers["/secret"] = answered(200, b"inside")
        for path in ("/out", "/file"):
            with pytest.raises(RefusedAddressError):
                await client.fetch(server.url + path)
        assert other.asked == []
        await client.close()

        client = GuardedClient(allow_hosts=["127.0.0.1"], most_bytes=1000, seconds=3)
        server.answers["/near"] = answered(301, Location="/here")
        server.answers["/here"] = answered(307, Location=f"{other.url}/secret")
        fetched = await client.fetch(f"{server.url}/near", {"Authorization": "Bearer x"})
        assert (fetched.body, fetched.url) == (b"inside", f"{other.url}/secret")
        assert server.asked[-1][1]["authorization"] == "Bearer x"
        assert "authorization" not in other.asked[0][1]
        await client.close()


async def test_a_circle_of_redirects_ends(server: RawServer, client: GuardedClient) -> None:
    server.answers["/round"] = answered(302, Location="/round")

    with pytest.raises(BadInputError, match="more than 5 times"):
        await client.fetch(f"{server.url}/round")
    assert len(server.asked) == 6


async def test_a_body_beyond_the_limit_is_refused_told_or_not(server: RawServer, client: GuardedClient) -> None:
    server.answers["/told"] = b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n"
    server.answers["/untold"] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 100_001
    server.answers["/edge"] = answered(200, b"x" * 100_000)

    for path in ("/told", "/untold"):
        with pytest.raises(TooLargeError):
            await client.fetch(server.url + path)
    assert len((await client.fetch(f"{server.url}/edge")).body) == 100_000


async def test_a_bomb_is_refused_and_honest_compression_is_read(server: RawServer, client: GuardedClient) -> None:
    server.answers["/bomb"] = answered(200, gzip.compress(bytes(1 << 28)), Content_Encoding="gzip")
    server.answers["/gzip"] = answered(200, gzip.compress(b"fine" * 1000), Content_Encoding="gzip")
    server.answers["/deflate"] = answered(200, zlib.compress(b"fine"), Content_Encoding="deflate")
    server.answers["/broken"] = answered(200, b"not gzip at all", Content_Encoding="gzip")
    server.answers["/br"] = answered(200, b"?", Content_Encoding="br")

    with pytest.raises(TooLargeError):
        await client.fetch(f"{server.url}/bomb")
    assert (await client.fetch(f"{server.url}/gzip")).body == b"fine" * 1000
    assert (await client.fetch(f"{server.url}/deflate")).body == b"fine"
    with pytest.raises(UnavailableError):
        await client.fetch(f"{server.url}/broken")
    with pytest.raises(BadInputError):
        await client.fetch(f"{server.url}/br")


async def test_a_server_that_drips_for_ever_is_left_at_the_deadline(server: RawServer) -> None:
    async def drip(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    server.answers["/"] = drip
    client = GuardedClient(allow_hosts=["*"], most_bytes=100_000, seconds=0.5)
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="did not answer within"):
        await client.fetch(server.url)
    assert time.monotonic() - started < 2.5
    await client.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFoundError),
        (410, NotFoundError),
        (403, BadInputError),
        (400, BadInputError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_a_status_tells_whether_a_repeat_helps(
    server: RawServer, client: GuardedClient, status: int, error: type[Exception]
) -> None:
    server.answers["/x?token=secret"] = answered(status, b"no")

    with pytest.raises(error) as caught:
        await client.fetch(f"{server.url}/x?token=secret")
    assert str(status) in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_the_wait_that_an_answer_asks_for_is_told(server: RawServer, client: GuardedClient) -> None:
    server.answers["/"] = answered(429, Retry_After="7")

    with pytest.raises(UnavailableError) as caught:
        await client.fetch(server.url)
    assert caught.value.retry_after == 7
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 27 <= (parse_retry_after({"retry-after": soon}) or 0) <= 30
    assert parse_retry_after({"retry-after": "soon"}) is None
    assert parse_retry_after({"retry-after": "9" * 30}) == 86_400


async def test_nobody_there_and_an_answer_broken_off(server: RawServer, client: GuardedClient) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await client.fetch(f"http://127.0.0.1:{closed.getsockname()[1]}/")
    server.answers["/half"] = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"
    server.answers["/none"] = b""
    for path in ("/half", "/none"):
        with pytest.raises(UnavailableError):
            await client.fetch(server.url + path)


async def test_a_post_gives_any_status_and_a_bounded_body(
    server: RawServer, client: GuardedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No server of a test has a public address.
    monkeypatch.setattr("towpath.net.http.is_public", lambda address: address == "127.0.0.1")
    server.answers["/hook"] = answered(302, b"y" * 50_000, Location=f"{server.url}/other")

    found = await client.post(f"{server.url}/hook", b"{}", {"Content-Type": "application/json"}, keep_bytes=10)

    assert (found.status, found.body, found.headers["location"]) == (302, b"y" * 10, f"{server.url}/other")
    assert [path for path, _ in server.asked] == ["/hook"]
    assert server.asked[0][1]["content-length"] == "2"


async def test_what_a_private_address_answers_to_a_post_is_not_kept(server: RawServer, client: GuardedClient) -> None:
    server.answers["/hook"] = answered(500, b"INTERNAL-STATE", Retry_After="7")

    found = await client.post(f"{server.url}/hook", b"{}", {})

    assert (found.status, found.body, found.public) == (500, b"", False)
    assert parse_retry_after(found.headers) == 7


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0", "127.0.0.2"])
async def test_no_request_reaches_a_part_of_ours_whoever_is_allowed(server: RawServer, host: str) -> None:
    client = GuardedClient(allow_hosts=["*"], closed=[("127.0.0.1", server.port)], most_bytes=1000, seconds=3)
    url = f"http://{host}:{server.port}/"

    with pytest.raises(RefusedAddressError, match="part of Towpath"):
        await client.check(url)
    for call in (client.fetch(url), client.post(url, b"{}", {})):
        with pytest.raises(RefusedAddressError, match="part of Towpath"):
            await call

    assert server.asked == []
    await client.close()


async def test_a_redirect_to_a_part_of_ours_is_refused(server: RawServer) -> None:
    async with raw_server() as ours:
        client = GuardedClient(allow_hosts=["*"], closed=[("localhost", ours.port)], most_bytes=1000, seconds=3)
        server.answers["/"] = answered(302, Location=f"{ours.url}/")

        with pytest.raises(RefusedAddressError, match="part of Towpath"):
            await client.fetch(server.url)

        assert (len(server.asked), ours.asked) == (1, [])
        await client.close()


async def test_a_call_that_is_cancelled_is_cancelled(server: RawServer, client: GuardedClient) -> None:
    begun = asyncio.Event()

    async def hang(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.sleep(30)

    server.answers["/"] = hang
    call = asyncio.create_task(client.fetch(server.url))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
