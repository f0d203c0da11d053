"""Every body of every route: a key first, then no more bytes than the limit, and none that come too slowly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.types import Message, Scope

from towpath.accounts.rate_limiter import Limiter
from towpath.accounts.service.limits import Limits
from towpath.api.app import create_app
from towpath.api.http.body_limit import LINGER_BYTES, SIGN_IN_BYTES, BodyLimit, allow
from towpath.api.http.routing import ApiRoute
from towpath.api.http.upload_slots import Slots, UploadSlots
from towpath.api.http.uploads import AHEAD_BYTES, body_pieces
from towpath.core.errors import ErrorCode, LimitReachedError, SlowBodyError, TooLargeError, UnavailableError
from towpath.db.engine import Database
from towpath.runtime.settings import Settings

PIECE = bytes(64 << 10)
ENDLESS = 10**9
PUBLIC = {"/api/auth/login", "/api/auth/register", "/api/auth/password-reset"}
"""Where no key is needed."""


class Client:
    """A client's side of one request: what it sends, how much of that was taken, and what it was answered."""

    def __init__(self, pieces: Iterable[bytes], *, then: Callable[[], Any] | None = None) -> None:
        self._pieces = iter(pieces)
        self._then = then
        self.taken = 0
        self.taken_before = 0
        """Before the answer began."""
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        piece = next(self._pieces, None)
        if piece is None:
            if self._then is not None:
                await self._then()
            return {"type": "http.request", "body": b"", "more_body": False}
        self.taken += len(piece)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(self, message: Message) -> None:
        if not self.sent:
            self.taken_before = self.taken
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> Any:
        return json.loads(b"".join(one.get("body", b"") for one in self.sent))


def scope_of(path: str, *, method: str = "POST", length: int | None = None, **headers: str) -> Scope:
    given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    given |= {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "scheme": "http", "server": ("here", 80), "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()], "client": ("1.2.3.4", 5),
    }  # fmt: skip


@pytest.fixture
def app() -> FastAPI:
    """The application without anything that it stands on."""
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none")
    made = create_app(settings)
    made.state.towpath = SimpleNamespace(settings=settings)
    return made


async def call(app: FastAPI, client: Client, scope: Scope) -> Client:
    await app(scope, client.receive, client.send)
    return client


def writing_operations(app: FastAPI) -> list[tuple[str, str]]:
    """Every operation of the document with a body."""
    return [
        (method.upper(), path)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]


async def test_without_a_key_no_route_reads_a_byte(app: FastAPI) -> None:
    found = writing_operations(app)
    assert len(found) > 40
    for method, path in found:
        if path in PUBLIC:
            continue
        for kind in ("application/json", "multipart/form-data; boundary=x"):
            place = path.replace("{", "").replace("}", "")
            client = await call(app, Client([PIECE] * 20), scope_of(place, method=method, content_type=kind))
            assert (client.status, client.body["code"]) == (401, "UNAUTHORIZED"), f"{method} {path}"
            assert client.taken_before == 0, f"{method} {path}"
            assert client.headers[b"connection"] == b"close", f"{method} {path}"


@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/register"])
async def test_anybody_may_send_only_a_small_body(app: FastAPI, path: str) -> None:
    chunked = await call(app, Client(PIECE for _ in range(ENDLESS)), scope_of(path))
    assert (chunked.status, chunked.body["code"]) == (413, "TOO_LARGE")
    assert str(SIGN_IN_BYTES) in chunked.body["detail"]
    assert chunked.taken_before <= SIGN_IN_BYTES + len(PIECE)
    assert chunked.taken <= chunked.taken_before + LINGER_BYTES + len(PIECE)
    announced = await call(app, Client([]), scope_of(path, length=SIGN_IN_BYTES + 1))
    assert (announced.status, announced.taken) == (413, 0)
    assert announced.headers[b"connection"] == b"close"


@pytest.mark.parametrize("length", [f"{ENDLESS} ", f"{ENDLESS}\t", f"{ENDLESS:030}", "x", "-1"])
async def test_a_length_that_a_parser_lets_through_bounds_the_body_all_the_same(app: FastAPI, length: str) -> None:
    scope = scope_of("/api/auth/login", length=0)
    scope["headers"] = [(b"content-type", b"application/json"), (b"content-length", length.encode())]

    sent = await call(app, Client(PIECE for _ in range(ENDLESS)), scope)

    assert (sent.status, sent.body["code"]) == (413, "TOO_LARGE")
    assert sent.taken_before <= SIGN_IN_BYTES + len(PIECE)


async def metered(scope: Scope, client: Client, settings: Settings, read: Callable[[Request], Any]) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await read(Request(scope, receive))

    await BodyLimit(app, settings)(scope, client.receive, client.send)


async def whole(request: Request) -> None:
    await request.body()


async def test_a_body_beyond_the_limit_is_left_as_soon_as_it_is() -> None:
    settings = Settings(max_body_bytes=200_000)
    client = Client(PIECE for _ in range(ENDLESS))
    with pytest.raises(TooLargeError, match="200000 bytes, the limit of TOWPATH_MAX_BODY_BYTES"):
        await metered(scope_of("/x"), client, settings, whole)
    assert client.taken <= 200_000 + len(PIECE)
    silent = Client([PIECE])
    with pytest.raises(TooLargeError):
        await metered(scope_of("/x", length=200_001), silent, settings, whole)
    assert silent.taken == 0


