"""The codec endpoint: who may have payloads decrypted, and how the Temporal UI does."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import httpx
import pytest

from tests.support.builders import Organization
from towpath.runtime.embedded import EmbeddedStack

PAYLOAD = {"metadata": {"encoding": b64encode(b"json/plain").decode()}, "data": b64encode(b'"hello"').decode()}
BODY = {"payloads": [PAYLOAD]}


def post(stack: EmbeddedStack, path: str, body: Any = BODY, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{stack.api_url}/codec/{path}", json=body, headers=named, timeout=30)


def test_the_ui_is_told_where_to_ask_and_is_answered(system: EmbeddedStack) -> None:
    assert system.temporal_ui_url is not None
    endpoint = httpx.get(f"{system.temporal_ui_url}/api/v1/settings", timeout=30).json()["Codec"]["Endpoint"]
    assert endpoint == f"{system.api_url}/codec/{system.codec_token}"

    sent = {"Origin": system.temporal_ui_url, "X-Namespace": "default", "Content-Type": "application/json"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-namespace"}
    preflight = httpx.options(f"{endpoint}/decode", headers={"Origin": sent["Origin"], **asked}, timeout=30)
    sealed = httpx.post(f"{endpoint}/encode", content=json.dumps(BODY), headers=sent, timeout=30)
    opened = httpx.post(f"{endpoint}/decode", content=sealed.text, headers=sent, timeout=30)

    for answer in (preflight, sealed, opened):
        assert answer.is_success, answer.text
        assert answer.headers["access-control-allow-origin"] == system.temporal_ui_url
    assert "x-namespace" in preflight.headers["access-control-allow-headers"]
    (payload,) = sealed.json()["payloads"]
    assert b64decode(payload["metadata"]["encoding"]) == b"binary/encrypted"
    assert b"hello" not in b64decode(payload["data"])
    assert opened.json() == BODY


def test_only_an_admin_may_ask_without_the_token(system: EmbeddedStack, org: Organization) -> None:
    assert org.call("GET", "/api/auth/me")["role"] == "owner"
    other = org.key

    assert post(system, "decode").status_code == 401
    assert post(system, "decode", X_API_Key=other).status_code == 403
    assert post(system, "decode", X_API_Key=system.api_key).json() == BODY
    assert post(system, f"{'x' * 40}/decode").status_code == 404
    assert post(system, f"{'x' * 40}/decode", X_API_Key=other).status_code == 404


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://localhost:1"])
def test_a_page_of_another_origin_is_refused(system: EmbeddedStack, origin: str) -> None:
    path = f"{system.codec_token}/decode"
    asked = httpx.options(
        f"{system.api_url}/codec/{path}",
        headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
        timeout=30,
    )

    for answer in (asked, post(system, path, Origin=origin)):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        assert "hello" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        1,
        {"payloads": 1},
        {"payload": []},
        {"payloads": [None]},
        {
            "payloads": [
                {
                    "metadata": {
                        "encoding": b64encode(b"binary/encrypted").decode(),
                        "encryption-key-id": b64encode(b"x").decode(),
                    },
                    "data": "",
                }
            ]
        },
    ],
)
def test_what_is_no_payload_of_ours_is_refused(system: EmbeddedStack, body: Any) -> None:
    answer = post(system, "decode", body, X_API_Key=system.api_key)

    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


def test_the_token_stands_in_no_log(system: EmbeddedStack) -> None:
    assert post(system, f"{system.codec_token}/decode").status_code == 200

    logs = "".join(path.read_text(errors="replace") for path in system.home.logs.iterdir())
    assert system.codec_token not in logs
    assert "/codec/.../decode" in logs
