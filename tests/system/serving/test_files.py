"""Files of OpenAI's API, through the official client."""

from __future__ import annotations

import time
from typing import Any

import openai
import psycopg
import pytest
from openai import OpenAI

from tests.support.batches import client_of, jsonl, question, upload
from tests.support.builders import Organization, organization
from towpath.runtime.embedded import EmbeddedStack

DAY = 86_400


@pytest.fixture
def client(org: Organization) -> OpenAI:
    return client_of(org)


def test_a_file_is_kept_shown_read_and_deleted(system: EmbeddedStack, client: OpenAI) -> None:
    data = jsonl(*[question(number) for number in range(2_000)])

    made = client.files.create(file=("Anfragen ü.jsonl", data), purpose="batch")

    assert made.object == "file" and made.id.startswith("file-") and made.purpose == "batch"
    assert made.bytes == len(data) and made.filename == "Anfragen ü.jsonl" and made.status == "processed"
    assert abs(made.created_at - time.time()) < 60
    assert made.expires_at == made.created_at + 30 * DAY
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == data
    gone = client.files.delete(made.id)
    assert gone.deleted and gone.id == made.id and gone.object == "file"
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as error:
            call(made.id)
        assert error.value.code == "not_found" and error.value.type == "invalid_request_error"
    with psycopg.connect(system.database_url) as database:
        key = bytes.fromhex(made.id.removeprefix("file-"))
        assert database.execute("SELECT count(*) FROM blobs WHERE sha256 = %s", (key,)).fetchone() == (0,)


def test_equal_files_are_deleted_one_by_one(client: OpenAI) -> None:
    first, second = upload(client, question(1)), upload(client, question(1))

    client.files.delete(first)

    assert client.files.content(second).read() == jsonl(question(1))


def test_files_are_listed_by_time_page_by_page(client: OpenAI) -> None:
    ids = [upload(client, question(number), name=f"{number}.jsonl") for number in range(5)]

    assert [one.id for one in client.files.list()] == ids[::-1]
    assert [one.id for one in client.files.list(order="asc", limit=2)] == ids
    page = client.files.list(order="asc", limit=2)
    assert [one.id for one in page.data] == ids[:2] and page.has_more
    assert [one.id for one in client.files.list(after=ids[1], limit=10)] == ids[:1]
    assert [one.id for one in client.files.list(purpose="batch")] == ids[::-1]
    assert not list(client.files.list(purpose="batch_output"))
    with pytest.raises(openai.BadRequestError) as error:
        client.files.list(limit=0)
    assert error.value.param == "limit"


def test_bad_files_are_refused_with_the_field(org: Organization, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    assert error.value.param == "purpose" and "batch" in error.value.message
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.files.create(file=("a.jsonl", b""), purpose="batch")
    with pytest.raises(openai.BadRequestError) as error:
        client.files.create(
            file=("a.jsonl", b"{}"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 60}
        )
    assert "seconds" in str(error.value.param)
    forms: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"purpose": "batch"}, {}, "file"),
        ({}, {"file": b"{}"}, "purpose"),
        ({"purpose": "batch", "surprise": "1"}, {"file": b"{}"}, "surprise"),
    ]
    for data, files, field in forms:
        answer = org.http.post("/v1/files", data=data, files=files or {"other": b"x"})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] in {field, "other"}, answer.text
    bare = org.http.post("/v1/files", headers={"Idempotency-Key": "bare"})
    assert bare.status_code == 400 and bare.json()["error"]["param"] == "file"
    assert not client.files.list().data


def test_a_file_expires_when_its_upload_says_so(system: EmbeddedStack, client: OpenAI) -> None:
    made = client.files.create(
        file=("a.jsonl", jsonl(question(1))), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == made.created_at + 3600

    with psycopg.connect(system.database_url) as database:
        row = made.id.removeprefix("file-")
        database.execute("UPDATE served_files SET expires_at = now() WHERE id = %s", (row,))

    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    assert not client.files.list().data


def test_only_the_own_organization_sees_a_file(system: EmbeddedStack, client: OpenAI) -> None:
    file = upload(client, question(1))
    other = client_of(organization(system.api_url))

    for call in (other.files.retrieve, other.files.content, other.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(file)
    assert not other.files.list().data
    with pytest.raises(openai.NotFoundError):
        other.files.list(after=file)
    assert client.files.retrieve(file).id == file


def test_a_repeat_of_an_upload_stores_no_second_file(org: Organization, client: OpenAI) -> None:
    headers = {"Idempotency-Key": "once"}
    form = {"data": {"purpose": "batch"}, "headers": headers}

    first = org.call("POST", "/v1/files", files={"file": ("a.jsonl", b"{}\n")}, **form)
    again = org.call("POST", "/v1/files", files={"file": ("a.jsonl", b"{}\n")}, **form)

    assert first == again and len(client.files.list().data) == 1
    other = org.http.post("/v1/files", files={"file": ("a.jsonl", b"[]\n")}, **form)
    assert other.status_code == 422
