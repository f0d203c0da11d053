"""Another organization's ids: wherever an operation or page takes one, it answers as if there were no such thing.

The places are found in the OpenAPI document and in the routes of the pages. An operation that takes an id of a new name
needs a line in `tests.system.api.samples`; a test says which.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from tests.support.hostile import Operation, operations, plain
from tests.support.llm_server import LlmServer
from tests.support.receiver import Receiver
from tests.system.api.belongings import Belongings, furnish, rows_of
from tests.system.api.samples import BESIDE, ENDS, EXEMPT, PAGE_WORDS, Place, body_of, document, page_path, places
from towpath.api.app import create_app
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

APP = create_app(Settings(docs_open=True))
OPERATIONS = operations(APP.openapi())
FOUND = [place for operation in OPERATIONS for place in places(operation)]
PLACES = [place for place in FOUND if not place.exempt]
PAGES = [
    (method, one.path_format, name)
    for one in iter_route_contexts(APP.routes)
    if isinstance(one.original_route, APIRoute)
    and inspect.unwrap(one.endpoint).__module__.startswith("towpath.api.console.")
    for method in sorted((one.methods or set()) & {"GET", "POST"})
    for name in re.findall(r"{(\w+)}", one.path_format)
    if name not in PAGE_WORDS
]
"""Pages with an id in their path, once for each id."""
MAY_END = re.compile(r"^DELETE |/(merge|undo|rotate|revoke|forget|drop|purge|batch-\w+)$")
"""Names of operations that end what they are called with, or might."""
HEAD_BYTES = 4_000


@pytest.fixture(scope="module")
def both(system: EmbeddedStack, loopback: LlmServer, hook: Receiver) -> tuple[Belongings, Belongings]:
    """The organization whose ids are used, and the one that uses them."""
    return furnish(system, loopback, hook), furnish(system, loopback, hook)


def test_every_id_has_a_sample() -> None:
    class Anything(Belongings):
        def __getitem__(self, name: str) -> str:
            return name

    anything, lacking = Anything(org=None, slug=""), []  # type: ignore[arg-type]
    for place in PLACES:
        try:
            place.value(anything)
        except KeyError:
            lacking.append(place.name)
    told = "\n".join(lacking)
    assert not lacking, f"add the last word of each to SAMPLES in tests/system/api/samples.py, or to EXEMPT:\n{told}"


def test_nothing_is_exempt_that_is_no_more() -> None:
    used = {field for place in FOUND if place.exempt for field in place.field[-1:]}

    assert {field for _, field in EXEMPT} == used


def test_what_ends_something_has_its_turn() -> None:
    with_ids = {place.operation.name for place in PLACES}
    told = sorted(name for name in with_ids if MAY_END.search(name) and name not in ENDS)
    assert not told, f"add them to ENDS in tests/system/api/samples.py, before what ends what they need: {told}"
    assert set(ENDS) <= with_ids
    assert len(set(ENDS)) == len(ENDS)


def test_lists_hold_nothing_of_another_organization(both: tuple[Belongings, Belongings]) -> None:
    theirs, mine = both
    shown = []
    for operation in OPERATIONS:
        required = [one for one in operation.parameters if one.get("required")]
        if operation.method != "GET" or required:
            continue
        assert theirs.mark not in ask(mine, operation).text, operation.name
        if theirs.mark in ask(theirs, operation).text:
            shown.append(operation.name)
    # The mark is where it should be, so that it would be seen.
    assert len(shown) >= 12, shown


@pytest.mark.parametrize(("method", "path", "name"), PAGES, ids=lambda one: str(one))
def test_a_page_shows_nothing_of_another_organization(
    both: tuple[Belongings, Belongings], method: str, path: str, name: str
) -> None:
    theirs, mine = both

    def asked(foreign: str) -> httpx.Response:
        at = page_path(path, mine, theirs, foreign=foreign)
        form = {"content": "prompt=x&role=operator", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        with mine.org.http.stream(method, at, **(form if method == "POST" else {})) as answer:
            if answer.status_code != 200 or "event-stream" not in answer.headers["content-type"]:
                answer.read()
                return answer
            return httpx.Response(200)

    refused = asked(name)
    assert refused.status_code == 404, refused.text[:500]
    assert theirs.mark not in refused.text
    if method == "GET" and "{rest}" not in path and "chart" not in path:
        assert asked("").status_code != 404, path


@pytest.mark.parametrize("name", ["index", "id"])
def test_a_page_finds_no_entity_of_another_organization(both: tuple[Belongings, Belongings], name: str) -> None:
    theirs, mine = both
    query = {"index": mine["index"], "id": mine["entity"]} | {name: theirs["index" if name == "index" else "entity"]}

    answer = mine.org.http.get("/console/entities", params=query)

    assert theirs.mark not in answer.text
    assert answer.status_code in {200, 404}


@pytest.fixture(scope="module")
def refusals(system: EmbeddedStack, both: tuple[Belongings, Belongings]) -> dict[str, httpx.Response]:
    """What the one organization is answered to the other's ids, by place; nothing of the other has changed by it."""
    theirs, mine = both
    before = rows_of(system, theirs.slug)
    answers = {place.name: send(mine, place, place.value(theirs)) for place in PLACES}
    assert rows_of(system, theirs.slug) == before
    return answers


