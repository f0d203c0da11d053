"""What holds of every route, also of the next one: it is looked at in the application itself, which runs nowhere."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from openapi_spec_validator import validate
from pydantic import BaseModel

import towpath
from docs.generate import FOLDER
from towpath import api
from towpath.api.app import create_app
from towpath.api.http.routing import ApiRoute
from towpath.core.bodies import Lenient, Strict
from towpath.core.errors import ErrorCode
from towpath.extraction.types import ExtractOptions
from towpath.runtime.settings import Settings

TYPE_MODULES = ("types", "semantic_types", "limits", "params", "bodies", "values", "wire", "health")
"""Where models of bodies are."""
SERVED_TO_BROWSERS = (
    "/console",
    "/chat/",
    "/sign-in",
    "/sign-out",
    "/password-reset",
    "/invitation",
    "/static/",
    "/docs-files",
)
MAKES_NOTHING = {
    "/api/auth/login": "answers a token that is kept nowhere",
    "/api/auth/logout": "ends what is there",
    "/api/auth/logout-everywhere": "ends what is there",
    "/api/auth/password": "is the same when repeated, but for the present password",
    "/api/auth/password-reset": "takes a token that is good once",
    "/api/auth/users/{user_id}/logout": "ends what is there",
    "/api/batch/fetch": "reads",
    "/api/enrichment/batch/fetch": "reads",
    "/api/enrichment/estimate": "reckons",
    "/api/enrichment/cancel/{job_id}": "moves a job that is there",
    "/v1/batches/{batchId}/cancel": "moves a job that is there",
    "/api/llm/cancel/{job_id}": "moves a job that is there",
    "/api/llm/continue/{job_id}": "moves a job that is there",
    "/api/records/batch-delete": "is the same when repeated",
    "/api/records/batch-restore": "is the same when repeated",
    "/api/records/{record_id}/corrections": "is the same when repeated",
    "/api/schema/saved/{schema_id}/restore": "is the same when repeated",
    "/codec/decode": "reckons",
    "/codec/encode": "reckons",
    "/codec/{token}/decode": "reckons",
    "/codec/{token}/encode": "reckons",
    "/embeddings/payload-count": "reads",
    "/embeddings/payload-search": "reads",
    "/embeddings/similarity-search": "reads",
    "/jobs/{jobId}/cancel": "moves a job that is there",
    "/jobs/{jobId}/pause": "moves a job that is there",
    "/jobs/{jobId}/resume": "moves a job that is there",
    "/v1/ai/conversations/{conversationId}/link": "answers a token that is kept nowhere",
    "/v1/ai/jobs/{jobId}/cancel": "moves a job that is there",
    "/v1/entities/batch/cancel": "moves a job that is there",
    "/v1/entity/batch/cancel": "moves a job that is there",
    "/v1/jobs/{jobId}/cancel": "moves a job that is there",
    "/v1/jobs/{jobId}/continue": "moves a job that is there",
    "/v1/jobs/{jobId}/pause": "moves a job that is there",
    "/v1/jobs/{jobId}/stream-token": "answers a token that is kept nowhere",
}
ROOT = FOLDER.parent
MADE_ONCE_BY_NAME = {"/api/auth/register": "the address is taken by then: 409"}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(database_url="postgresql://nobody@127.0.0.1:1/none"))


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def routes(app: FastAPI) -> Iterator[tuple[str, set[str], Any]]:
    """Path, methods and route of everything that is served, hidden names too."""
    for found in iter_route_contexts(app.routes):
        yield str(found.path), set(found.methods or ()), found.original_route


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_names_the_version_that_is_installed(document: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert document["info"]["version"] == version("towpath") == project["version"]


def test_every_route_of_the_api_refuses_what_it_does_not_know(app: FastAPI) -> None:
    others = [
        path
        for path, _, route in routes(app)
        if not isinstance(route, ApiRoute) and path != "/" and not path.startswith(SERVED_TO_BROWSERS)
    ]

    assert others == []


def test_every_post_that_makes_something_takes_an_idempotency_key(app: FastAPI) -> None:
    without = set()
    for path, methods, route in routes(app):
        if "POST" in methods and isinstance(route, ApiRoute):
            headers = {field.alias for field in route.dependant.header_params}
            if "Idempotency-Key" not in headers:
                without.add(path.removeprefix("/api") if path.startswith("/api/v1/") else path)

    bare = {path.removeprefix("/v1") if path.startswith("/v1/embeddings") else path for path in without}
    assert bare - MAKES_NOTHING.keys() - MADE_ONCE_BY_NAME.keys() == set()
    assert MAKES_NOTHING.keys() - bare == set(), "these take a key by now"


def bodies_read_by_routes() -> set[str]:
    """The names of all models that a call of `read_body` or `read_start` in the façade names."""
    names = set()
    for path in Path(next(iter(api.__path__))).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("read_"):
                names |= {arg.id for arg in node.args if isinstance(arg, ast.Name) and arg.id[:1].isupper()}
    return names


def contract_models() -> dict[str, type[BaseModel]]:
    found = {}
    for module in pkgutil.walk_packages(towpath.__path__, "towpath."):
        if module.name.rpartition(".")[2] not in TYPE_MODULES:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, type) and issubclass(value, BaseModel):
                found[name] = value
    return found


def models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model, and those of its fields."""
    yield model
    for field in model.model_fields.values():
        waiting: list[Any] = [field.annotation]
        while waiting:
            one = waiting.pop()
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from models_in(one)
            waiting += get_args(one)


