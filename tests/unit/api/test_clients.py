"""From where a request comes: whose address is counted, behind a proxy and without."""

from __future__ import annotations

from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from typer.testing import CliRunner

from towpath.api.http.clients import get_client_address
from towpath.cli import app
from towpath.runtime.settings import get_settings


def request(host: str | None) -> Request:
    """A request from an address."""
    return Request({"type": "http", "headers": [], "client": None if host is None else (host, 1)})


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_address_stands_for_one_caller(host: str | None, place: str) -> None:
    assert get_client_address(request(host)) == place


@pytest.mark.parametrize(
    ("trusted", "peer", "place"),
    [
        (None, "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "192.0.2.7"),
        ("10.0.0.0/8,127.0.0.1", "10.1.2.3", "192.0.2.7"),
        ("10.0.0.0/8", "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_a_forwarded_address_is_believed_from_trusted_proxies_alone(
    monkeypatch: pytest.MonkeyPatch, trusted: str | None, peer: str, place: str
) -> None:
    """What `towpath api` hands to the server, in the server's own middleware."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _app, **options: told.update(options))
    monkeypatch.setenv("TOWPATH_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setattr("towpath.cli.processes.configure_logging", lambda *_: None)
    monkeypatch.setenv("TOWPATH_PORT", "0")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    if trusted is not None:
        monkeypatch.setenv("TOWPATH_TRUSTED_PROXIES", trusted)
    assert CliRunner().invoke(app, ["api"]).exit_code == 0
    get_settings.cache_clear()
    seen: list[str] = []

    async def served(scope: Any, receive: Any, send: Any) -> None:
        seen.append(get_client_address(Request(scope)))

    names = ("host", "port", "proxy_headers", "forwarded_allow_ips")
    config = uvicorn.Config(served, **{name: told[name] for name in names}, lifespan="off", log_config=None)
    config.load()
    scope = {
        "type": "http", "client": (peer, 1), "scheme": "http", "headers": [(b"x-forwarded-for", b"192.0.2.7")],
        "method": "GET", "path": "/", "query_string": b"", "http_version": "1.1", "server": ("h", 1), "root_path": "",
        "raw_path": b"/", "asgi": {"version": "3.0"},
    }  # fmt: skip

    async def nothing(*_: Any) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await config.loaded_app(scope, nothing, nothing)

    assert seen == [place]
