"""HTTP to addresses that users name, guarded: public addresses only, bounded in size and time.

The address is checked where the connection is opened, so what was checked is what is connected to: a name
that resolves otherwise a moment later (DNS rebinding) changes nothing. TLS and `Host` keep the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ssl import SSLError
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from towpath.core.errors import BadInputError, ErrorCode, NotFoundError, TooLargeError, TowpathError, UnavailableError
from towpath.core.values import MAX_PORT, is_port
from towpath.net.addresses import is_public, meet

USER_AGENT = "Towpath"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({404, 410})
PASSING = frozenset({408, 425, 429})
CONNECT_SECONDS = 10.0
MAX_CONNECTIONS = 500
MAX_PIECE = 1 << 20
MAX_WAIT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class FetchedBody:
    """What a GET brought, after redirects.

    Attributes:
        url: Where it came from in the end.
        media_type: The media type in small letters; None: not told.
        charset: The charset that the answer names.
    """

    url: str
    media_type: str | None
    charset: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class PostAnswer:
    """What a POST was answered; any status.

    Attributes:
        headers: Names in small letters.
        body: The first bytes of the body, decompressed; of an answer from a private address none.
        public: Whether it came from a public address.
        seconds: From the start to the last byte kept.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    public: bool = True


class RefusedAddressError(BadInputError):
    """The URL leads where nobody from outside may look."""

    default_code = ErrorCode.ADDRESS_REFUSED


class GuardedClient:
    """An HTTP client for URLs that come from outside. Proxies of the environment are not used.

    Args:
        allow_hosts: Hosts that may be private or loopback all the same: `host`, `host:port`, or `*` for all.
        closed: Host and port of our own parts. No request goes there, whoever is allowed: what answers there trusts
            who reaches it.
        most_bytes: Largest body, after decompression.
        seconds: Longest time of one call, redirects included.
        most_redirects: How many are followed.
    """

    def __init__(
        self,
        *,
        allow_hosts: Collection[str] = (),
        closed: Collection[tuple[str, int]] = (),
        most_bytes: int,
        seconds: float,
        most_redirects: int = 5,
    ) -> None:
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._most_redirects = most_redirects
        self._guard = _Guard(frozenset(host.lower() for host in allow_hosts), frozenset(closed))
        transport = _Transport(self._guard)
        self._client = httpx.AsyncClient(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "gzip, deflate"},
        )

    async def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> FetchedBody:
        """GET a URL.

        Args:
            headers: Sent to the URL's own origin alone; a redirect to another does not carry them.

        Raises:
            BadInputError: No URL of http or https, a refused address, or an answer that a repeat does not change.
            NotFoundError: It is not there.
            TooLargeError: The body is beyond the limit.
            UnavailableError: It does not answer now; `parse_retry_after` as the answer tells it.
        """
        current, request_headers = _checked(url), dict(headers or {})
        async with self._bounded(current):
            for _ in range(self._most_redirects + 1):
                async with self._client.stream("GET", current, headers=request_headers) as response:
                    if response.status_code not in REDIRECTS or "location" not in response.headers:
                        _assert_fetched(response)
                        body = await self._body(response)
                        return FetchedBody(str(current), _media_type(response), response.charset_encoding, body)
                    target = _checked(response.headers["location"], base=current)
                if _origin(target) != _origin(current):
                    request_headers = {}
                current = target
        raise BadInputError(f"{_show_url(httpx.URL(url))} redirects more than {self._most_redirects} times")

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, keep_bytes: int = 4096, method: str = "POST"
    ) -> PostAnswer:
        """POST to a URL; redirects are not followed and every status is an answer.

        Args:
            keep_bytes: How much of the answer's body is kept; the rest is not read.

        Raises:
            BadInputError: No URL of http or https, or a refused address.
            UnavailableError: No answer.
        """
        target = _checked(url)
        started = time.monotonic()
        async with self._bounded(target):
            async with self._client.stream(method, target, content=body, headers=dict(headers)) as response:
                public = _from_public(response)
                # Else whoever names a URL here could read what only this network may.
                content = await self._body(response, keep=keep_bytes) if public else b""
            elapsed = time.monotonic() - started
            return PostAnswer(response.status_code, dict(response.headers), content, elapsed, public=public)

    async def check(self, url: str) -> None:
        """Look whether a URL may be called, as far as it can be told now: each call looks again.

        Raises:
            BadInputError: No URL of http or https, or it leads to a refused address. A host that is not known may be
                later.
        """
        target = _checked(url)
        with contextlib.suppress(UnavailableError):
            await self._guard.open_addresses(target.host, target.port or (443 if target.scheme == "https" else 80))

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return where a host leads, for a connection of another kind; the guard's rules hold.

        Raises:
            BadInputError: To a refused address.
            UnavailableError: Nowhere.
        """
        return await self._guard.addresses(host, port)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _bounded(self, url: httpx.URL) -> _Bounds:
        return _Bounds(self._seconds, _show_url(url))

    async def _body(self, response: httpx.Response, *, keep: int | None = None) -> bytes:
        """Return the decompressed body: whole or refused without `keep`, cut off with it."""
        most = self._most_bytes if keep is None else keep
        declared = response.headers.get("content-length", "")
        if keep is None and declared.isdigit() and int(declared) > most:
            raise TooLargeError(f"{_show_url(response.url)} is larger than {most} bytes")
        body = bytearray()
        async for piece in _decompressed(response):
            body += piece
            if len(body) > most:
                if keep is None:
                    raise TooLargeError(f"{_show_url(response.url)} is larger than {most} bytes")
                break
        return bytes(body[:most])


def parse_retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds that `Retry-After` asks for, given as seconds or as a date; at most a day."""
    text = headers.get("retry-after", "").strip()
    if text.isdigit():
        return min(int(text), MAX_WAIT_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, min(int((moment - datetime.now(UTC)).total_seconds()), MAX_WAIT_SECONDS))