def test_every_body_is_strict_or_lenient(app: FastAPI) -> None:
    known = contract_models()
    names = bodies_read_by_routes() | {name for name in known if name.endswith("Body") and name != "ErrorBody"}
    taken = {known[name] for name in names if name not in {"Body", "ExtractOptions"} and name in known}
    read = [route for _, _, route in routes(app) if isinstance(route, ApiRoute) and not route.form_fields]
    taken |= {route.body_model for route in read if route.body_model is not None}
    inner = {one for model in taken for one in models_in(model)} - {ExtractOptions}

    assert len(taken) > 30
    for model in inner:
        kinds = [base for base in (Strict, Lenient) if issubclass(model, base)]
        assert len(kinds) == 1, model
        assert model.model_config["extra"] == ("forbid" if kinds == [Strict] else "allow"), model
    lenient = {model.__name__ for model in inner if issubclass(model, Lenient)}
    assert lenient == {"AiJobBody", "Attachment", "QuestionBody", "PickTopicBody", "GenerateQueryBody", "ModelBody"}


def test_the_document_is_valid_and_none_of_its_references_dangles(document: dict[str, Any]) -> None:
    validate(document)
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(target := node.get("$ref"), str):
                found: Any = document
                for part in target.removeprefix("#/").split("/"):
                    assert part in found, target
                    found = found[part]
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


OPTIONAL_BODIES = {"/api/llm/continue/{job_id}", "/v1/webhooks/standing-secret"}


def test_every_body_is_declared_and_required(app: FastAPI, document: dict[str, Any]) -> None:
    """What is read without being declared is not read: the route settles a body's type by its declaration."""
    for path, method, operation in operations(document):
        if (body := operation.get("requestBody")) is not None:
            assert body.get("required", False) is (path not in OPTIONAL_BODIES), f"{method} {path}"
            assert all("schema" in one for one in body["content"].values()), f"{method} {path}"
    declared = {(path, method) for path, method, operation in operations(document) if "requestBody" in operation}
    for path, methods, route in routes(app):
        if isinstance(route, ApiRoute) and route.include_in_schema and route.media_types:
            assert any((path, method.lower()) in declared for method in methods) or path.startswith("/api/v1/"), path


def test_names_in_paths_are_those_of_their_contract(document: dict[str, Any]) -> None:
    for path in document["paths"]:
        if not path.startswith("/api/"):
            assert "_" not in "".join(part for part in path.split("/") if part.startswith("{")), path


@pytest.fixture
async def caller(app: FastAPI) -> Any:
    """Calls the application in this process; nothing that it stands on is there."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "says", "allow"),
    [
        ("PUT", "/v1/entity", "PUT is not served here; use GET, POST or DELETE", "GET, HEAD, POST, DELETE"),
        ("GET", "/v1/jobs/x/cancel", "GET is not served here; use POST", "POST"),
        ("PUT", "/v1/indexes/a", "PUT is not served here; use GET or DELETE", "GET, HEAD, DELETE"),
        ("GET", "/embeddings/similarity-search", "GET is not served here; use POST", "POST"),
        ("DELETE", "/api/v1/models/x/content", "DELETE is not served here; use GET or PUT", "GET, HEAD, PUT"),
        ("HEAD", "/v1/entities/batch", "", "POST"),
    ],
)  # fmt: skip
async def test_a_method_that_is_not_served_names_those_that_are(
    caller: httpx.AsyncClient, method: str, path: str, says: str, allow: str
) -> None:
    answer = await caller.request(method, path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, allow)
    if method != "HEAD":
        assert answer.json()["detail"] == says
        assert answer.json()["code"] == ErrorCode.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/v1/job", "/v1/jobs"),
        ("/v1/jobs/7/event", "/v1/jobs/{jobId}/events"),
        ("/embeddings/upsertion-task/run", "/embeddings/upsertion-tasks/run"),
        ("/v1/entities/batch/state", "/v1/entities/batch/status"),
        ("/completely/else", None),
    ],
)
async def test_a_path_that_is_not_served_is_told_with_the_nearest(
    caller: httpx.AsyncClient, path: str, near: str | None
) -> None:
    answer = (await caller.get(path)).json()

    assert (answer["status"], answer["code"]) == (404, "NOT_FOUND")
    assert answer["detail"] == f"nothing is served at {path}" + (f"; did you mean {near}?" if near else "")


async def test_a_get_answers_a_head_with_the_same_headers_and_no_body(caller: httpx.AsyncClient) -> None:
    got, head = await caller.get("/health/live"), await caller.head("/health/live")

    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_an_unknown_parameter_is_told_where_no_key_is_needed(caller: httpx.AsyncClient) -> None:
    answer = (await caller.get("/health/live", params={"deep": "1"})).json()

    assert answer["detail"] == "deep: unknown query parameter; there are none here"
