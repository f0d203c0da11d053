"""No trick of a URL is accepted with production settings, and no field that names an address is forgotten."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from towpath.api.app import create_app
from towpath.core.errors import BadInputError
from towpath.net.http import GuardedClient
from towpath.runtime.settings import Settings

URLS = [
    "http://user@127.0.0.1/", "http://user:word@93.184.216.34/", "http://93.184.216.34@127.0.0.1/",
    "http://127.0.0.1#@93.184.216.34/", "http://127.0.0.1\\@93.184.216.34/", "http://93.184.216.34:99999/",
    "http://93.184.216.34:0/", "http://93.184.216.34:-1/", "http://127.0.0.1:80:80/", "file:///etc/passwd",
    "gopher://127.0.0.1/", "ftp://127.0.0.1/", "dict://127.0.0.1/", "unix:///run/x.sock", "javascript:alert(1)",
    "data:text/plain,x", "//127.0.0.1/", "127.0.0.1", "http://", "http:///x", "http:127.0.0.1", "jar:http://127.0.0.1!/",
]  # fmt: skip
NAMES = re.compile(r"(^|_)(url|uri|host|hostname|address|endpoint|callback|link|href)s?($|_(?!id))", re.IGNORECASE)
FETCHED = {
    ("POST", "/api/enrichment/batch/fetch", "url"),
    ("POST", "/v1/connections", "url"),
    ("PUT", "/v1/connections/{connectionId}", "url"),
    ("POST", "/extract", "url"),
    ("POST", "/extract/sync", "url"),
    ("POST", "/classification/{classificationId}/run", "url"),
    ("POST", "/webhooks", "url"),
}
"""Where something is asked for, or kept to be: `test_the_door_refuses` or the guard at its use."""
NEVER_CALLED = {
    ("POST", "/annotate", "documentUrl"): "kept as a word about the document",
    ("POST", "/v1/ai/generate-query", "workbookUrl"): "ignored, as its contract says",
    ("POST", "/v1/batches", "endpoint"): "one of two words",
}


@pytest_asyncio.fixture
async def production() -> AsyncIterator[GuardedClient]:
    """The client of a façade whose settings allow nothing."""
    made = GuardedClient(allow_hosts=Settings().allowed_host_list, most_bytes=1000, seconds=10)
    yield made
    await made.close()


async def test_no_trick_of_a_url_is_accepted(production: GuardedClient) -> None:
    for url in URLS:
        with pytest.raises(BadInputError):
            await production.check(url)
        with pytest.raises(BadInputError):
            await production.fetch(url)


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)


def _named(document: dict[str, Any], schema: dict[str, Any], seen: tuple[str, ...] = ()) -> Iterator[str]:
    """Members of a body that name an address, at any depth."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name in seen:
            return
        schema, seen = document["components"]["schemas"].get(name, {}), (*seen, name)
    for kind in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(kind, []):
            yield from _named(document, one, seen)
    for name, member in schema.get("properties", {}).items():
        if NAMES.search(_words(name)) or member.get("format") in {"uri", "hostname", "iri"}:
            yield name
        yield from _named(document, member, seen)
    for nested in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(nested, dict):
            yield from _named(document, nested, seen)


def test_every_field_of_the_api_that_names_an_address_is_known_here() -> None:
    document = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:1/none")).openapi()
    found = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                if NAMES.search(_words(parameter["name"])):
                    found.add((method.upper(), path, parameter["name"]))
            for content in operation.get("requestBody", {}).get("content", {}).values():
                found |= {(method.upper(), path, name) for name in _named(document, content.get("schema", {}))}

    # `read_job_endpoint` looks at all of these, wherever a job starts: `test_the_door_refuses`.
    others = {one for one in found if one[2] != "webhookUrl"}
    assert others == FETCHED | NEVER_CALLED.keys()
