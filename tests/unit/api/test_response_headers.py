"""What every answer carries, and what a browser may do with it; the application runs in this process, without parts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.routing import iter_route_contexts

from towpath import api
from towpath.api.app import create_app
from towpath.api.http.cors import REQUEST_HEADERS, RESPONSE_HEADERS
from towpath.api.http.links import public_base
from towpath.api.http.response_headers import NOTHING, PICTURE
from towpath.core.errors import TooLargeError, TowpathError
from towpath.runtime.settings import Settings

APP = "https://app.example.com"
EVERYWHERE = {"x-content-type-options": {"nosniff"}, "referrer-policy": {"no-referrer", "same-origin"}}
"""Forms tell their own origin, which a browser would hide else."""
HTTP_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


class TooManyError(TowpathError):
    status = 429


@cache
def make(**settings: Any) -> FastAPI:
    """The application, with some routes that fail as they are told; one for the same settings.

    Its first request has it work out all routes, which takes more than a second.
    """
    app = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:1/none", request_log=False, **settings))

    @app.get("/probe/{kind}", include_in_schema=False)
    async def fail(kind: str) -> None:
        if kind == "413":
            raise TooLargeError("too large")
        if kind == "429":
            raise TooManyError("too many", retry_after=7)
        raise RuntimeError("a fault of ours")

    @app.get("/probe-base", include_in_schema=False)
    async def base(request: Request) -> str:
        return public_base(request, app_settings)

    app_settings = Settings(**{"host": "127.0.0.1", "port": 8000, **settings})
    app.state.towpath = type("State", (), {"settings": app_settings})()
    return app


def client(app: FastAPI, base_url: str = "http://127.0.0.1:8000") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=base_url)


def paths(app: FastAPI) -> list[tuple[str, str]]:
    """A call of every route: method and path, with something in the place of each parameter."""
    found = []
    for route in iter_route_contexts(app.routes):
        path = re.sub(r"\{[^}]+\}", "none", str(route.path))
        found += [(method, path) for method in sorted(set(route.methods or ()) & HTTP_METHODS)]
    return found


async def test_every_route_answers_with_the_headers_also_when_it_fails() -> None:
    app = make(docs_open=True)
    calls = paths(app)
    async with client(app) as http:
        for method, path in calls:
            answer = await http.request(method, path)
            for name, values in EVERYWHERE.items():
                assert answer.headers.get(name) in values, (method, path, answer.status_code)
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], (method, path)
            if not path.startswith(("/static", "/docs-files")):
                assert answer.headers["cache-control"] == "no-store", (method, path)

    assert len(calls) > 150


@pytest.mark.parametrize("path", ["/no-such-path", "/probe/500", "/probe/413", "/v1/jobs?x=%00", "/docs-files/none.js"])
async def test_errors_of_every_layer_have_them(path: str) -> None:
    async with client(make()) as http:
        answer = await http.get(path)

    assert answer.status_code >= 400
    assert answer.headers["content-security-policy"] == NOTHING
    assert answer.headers["cache-control"] == "no-store"
    assert all(answer.headers.get(name) in values for name, values in EVERYWHERE.items())


async def test_a_picture_may_have_its_styles_and_nothing_else_and_a_route_has_the_last_word() -> None:
    app = make.__wrapped__()

    @app.get("/probe-picture")
    async def picture() -> Any:
        return plain("image/svg+xml")

    @app.get("/probe-kept")
    async def kept() -> Any:
        return plain("image/png", {"Cache-Control": "private, max-age=60"})

    async with client(app) as http:
        drawn, cached = await http.get("/probe-picture"), await http.get("/probe-kept")

    assert drawn.headers["content-security-policy"] == PICTURE
    assert cached.headers["cache-control"] == "private, max-age=60"


def plain(media_type: str, headers: dict[str, str] | None = None) -> Any:
    return Response(b"x", media_type=media_type, headers=headers)


@pytest.mark.parametrize(
    ("settings", "scheme", "told"),
    [
        ({}, "http", False),
        ({}, "https", True),
        ({"cookie_secure": False}, "https", False),
        ({"cookie_secure": False, "public_url": "https://towpath.example.com"}, "http", True),
        ({"cookie_secure": False, "public_url": "http://towpath.example.com"}, "http", False),
    ],
)
async def test_https_is_kept_where_it_is_how_people_come(settings: dict[str, Any], scheme: str, told: bool) -> None:
    async with client(make(**settings), f"{scheme}://127.0.0.1:8000") as http:
        answer = await http.get("/no-such-path")

    assert ("strict-transport-security" in answer.headers) is told


async def test_the_documentation_runs_its_own_scripts_alone() -> None:
    async with client(make(docs_open=True)) as http:
        for path in ("/docs", "/redoc"):
            page = await http.get(path)
            policy = page.headers["content-security-policy"]
            assert page.status_code == 200
            scripts = policy.split("script-src")[1].split(";")[0]
            assert "unsafe" not in scripts
            assert scripts.count("sha256-") == len(re.findall(r"<script>", page.text))
            assert "frame-ancestors 'none'" in policy
            for own in re.findall(r'(?:src|href)="([^"]+)"', page.text):
                assert own.startswith("/docs-files/"), own
                file = await http.get(own)
                assert (file.status_code, file.headers["cache-control"]) == (200, "public, max-age=3600")


HOSTS = [
    ("evil.example", "http://127.0.0.1:8000"),
    ("evil.example:8000", "http://127.0.0.1:8000"),
    ("127.0.0.1.evil.example", "http://127.0.0.1:8000"),
    ("localhost.evil.example", "http://127.0.0.1:8000"),
    ("localhost@evil.example", "http://127.0.0.1:8000"),
    ("evil.example/localhost", "http://127.0.0.1:8000"),
    ("localhost:8000/evil", "http://127.0.0.1:8000"),
    ("localhost:evil", "http://127.0.0.1:8000"),
    ("localhost#x", "http://127.0.0.1:8000"),
    ("localhost?x", "http://127.0.0.1:8000"),
    ("[::1", "http://127.0.0.1:8000"),
    ("", "http://127.0.0.1:8000"),
    ("localhost:9999", "http://localhost:9999"),
    ("LOCALHOST", "http://localhost"),
    ("[::1]:8000", "http://[::1]:8000"),
    ("towpath.internal", "http://towpath.internal"),
    ("towpath.internal:81", "http://towpath.internal:81"),
    ("one.internal:82", "http://one.internal:82"),
    ("one.internal:83", "http://127.0.0.1:8000"),
]


@pytest.mark.parametrize(("host", "base"), HOSTS)
async def test_links_follow_a_trusted_host_alone(host: str, base: str) -> None:
    app = make(trusted_hosts="Towpath.internal, one.internal:82")
    forwarded = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "X-Host": "evil.example"}
    async with client(app) as http:
        found = await http.get("/probe-base", headers={"Host": host, **forwarded})

    assert found.json() == base


async def test_a_public_url_comes_before_every_host() -> None:
    async with client(make(public_url="https://towpath.example.com/api/")) as http:
        for host in ("evil.example", "localhost:8000"):
            found = await http.get("/probe-base", headers={"Host": host})
            assert found.json() == "https://towpath.example.com/api"


@pytest.mark.parametrize("path", ["/v1/jobs/", "//evil.example/v1/jobs/", "/v1//jobs/"])
async def test_no_redirect_names_a_strangers_host(path: str) -> None:
    async with client(make()) as http:
        answer = await http.get(
            httpx.URL("http://127.0.0.1:8000", raw_path=path.encode()), headers={"Host": "evil.example"}
        )

    location = answer.headers.get("location", "/")
    assert "evil.example" not in location.split("/", 3)[2:3]
    assert re.match(r"/(?!/)", location)
    assert answer.is_redirect or answer.status_code in {401, 404}


async def test_no_other_place_builds_a_link_from_the_request() -> None:
    """`public_base` alone may; what others build from the Host is a stranger's."""
    folder = Path(api.__file__).parent
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if re.search(r"\bbase_url|url_for\(|str\(request\.url\)|request\.url\.(netloc|hostname)", path.read_text())
    }

    assert found == set()


PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "PUT"}


async def test_without_the_setting_no_other_site_is_told_anything() -> None:
    async with client(make()) as http:
        for answer in (
            await http.get("/v1/jobs", headers={"Origin": APP}),
            await http.options("/v1/jobs", headers=PREFLIGHT),
        ):
            assert [name for name in answer.headers if name.startswith("access-control")] == []


async def test_a_preflight_is_answered_without_a_key() -> None:
    asked = ", ".join(REQUEST_HEADERS)
    async with client(make(cors_origins=f"{APP}, http://localhost:3000")) as http:
        for origin in (APP, "http://localhost:3000"):
            headers = {**PREFLIGHT, "Origin": origin, "Access-Control-Request-Headers": asked}
            answer = await http.options("/v1/jobs/none", headers=headers)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin
            assert "PUT" in answer.headers["access-control-allow-methods"]
            assert "access-control-allow-credentials" not in answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
        refused = await http.options(
            "/v1/jobs/none", headers={**PREFLIGHT, "Origin": "https://app.example.com.evil.example"}
        )

    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/jobs", 401), ("/probe/413", 413), ("/probe/429", 429), ("/probe/500", 500), ("/v1/jobs?x=%00", 400)],
)
async def test_an_error_can_be_read_from_an_allowed_origin(path: str, status: int) -> None:
    async with client(make(cors_origins=APP)) as http:
        answer = await http.get(path, headers={"Origin": APP})
        foreign = await http.get(path, headers={"Origin": "https://evil.example"})

    assert answer.status_code == foreign.status_code == status
    assert answer.headers["access-control-allow-origin"] == APP
    assert "origin" in answer.headers["vary"].lower()
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed == set(RESPONSE_HEADERS)
    assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-origin" not in foreign.headers


async def test_a_star_allows_every_origin_and_never_its_cookies() -> None:
    async with client(make(cors_origins="*")) as http:
        headers = {"Origin": APP, "Cookie": "towpath_session=a.b.c"}
        answer = await http.get("/v1/jobs", headers=headers)

    # A browser lets no script read an answer to a request with cookies that does not allow them by name.
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["app.example.com", "https://app.example.com/", "https://app.example.com/x", "https://APP.example.com", "ftp://a",
     "https://u@a.example", "https://a.example?x", "null", "https://*.example.com:x"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        Settings(cors_origins=f"{APP},{origin}")


@pytest.mark.parametrize(
    "url", ["towpath.example.com", "ftp://a", "https://", "https://a?x", "https://u:p@a", "http://a:x"]
)
def test_what_is_no_base_of_links_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be http://host"):
        Settings(public_url=url)


@pytest.mark.parametrize("origins", ["", APP, "*"])
async def test_the_codec_answers_the_temporal_ui_whatever_other_origins_are_let_in(origins: str) -> None:
    ui = "http://localhost:8080"
    headers = {
        "Origin": ui, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-namespace",
    }  # fmt: skip
    async with client(make(cors_origins=origins, temporal_ui_url=ui, codec_token="t" * 40)) as http:
        answer = await http.options(f"/codec/{'t' * 40}/decode", headers=headers)

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ui
