"""No value, in whichever place of whichever operation, makes an answer of 5xx, a hang, or a list that is gone.

What is sent is made from the OpenAPI document, and the document is checked against the routes.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import Request
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from tests.support.builders import Organization, organization
from tests.support.hostile import Operation, Sent, operations, requests
from towpath.api.app import create_app
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

APP = create_app(Settings(docs_open=True))
DOCUMENT = APP.openapi()
OPERATIONS = operations(DOCUMENT)
ROUTES = [one for one in iter_route_contexts(APP.routes) if isinstance(one.original_route, APIRoute)]
PAGES = "towpath.api.console."
AT_ONCE = 4
ONE_BY_ONE = "/v1/entity"
"""All requests are about one entity: those that write it at the same time may be told to repeat theirs."""
CODEC = {f"/codec/{token}{action}" for token in ("", "{token}/") for action in ("decode", "encode", "{action}")}
UNDOCUMENTED = {"/openapi.json", "/docs", "/redoc", *CODEC}
"""The documentation itself, and what the Temporal UI alone calls."""
BODYLESS = {
    "POST /api/auth/api-keys/{key_id}/rotate",
    "POST /api/auth/logout",
    "POST /api/auth/users/{user_id}/password-reset",
    "POST /jobs/{jobId}/retry",
    "POST /v1/ai/conversations/{conversationId}/link",
    "POST /v1/indexes/{indexName}/tune",
    "POST /v1/jobs/{jobId}/restart",
    "POST /v1/models/{modelId}/merge",
    "POST /v1/models/{modelId}/refresh",
    "POST /v1/webhooks/deliveries/{deliveryId}/resend",
    "POST /webhooks/{webhookId}/rotate",
}
"""Operations that are handed the request for its headers alone, and read no body from it."""
LISTS = (
    "/v1/jobs", "/jobs", "/v1/indexes", "/embeddings/upsertion-tasks/list", "/embeddings/deletion-tasks/list",
    "/api/enrichment/jobs", "/api/schema/saved", "/api/records", "/v1/ai/conversations", "/v1/connections",
    "/v1/models", "/templates", "/webhooks", "/v1/webhooks/deliveries", "/api/auth/api-keys", "/api/auth/users",
    "/api/auth/invitations", "/console/users", "/console/account",
    "/console/jobs", "/console/keys", "/console/receivers", "/console/deliveries", "/console/entities",
)  # fmt: skip


@pytest.fixture(scope="module")
def tenant(system: EmbeddedStack) -> Organization:
    """One organisation for all hostile requests: whatever is stored meets every later one."""
    return organization(system.api_url)


@pytest.fixture(scope="module")
def known(tenant: Organization) -> dict[str, str]:
    """Ids of things that are there, so that requests get past the look-up."""
    tenant.index("people")
    job_id = tenant.done([{"id": 1, "name": "Ada Lovelace"}, {"id": 2, "name": "Ada Lovelaec"}])
    tenant.task({"task_id": "task", "items": []})
    key = tenant.call("POST", "/api/auth/api-keys", 201, json={"name": "spare"})
    return {
        "job_id": job_id, "jobId": job_id, "indexName": "people", "entityId": "1", "task_id": "task",
        "key_id": key["id"],
    }  # fmt: skip


def test_every_route_is_in_the_document_or_is_a_page() -> None:
    documented = {_function(one) for one in ROUTES if one.include_in_schema}

    for one in ROUTES:
        function = _function(one)
        page = function.__module__.startswith(PAGES)
        # An older path of the same operation, or the same under a prefix, has the same function.
        assert function in documented or page or one.path in UNDOCUMENTED, one.path
    paths = {(one.path_format, method) for one in ROUTES if one.include_in_schema for method in one.methods or ()}
    assert paths == {(one.path, one.method) for one in OPERATIONS}


def test_every_body_that_a_route_reads_itself_is_in_the_document() -> None:
    reading = set()
    for one in ROUTES:
        for method in (one.methods or set()) & {"POST", "PUT", "PATCH"}:
            if one.include_in_schema and _takes_request(_function(one)):
                reading.add(f"{method} {one.path_format}")

    documented = {one.name for one in OPERATIONS if one.body is not None or one.forms}
    assert reading - documented == BODYLESS


def _function(route: RouteContext) -> Callable[..., Any]:
    """A route's function itself, without what may be wrapped around it."""
    assert route.endpoint is not None
    return inspect.unwrap(route.endpoint)


