"""A request holds one connection of the pool: many at once wait in a row, and never for each other."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.support.console.site import make_model, site
from tests.support.llm_server import LlmServer
from towpath.db.engine import Database
from towpath.runtime.embedded import EmbeddedStack

POOL = 4


async def test_more_questions_with_files_than_the_pool_has_connections_are_accepted(
    parts: EmbeddedStack, database_url: str, loopback: LlmServer, database: Database
) -> None:
    with site(parts, database_url, loopback, api_pool_size=POOL) as small:
        org = small.organization()
        file = {"data": base64.b64encode(b"only Graz counts").decode(), "mimeType": "text/plain", "name": "note.txt"}
        model = str(await make_model(database, org.slug))
        body = {"modelId": model, "prompt": "Where are shipments late?", "attachments": [file] * 3}

        def ask(_: int) -> int:
            with httpx.Client(base_url=small.url, headers=org.http.headers, timeout=120) as http:
                return http.post("/v1/ai/jobs", json=body).status_code

        with ThreadPoolExecutor(6 * POOL) as pool:
            statuses = list(pool.map(ask, range(12 * POOL)))

    assert set(statuses) == {201}, statuses