class _Bounds:
    """A deadline over a whole call, and the errors of the network as ours."""

    def __init__(self, seconds: float, shown: str) -> None:
        self._seconds = seconds
        self._shown = shown
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        late = f"{self._shown} did not answer within {self._seconds:g} s"
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as timed_out:
            raise UnavailableError(late) from timed_out
        if error is None or isinstance(error, (TowpathError, asyncio.CancelledError)):
            return
        if isinstance(error, (httpx.TimeoutException, httpcore.TimeoutException)):
            raise UnavailableError(late) from error
        if isinstance(error, (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError, SSLError, OSError)):
            reason = str(error) or type(error).__name__
            raise UnavailableError(f"{self._shown} cannot be reached: {reason}"[:500]) from error


class _Guard(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that are public, or to hosts that are allowed by name, and to no part of ours."""

    def __init__(self, allowed: frozenset[str], closed: frozenset[tuple[str, int]]) -> None:
        self._allowed = allowed
        self._closed = closed
        self._network = httpcore.AnyIOBackend()

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return where a host leads.

        Raises:
            RefusedAddressError: To an address that is not public, and the host is not allowed by name.
            UnavailableError: Nowhere.
        """
        name = host.lower().strip("[]").rstrip(".")
        free = not self._allowed.isdisjoint({"*", name, f"{name}:{port}"})
        addresses = await _resolve(name, port)
        # One private address among public ones is refused too: it is the mark of a trick.
        if not free and not all(is_public(address) for address in addresses):
            raise RefusedAddressError(f"{host} does not lead to a public address")
        return addresses

    async def open_addresses(self, host: str, port: int) -> list[str]:
        """Return the same for a request, which no part of ours may get.

        Raises:
            RefusedAddressError: As `addresses`, or a part of Towpath listens there.
            UnavailableError: Nowhere.
        """
        addresses = await self.addresses(host, port)
        for ours in (name for name, listening in self._closed if listening == port):
            with contextlib.suppress(UnavailableError):
                if meet(addresses, await _resolve(ours.lower().strip("[]"), port)):
                    raise RefusedAddressError(f"{host}:{port} is a part of Towpath itself")
        return addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class names it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self.open_addresses(host, port)
        failed: Exception | None = None
        for address in addresses[:3]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise RefusedAddressError("a socket of this machine is no public address")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Transport(httpx.AsyncBaseTransport):
    """An HTTP/1.1 connection pool over the guard."""

    def __init__(self, guard: _Guard) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=MAX_CONNECTIONS,
            network_backend=guard,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise UnavailableError(f"the host {host} is not known") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in infos))


async def _decompressed(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body in bounded pieces, so that a bomb is seen before it is large."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    raw: AsyncIterable[bytes] = response.aiter_raw()
    if encoding in {"", "identity"}:
        async for piece in raw:
            yield piece
        return
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise BadInputError(f"{_show_url(response.url)} is encoded as {encoding[:40]}, which nobody asked for")
    # 32 is added to let zlib see by itself which of the two it is.
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        async for piece in raw:
            yield inflate.decompress(piece, MAX_PIECE)
            while inflate.unconsumed_tail:
                yield inflate.decompress(inflate.unconsumed_tail, MAX_PIECE)
        yield inflate.flush()
    except zlib.error as error:
        raise UnavailableError(f"{_show_url(response.url)} sent a broken {encoding} body") from error


def _checked(text: str, *, base: httpx.URL | None = None) -> httpx.URL:
    """Return a URL that may be called."""
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        # What follows reads it by the standard library, which takes less.
        urlsplit(str(url))
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise BadInputError(f"{text[:200]!r} is no URL: {error}") from error
    if url.scheme not in {"http", "https"}:
        raise RefusedAddressError(f"{text[:200]!r} is no URL of http or https")
    if not url.host:
        raise BadInputError(f"{text[:200]!r} names no host")
    if not is_port(url.port):
        raise BadInputError(f"{text[:200]!r} is no URL: its port must be from 1 to {MAX_PORT}")
    if url.userinfo:
        raise RefusedAddressError("a URL must not carry a user name or a password")
    return url


def _from_public(response: httpx.Response) -> bool:
    peer = response.extensions["network_stream"].get_extra_info("server_addr")
    return bool(peer) and is_public(str(peer[0]))


def _assert_fetched(response: httpx.Response) -> None:
    status, url = response.status_code, _show_url(response.url)
    if 200 <= status < 300:
        return
    message = f"{url} answered {status}"
    if status in GONE:
        raise NotFoundError(message)
    if status in PASSING or status >= 500:
        raise UnavailableError(message, retry_after=parse_retry_after(response.headers))
    raise BadInputError(message)


def _show_url(url: httpx.URL) -> str:
    """Return a URL for a message: what follows `?` may hold a secret."""
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))[:200]


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _media_type(response: httpx.Response) -> str | None:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() or None
