"""A request's id on the wire: the client's own where it can stand in a log, else a new one; to the byte as before."""

from __future__ import annotations

import asyncio
import logging
import re
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from towpath.api.http.requests import add_header, add_request_ids, request_id

NEW = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def make_app() -> FastAPI:
    """An application whose routes tell which id they see, alone and beside others."""
    app = FastAPI()

    @app.get("/seen/{status}")
    async def seen(request: Request, status: int) -> JSONResponse:
        add_header(request.scope, "Warning", '299 - "noted"')
        # A request at the same moment must not put its id in the place of this one.
        await asyncio.sleep(0)
        given = request.headers.get("x-request-id")
        return JSONResponse({"id": request_id(), "given": given}, status)

    @app.get("/threaded")
    def threaded() -> str:
        return request_id()

    add_request_ids(app)
    return app


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(make_app()), base_url="http://facade")


@pytest.mark.parametrize("given", ["mine-1", "a", "A.b_c-9", "0" * 128, "4bf92f3577b34da6a3ce929d0e0e4736"])
async def test_an_id_that_can_stand_in_a_log_is_kept(given: str) -> None:
    async with client() as http:
        answer = await http.get("/seen/200", headers={"X-Request-Id": given})

    assert answer.json() == {"id": given, "given": given}
    assert answer.headers.get_list("X-Request-Id") == [given]


@pytest.mark.parametrize("given", ["", "0" * 129, "two words", "a\tb", 'a"b', "ünïcode".encode(), "a,b", "a/b"])
async def test_any_other_is_replaced_without_a_word_in_the_log(
    given: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with client() as http:
            answer = await http.get("/seen/200", headers=[(b"X-Request-Id", given)])

    number = answer.json()["id"]
    assert NEW.fullmatch(number)
    assert UUID(number).version == 4
    assert answer.headers.get_list("X-Request-Id") == [number]
    # What the client sent stays what it sent.
    assert answer.json()["given"] == (given if isinstance(given, str) else given.decode("latin-1"))
    assert [record for record in caplog.records if record.name.startswith("asgi_correlation_id")] == []


async def test_the_first_of_two_ids_counts() -> None:
    async with client() as http:
        answer = await http.get("/seen/200", headers=[("X-Request-Id", "first"), ("X-Request-Id", "second")])

    assert answer.json()["id"] == "first"
    assert answer.headers.get_list("X-Request-Id") == ["first"]


async def test_the_id_stands_before_what_a_route_has_noted_and_an_error_has_the_id_alone() -> None:
    async with client() as http:
        well, badly = await http.get("/seen/201"), await http.get("/seen/404")

    names = [name for name, _ in well.headers.raw]
    assert names == [b"content-length", b"content-type", b"x-request-id", b"warning"]
    assert [name for name, _ in badly.headers.raw] == [b"content-length", b"content-type", b"x-request-id"]


async def test_requests_at_the_same_moment_keep_their_own_ids() -> None:
    async with client() as http:
        asked = [http.get("/seen/200", headers={"X-Request-Id": f"r-{number}"}) for number in range(50)]
        answers = await asyncio.gather(*asked)

    assert [answer.json()["id"] for answer in answers] == [f"r-{number}" for number in range(50)]


async def test_a_route_in_a_thread_sees_the_id() -> None:
    async with client() as http:
        answer = await http.get("/threaded", headers={"X-Request-Id": "in-a-thread"})

    assert answer.json() == "in-a-thread"
