"""A client's JSON Schema at every door: nothing is fetched, and no pattern runs away."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.builders import Organization
from tests.support.console.console_data import make_extraction
from tests.support.console.forms import fields_of
from tests.support.console.site import Site, by_key, who
from tests.support.extraction import note_pdf, send
from towpath.core.json_schema import UncheckableError, errors_of
from towpath.db.engine import Database

in_session = pytest.mark.asyncio(loop_scope="session")


class Listener:
    """Something on this machine that would be asked, were anything fetched.

    Args:
        server: Listens; a connection waits in it until it is looked for.
    """

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.getsockname()[1]}/"

    def assert_untouched(self) -> None:
        """Nobody has connected."""
        self._server.setblocking(False)
        with pytest.raises(BlockingIOError):
            self._server.accept()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Listener(server)


def leading_out(base: str) -> dict[str, dict[str, Any]]:
    """Schemas that lead out of themselves, each with the place that has to be told."""
    return {
        "$ref": {"$ref": f"{base}a.json"},
        "$dynamicRef": {"$dynamicRef": f"{base}a.json"},
        "$recursiveRef": {"$recursiveRef": f"{base}a.json"},
        "$id": {"$id": base},
        "$schema": {"$schema": f"{base}a.json", "type": "string"},
        "pattern": {"type": "string", "pattern": "(?=a)b"},
    }


def refused(org: Organization, listener: Listener, word: str, node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What each door that takes a schema says to one, with what it has to say."""
    schema = {"type": "object", "properties": {"customer": node}}
    place = f"properties.customer.{word}"
    yield send(org, note_pdf(), expect=400, schema=schema)["detail"], f"schema.{place}"
    template = {"name": f"t {word}", "schema": schema}
    yield org.call("POST", "/templates", 400, json=template)["detail"], f"schema.{place}"
    good = {"name": f"g {word}", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
    made = org.call("POST", "/templates", 201, json=good)["templateId"]
    yield org.call("PUT", f"/templates/{made}", 400, json=template)["detail"], f"schema.{place}"
    for content in (schema, {"root": schema}, {"root": {"properties": {"b": {"items": node}}}}):
        told = "properties.b.items" if "customer" not in str(content) else "properties.customer"
        saved = {"name": "s", "schema_content": content}
        answer = org.call("POST", "/api/schema/saved", 400, json=saved)
        yield answer["detail"], f"schema_content.root.{told}.{word}"
    own = org.call("POST", "/api/schema/saved", json={"name": "o", "schema_content": good["schema"]})["id"]
    changed = org.call("PATCH", f"/api/schema/saved/{own}", 400, json={"schema_content": schema})
    yield changed["detail"], f"schema_content.root.{place}"
    start = {"entity_data": {"name": "x"}, "target_schema": schema, "models": ["openai::gpt-4o"]}
    yield org.call("POST", "/api/single/enrich/stream", 400, json=start)["detail"], f"target_schema.root.{place}"


def test_no_door_takes_a_schema_that_leads_out_of_itself(running_site: Site, listener: Listener) -> None:
    org = running_site.organization()
    for word, node in leading_out(listener.url).items():
        for said, place in refused(org, listener, word, node):
            assert said.startswith(place), (word, said)
    listener.assert_untouched()


@in_session
async def test_a_stored_schema_that_leads_out_fetches_nothing_when_data_are_corrected(
    running_site: Site, database: Database, listener: Listener
) -> None:
    org = running_site.organization()
    browser = by_key(running_site, org)
    for word in ("$ref", "$dynamicRef"):
        for node in ({word: f"{listener.url}a.json"}, {"$id": listener.url, word: "a.json"}):
            schema = {"type": "object", "properties": {"customer": {"allOf": [node], "type": "string"}}}
            ref = await make_extraction(database, who(org), schema=schema, data={"customer": "v"}, sources={})
            job, typed = str(ref.job_id), {"customer": "w"}
            for path, body in (
                ("/annotate", {"jobId": job, "annotatedData": typed}),
                (f"/jobs/{job}/review", {"decision": "APPROVED", "annotatedData": typed}),
            ):
                told = org.call("POST", path, 400, json=body)["detail"]
                assert "annotatedData: the schema refers to" in told
                assert "not within it" in told
            page = browser.get(f"/console/jobs/{job}/review")
            form = {**fields_of(page.text, "//form[@id='review-form']"), "/customer": '"w"', "act": "save"}
            answer = browser.post(f"/console/jobs/{job}/review", data=form)
            assert answer.status_code == 400
            assert "not within it" in answer.text
    listener.assert_untouched()


@in_session
async def test_a_runaway_pattern_is_a_pattern_like_any_other(running_site: Site, database: Database) -> None:
    """With `re` this would keep the façade for longer than anybody lives."""
    org = running_site.organization()
    schema = {"type": "object", "properties": {"customer": {"type": "string", "pattern": "^(a+)+$"}}}
    ref = await make_extraction(database, who(org), schema=schema, data={"customer": "a"}, sources={})
    body = {"jobId": str(ref.job_id), "annotatedData": {"customer": "a" * 60 + "!"}}
    assert "does not match" in org.call("POST", "/annotate", 400, json=body)["detail"]


@pytest.mark.parametrize("word", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("based", [False, True])
def test_a_check_of_a_schema_that_leads_out_fetches_nothing(listener: Listener, word: str, based: bool) -> None:
    node = {"$id": listener.url, word: "x.json"} if based else {word: f"{listener.url}x.json"}
    with pytest.raises(UncheckableError, match="not within it"):
        errors_of({"a": 1}, {"properties": {"a": node}})
    listener.assert_untouched()