async def test_a_route_that_takes_more_says_so() -> None:
    async def read(request: Request) -> None:
        allow(request.scope, 300_000, "max_json_bytes")
        await request.body()

    await metered(scope_of("/x", length=4 * len(PIECE)), Client([PIECE] * 4), Settings(max_body_bytes=1024), read)
    with pytest.raises(TooLargeError, match="300000 bytes, the limit of TOWPATH_MAX_JSON_BYTES"):
        await metered(scope_of("/x"), Client([PIECE] * 5), Settings(max_body_bytes=1024), read)


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_body_that_stands_still_is_given_up() -> None:
    with pytest.raises(SlowBodyError) as caught:
        await metered(scope_of("/x"), Client([b"a"], then=never), Settings(upload_grace_seconds=0.01), whole)
    assert caught.value.code is ErrorCode.BODY_TOO_SLOW
    assert "at least 1024 bytes a second" in caught.value.detail
    settings = Settings(upload_seconds=0.01, upload_min_rate=0)
    with pytest.raises(SlowBodyError, match="TOWPATH_UPLOAD_SECONDS"):
        await metered(scope_of("/x"), Client([b"a"], then=never), settings, whole)


class Dripping(Client):
    """Sends each piece a moment after the last."""

    async def receive(self) -> Message:
        await asyncio.sleep(0.005)
        return await super().receive()


async def test_a_body_that_drips_is_given_up_and_one_that_flows_is_not() -> None:
    dripping = Dripping([b" "] * 1000)
    with pytest.raises(SlowBodyError):
        await metered(scope_of("/x"), dripping, Settings(upload_grace_seconds=0.02, upload_min_rate=1_000_000), whole)
    assert dripping.taken < 10
    # Each piece brings a second at this rate, however long the machine takes between two.
    flowing = Dripping([b" " * 100] * 20)
    await metered(scope_of("/x"), flowing, Settings(upload_grace_seconds=30, upload_min_rate=100), whole)
    assert flowing.taken == 2000


async def test_what_nobody_reads_is_thrown_away_up_to_a_bound() -> None:
    async def answer(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    client = Client(PIECE for _ in range(ENDLESS))
    await BodyLimit(answer, Settings())(scope_of("/x"), client.receive, client.send)
    assert client.headers[b"connection"] == b"close"
    assert client.taken <= LINGER_BYTES + len(PIECE)
    small = Client([b"{}"])
    await BodyLimit(answer, Settings())(scope_of("/x", length=2), small.receive, small.send)
    assert b"connection" not in small.headers
    assert small.taken == 0


async def test_an_organization_holds_its_share_and_no_more() -> None:
    slots = Slots(3, 2, 0.01)
    async with slots.held("b"), slots.held("b"):
        with pytest.raises(LimitReachedError) as caught:
            async with slots.held("b"):
                raise AssertionError
        assert (caught.value.limit, caught.value.most) == ("uploads", 2)
        assert caught.value.retry_after
        async with slots.held("a"):
            with pytest.raises(UnavailableError):
                async with slots.held("c"):
                    raise AssertionError
        async with slots.held("c"):
            pass
    async with slots.held("b"), slots.held("b"):
        pass


async def test_slow_beginnings_hold_no_place() -> None:
    """Twelve clients that send a space now and then: the neighbour's batch goes through beside them."""
    settings = Settings(uploads=2, uploads_per_organization=1, upload_wait_seconds=60, limit_bytes=0, limit_jobs=0)
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none")
    slots = UploadSlots(settings, Limits(settings.default_limits, nowhere, Limiter(nowhere)))
    begun = asyncio.Semaphore(0)

    async def endless() -> AsyncIterator[bytes]:
        yield b" "
        begun.release()
        await never()

    async def upload(pieces: AsyncIterator[bytes], organization: str) -> bytes:
        async def receive() -> Message:
            piece = await anext(pieces, None)
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

        request = Request(scope_of("/x"), receive)
        async with slots.turn(request, organization, limit=ENDLESS):
            return b"".join([piece async for piece in body_pieces(request, limit=ENDLESS)])

    async def batch() -> AsyncIterator[bytes]:
        yield b"[1,"
        yield b"2]"

    async def large() -> AsyncIterator[bytes]:
        for _ in range(2):
            yield bytes(AHEAD_BYTES)

    slow = [asyncio.create_task(upload(endless(), "b")) for _ in range(12)]
    for _ in slow:
        await begun.acquire()
    assert await upload(batch(), "a") == b"[1,2]"
    assert len(await upload(large(), "a")) == 2 * AHEAD_BYTES
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


def test_a_route_whose_body_the_framework_reads_finds_its_caller_first(app: FastAPI) -> None:
    found = [one.original_route for one in iter_route_contexts(app.routes)]
    read = [one for one in found if isinstance(one, ApiRoute) and one.body_field is not None]
    assert len(read) > 10
    assert {one.path for one in read if one.authenticates is None} <= PUBLIC