def _takes_request(function: Callable[..., Any]) -> bool:
    return any(one.annotation in (Request, "Request") for one in inspect.signature(function).parameters.values())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_no_hostile_value_makes_an_error_of_ours(
    tenant: Organization, known: dict[str, str], operation: Operation
) -> None:
    with ThreadPoolExecutor(1 if operation.path == ONE_BY_ONE else AT_ONCE) as pool:
        faults = pool.map(lambda sent: _fault(tenant.http, operation, sent), requests(operation, known))

        assert [fault for fault in faults if fault] == []


def _fault(client: httpx.Client, operation: Operation, sent: Sent) -> str | None:
    """What is wrong with the answer to a request, if anything."""
    headers = {name.encode(): value.encode("latin-1") for name, value in sent.headers.items()}
    url = sent.path + (f"?{sent.query}" if sent.query else "")
    request = client.build_request(operation.method, url, headers=headers, content=sent.body, timeout=30)
    try:
        answer = client.send(request, stream=True)
    except httpx.HTTPError as error:
        return f"{sent.place}: {error!r}"
    try:
        if "event-stream" in answer.headers.get("content-type", "") and answer.status_code == 200:
            return None
        answer.read()
        return _wrong(answer, sent.place)
    finally:
        answer.close()


def _wrong(answer: httpx.Response, place: str) -> str | None:
    told = f"{place}: {answer.status_code} {answer.text[:300]}"
    if answer.status_code < 400:
        return None
    try:
        body = answer.json()
    except ValueError:
        return told
    if answer.status_code >= 500 or not {"detail", "code"} <= body.keys():
        return told
    return None


def test_every_job_that_was_accepted_ends(tenant: Organization) -> None:
    ends = time.monotonic() + 90
    while open_jobs := [
        job
        for state in ("PENDING", "RUNNING")
        for job in tenant.call("GET", "/v1/jobs", params={"state": state})["jobs"]
    ]:
        assert time.monotonic() < ends, open_jobs
        time.sleep(0.2)


@pytest.mark.parametrize("path", LISTS)
def test_every_list_still_answers_after_all_that(tenant: Organization, path: str) -> None:
    assert tenant.http.get(path).status_code == 200


def _pages() -> Iterator[tuple[str, str]]:
    for one in ROUTES:
        if _function(one).__module__.startswith(PAGES):
            for method in sorted((one.methods or set()) & {"GET", "POST"}):
                yield method, one.path_format or ""


@pytest.mark.parametrize(("method", "path"), list(_pages()))
def test_no_hostile_value_breaks_a_page(tenant: Organization, known: dict[str, str], method: str, path: str) -> None:
    route = next(one for one in ROUTES if one.path_format == path and method in (one.methods or ()))
    names = [one.alias for one in route.dependant.query_params]
    for value in ("%00", "%ff", "%ed%a0%80", "1" + "0" * 30, "-1", "%F0%9F%98%80", "x" * 3000):
        places = dict.fromkeys(route.param_convertors, value)
        filled = path
        for name in places:
            filled = filled.replace("{" + name + "}", known.get(name, value) if names else value)
        query = "&".join(f"{name}={value}" for name in [*names, "other"])
        form = {"content": f"csrf=x&prompt={value}&name={value}&{value}=x&next={value}"} if method == "POST" else {}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = tenant.http.request(method, f"{filled}?{query}", headers=headers, timeout=30, **form)

        assert answer.status_code < 500, f"{value}: {answer.text[:300]}"