@pytest.fixture(scope="module")
def admissions(
    refusals: dict[str, httpx.Response], both: tuple[Belongings, Belongings], loopback: LlmServer
) -> dict[str, httpx.Response]:
    """What the organization itself is answered to the same requests; those that end something come last."""
    theirs, _ = both
    loopback.reset()
    answers: dict[str, httpx.Response] = {}
    ended: dict[str, httpx.Response] = {}

    turns = {name: turn for turn, name in enumerate(ENDS, 1)}
    for place in sorted(PLACES, key=lambda place: turns.get(place.operation.name, 0)):
        name = place.operation.name
        if name not in ended:
            answers[place.name] = send(theirs, place, place.value(theirs))
        if name in turns:
            # Of an operation that ends something, the first request tells.
            answers[place.name] = ended[name] = ended.get(name) or answers[place.name]
    return answers


@pytest.mark.parametrize("place", PLACES, ids=lambda one: one.name)
def test_another_organizations_id_calls_nothing(
    both: tuple[Belongings, Belongings], refusals: dict[str, httpx.Response], place: Place
) -> None:
    answer = refusals[place.name]

    assert both[0].mark not in answer.text
    if place.named:
        nobody = str(uuid4())
        unknown = send(both[1], place, nobody)
        assert (answer.status_code, unknown.status_code) == (400, 400), answer.text
        assert answer.json()["detail"] == unknown.json()["detail"].replace(nobody, place.value(both[0]))
    elif place.listed:
        assert answer.status_code == 200, answer.text
        assert is_empty(answer), answer.text
    else:
        assert answer.status_code == 404, f"{answer.status_code} {answer.text[:500]}"


@pytest.mark.parametrize("place", PLACES, ids=lambda one: one.name)
def test_the_same_id_calls_something_for_its_own(admissions: dict[str, httpx.Response], place: Place) -> None:
    answer = admissions[place.name]

    assert answer.status_code not in {401, 403, 404}, answer.text[:500]
    # A model that was asked and answers nonsense is past the look-up.
    assert answer.status_code < 500 or answer.json()["code"] == "model_refused", answer.text[:500]
    if place.listed:
        assert not is_empty(answer)


def is_empty(answer: httpx.Response) -> bool:
    """Whether an answer lists nothing."""
    if "json" not in answer.headers["content-type"] or "ndjson" in answer.headers["content-type"]:
        return not answer.text.strip()
    lists = [value for name, value in answer.json().items() if isinstance(value, list) and name != "not_found"]
    counts = [answer.json()[name] for name in ("deleted", "restored") if name in answer.json()]
    assert lists or counts, answer.text
    return not any(lists) and not any(counts)


def ask(mine: Belongings, operation: Operation) -> httpx.Response:
    sent = plain(operation, {})
    return mine.org.http.request(operation.method, sent.path, headers=sent.headers)


def send(mine: Belongings, place: Place, value: Any) -> httpx.Response:
    """Call an operation with an organization's key and ids, but with this value in one place."""
    operation = place.operation
    path, query, headers = operation.path, {}, {"Prefer": "respond-async"}
    for one in operation.parameters:
        name = one["name"]
        here = Place(operation, one["in"], (name,))
        if place.within == one["in"] and place.field == (name,):
            given = value
        elif one.get("required") or name in BESIDE:
            given = "sales" if name == "topicName" else here.value(mine)
        else:
            continue
        if one["in"] == "path":
            path = path.replace("{" + name + "}", str(given))
        elif one["in"] == "query":
            query[name] = given
        else:
            headers[name] = str(given)
    options = content(mine, place, value)
    with mine.org.http.stream(operation.method, path, params=query, headers=headers, **options) as answer:
        if "event-stream" in answer.headers.get("content-type", "") and answer.status_code == 200:
            return httpx.Response(200, text=next(answer.iter_text(HEAD_BYTES), ""))
        answer.read()
        return answer


def content(mine: Belongings, place: Place, value: Any) -> dict[str, Any]:
    """The body of a request, as httpx takes it."""
    operation = place.operation
    body = body_of(operation, mine)
    if body is None and operation.body is not None:
        body = json.loads(plain(operation, {}).body or b"null")
    if place.within == "body":
        body = changed(body, place.field, value)
    if operation.forms and (place.form or place.within != "body"):
        form = {name: one if isinstance(one, str) else json.dumps(one) for name, one in (body or {}).items()}
        return {"data": form, "files": {"file": document()}}
    if operation.forms:
        body = {"url": f"{mine.org.http.base_url.join('/docs')}", **body}
    return {} if body is None else {"json": body}


def changed(body: Any, field: tuple[str, ...], value: Any) -> Any:
    """A body with a value in one place, also in one that it has not."""
    if isinstance(body, list):
        return [changed(one, field, value) for one in body]
    if len(field) == 1:
        return {**body, field[0]: value}
    return {**body, field[0]: changed(body.get(field[0], {}), field[1:], value)}
