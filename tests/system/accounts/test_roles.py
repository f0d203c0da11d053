"""Who may call what: what the routes ask for is what was reviewed, and every caller is answered by that.

A new operation needs one line in `REVIEWED`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx
import psycopg
import pytest

from docs.generate import COMMAND, FOLDER
from docs.permissions import Permission, collect_permissions, render_table
from tests.support.ai import person_of
from tests.support.builders import Organization, organization
from tests.support.hostile import Operation, operations, plain
from towpath.api.app import create_app
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

APP = create_app(Settings(docs_open=True))
OPERATIONS = operations(APP.openapi())
ASKED = collect_permissions(APP)
REVIEWED = """
# Nobody has a key yet, or probes that have none.
public   POST /api/auth/register
public   POST /api/auth/login
public   POST /api/auth/logout
public   POST /api/auth/password-reset
public   GET /health
public   GET /health/live
# Who one is, every caller may know.
any key  GET /api/auth/me
# Looks only, or works out something that nobody else sees.
read     GET /v1/entity
read     GET /v1/entities/batch/status
read     GET /v1/duplicates
read     GET /v1/groups
read     GET /v1/indexes
read     GET /v1/indexes/{indexName}
read     GET /embeddings/upsertion-tasks/info
read     GET /embeddings/deletion-tasks/info
read     GET /embeddings/upsertion-tasks/list
read     GET /embeddings/deletion-tasks/list
read     POST /embeddings/similarity-search
read     POST /embeddings/payload-search
read     POST /embeddings/payload-count
read     GET /api/enrichment/options
read     POST /api/enrichment/estimate
read     GET /api/enrichment/jobs
read     GET /api/enrichment/jobs/{job_id}/status
read     GET /api/llm/stream/{job_id}
read     GET /api/schema/saved
read     GET /api/schema/saved/{schema_id}
read     GET /api/schema/saved/{schema_id}/versions
read     GET /api/records
read     GET /api/records/stats
read     GET /api/records/jobs
read     GET /api/records/export
read     GET /api/records/{record_id}
read     GET /v1/ai/jobs
read     GET /v1/ai/jobs/{jobId}
read     GET /v1/ai/jobs/{jobId}/result
read     GET /v1/ai/jobs/{jobId}/vis
read     GET /v1/ai/conversations
read     GET /v1/ai/conversations/{conversationId}
read     GET /v1/ai/conversations/{conversationId}/links
read     GET /v1/connections
read     GET /v1/connections/{connectionId}
read     GET /v1/models
read     GET /v1/models/{modelId}
read     GET /v1/models/{modelId}/content
read     GET /v1/models/{modelId}/topic
read     GET /v1/models/{modelId}/topic/{topicName}
read     GET /jobs
read     GET /jobs/{jobId}
read     GET /jobs/{jobId}/review
read     GET /extract
read     GET /annotations
read     GET /templates
read     GET /templates/{templateId}
read     GET /classification/{classificationId}
read     GET /v1/jobs
read     GET /v1/jobs/{jobId}
read     GET /v1/jobs/{jobId}/failures
read     POST /v1/jobs/{jobId}/stream-token
read     GET /v1/jobs/{jobId}/events
read     GET /webhooks
read     GET /webhooks/{webhookId}
read     GET /v1/webhooks/standing-secret
read     GET /v1/webhooks/deliveries
read     GET /v1/webhooks/deliveries/{deliveryId}
read     GET /v1/limits
# Starts and steers jobs, puts data in and takes it out.
operator POST /v1/entity
operator DELETE /v1/entity
operator POST /v1/entities/batch
operator POST /v1/entities/batch/cancel
operator POST /embeddings/upsertion-tasks/run
operator POST /embeddings/upsertion-tasks/categories/run
operator POST /embeddings/deletion-tasks/run
operator POST /embeddings/deletion-tasks/categories/run
operator PUT /embeddings/upsertion-tasks/restart
operator PUT /embeddings/deletion-tasks/restart
operator PUT /embeddings/upsertion-tasks/cancel
operator PUT /embeddings/deletion-tasks/cancel
operator POST /api/single/enrich/stream
operator POST /api/single/enrich/sync
operator POST /api/single/retry-expertises/stream
operator POST /api/enrichment/batch/start
operator POST /api/enrichment/batch/fetch
operator POST /api/llm/cancel/{job_id}
operator POST /api/llm/continue/{job_id}
operator POST /api/records/batch-delete
operator POST /api/records/batch-restore
operator POST /api/fusion/merge
operator POST /api/fusion/merge/stream
operator POST /api/attachments
operator POST /api/attachments/base64
operator DELETE /api/attachments/{attachment_id}
operator POST /v1/ai/jobs
operator POST /v1/ai/jobs/{jobId}/cancel
operator POST /v1/ai/conversations/{conversationId}/link
operator DELETE /v1/ai/conversations/{conversationId}/links/{linkId}
operator POST /v1/ai/pick-topic
operator POST /v1/ai/generate-query
operator POST /jobs/{jobId}/cancel
operator POST /jobs/{jobId}/pause
operator POST /jobs/{jobId}/resume
operator POST /jobs/{jobId}/retry
operator POST /jobs/{jobId}/review
operator POST /extract
operator POST /extract/sync
operator POST /annotate
operator POST /classification/{classificationId}/run
operator POST /v1/jobs/{jobId}/pause
operator POST /v1/jobs/{jobId}/continue
operator POST /v1/jobs/{jobId}/cancel
operator POST /v1/jobs/{jobId}/restart
operator POST /v1/webhooks/deliveries/{deliveryId}/resend
# One's own: a key below one's own rights, a password, the sessions.
operator POST /api/auth/api-keys
operator DELETE /api/auth/api-keys/{key_id}
operator POST /api/auth/api-keys/{key_id}/rotate
operator POST /api/auth/password
operator POST /api/auth/logout-everywhere
# Changes what jobs of others go by: schemas, indexes, models, templates, receivers.
editor   POST /v1/indexes
editor   POST /v1/indexes/{indexName}/labels
editor   POST /v1/indexes/{indexName}/tune
editor   POST /api/schema/saved
editor   PATCH /api/schema/saved/{schema_id}
editor   DELETE /api/schema/saved/{schema_id}
editor   POST /api/schema/saved/{schema_id}/restore
editor   POST /api/schema/generate/stream
editor   POST /api/schema/generate/sync
editor   POST /api/schema/saved/{schema_id}/prompt/stream
editor   POST /api/schema/saved/{schema_id}/prompt
editor   POST /v1/connections
editor   PUT /v1/connections/{connectionId}
editor   DELETE /v1/connections/{connectionId}
editor   POST /v1/models
editor   DELETE /v1/models/{modelId}
editor   PUT /v1/models/{modelId}/content
editor   POST /v1/models/{modelId}/refresh
editor   POST /v1/models/{modelId}/merge
editor   POST /templates
editor   PUT /templates/{templateId}
editor   DELETE /templates/{templateId}
editor   POST /classification
editor   POST /webhooks
editor   DELETE /webhooks/{webhookId}
editor   POST /webhooks/{webhookId}/rotate
editor   PUT /v1/webhooks/standing-secret
editor   DELETE /v1/webhooks/standing-secret
# Keys, users, and what cannot be got back.
owner    DELETE /v1/indexes/{indexName}
owner    GET /api/auth/users
owner    PATCH /api/auth/users/{user_id}
owner    DELETE /api/auth/users/{user_id}
owner    POST /api/auth/users/{user_id}/logout
owner    POST /api/auth/users/{user_id}/password-reset
owner    GET /api/auth/invitations
owner    DELETE /api/auth/invitations/{invitation_id}
owner    POST /api/auth/invitations
owner    GET /api/auth/api-keys
owner    GET /api/auth/api-keys/{key_id}
owner    PATCH /api/auth/api-keys/{key_id}
"""
"""What each operation asks of its caller, as it was decided; the words are those of `docs.permissions`."""
BY_NAME = {line[9:]: line[:9].strip() for line in REVIEWED.strip().splitlines() if not line.startswith("#")}
OF_PERSONS = {"POST /api/auth/logout-everywhere"}
"""For keys of the organization there is nothing to do: 403, whatever their role."""
REFUSED = ("none", "garbage", "unknown", "revoked", "expired")
"""Callers who are nobody."""
ROLES = {"read-only": "read-only", "operator": "operator", "editor": "editor", "owner": "owner", "admin": "admin",
         "personal": "operator"}  # fmt: skip
"""Callers who are somebody, by what the table calls them; the personal key is an operator's."""


@dataclass
class Callers:
    """A client for each caller."""

    clients: dict[str, httpx.Client]


@pytest.fixture(scope="module")
def callers(system: EmbeddedStack) -> Callers:
    """One organization with a key of each kind."""
    org = organization(system.api_url)
    keys = {role: _key(org, role=role) for role in ("operator", "editor", "owner")}
    keys |= {"read-only": _key(org, role="owner", scopes=["read"])}
    keys |= {name: _key(org, role="owner") for name in ("admin", "revoked", "expired")}
    keys["personal"] = (person_of(org, system.api_url, role="operator")[0].key, "")
    org.call("DELETE", f"/api/auth/api-keys/{keys['revoked'][1]}", 204)
    with psycopg.connect(system.database_url, autocommit=True) as database:
        database.execute("UPDATE api_keys SET role = 'admin' WHERE id = %s", (keys["admin"][1],))
        database.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 minute' WHERE id = %s", (keys["expired"][1],)
        )
    headers = {name: {"X-API-Key": key} for name, (key, _) in keys.items()}
    headers |= {"none": {}, "garbage": {"Authorization": "Bearer x"}, "unknown": {"X-API-Key": "ent_" + "a" * 40}}
    return Callers(
        {name: httpx.Client(base_url=system.api_url, headers=sent, timeout=60) for name, sent in headers.items()}
    )


def _key(org: Organization, **body: object) -> tuple[str, str]:
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "k", **body})
    return made["key"], made["id"]


def test_every_operation_asks_for_what_was_reviewed() -> None:
    asked = {name: one.words for name, one in ASKED.items()}

    unknown = [f"{words:9}{name}" for name, words in asked.items() if name not in BY_NAME]
    assert not unknown, "new operations; once reviewed, add to REVIEWED:\n" + "\n".join(unknown)
    gone = [name for name in BY_NAME if name not in asked]
    assert not gone, f"operations that are no more; take out of REVIEWED: {gone}"
    assert asked == BY_NAME


def test_the_table_knows_the_operations_of_the_document() -> None:
    assert set(ASKED) == {one.name for one in OPERATIONS}


def test_the_page_tells_what_the_routes_ask_for() -> None:
    page = (FOLDER / "explanation" / "security.md").read_text()

    assert render_table(ASKED) in page, f"run `{COMMAND}`"


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_nobody_is_refused_everywhere(callers: Callers, name: str) -> None:
    wrong = _answers(callers.clients[name], lambda asked: {401} if asked.authenticated else None)

    assert wrong == []


@pytest.mark.parametrize("name", ROLES)
def test_who_is_somebody_may_do_what_the_table_says(callers: Callers, name: str) -> None:
    wrong = _answers(callers.clients[name], lambda asked: None if asked.allows(ROLES[name]) else {403})

    assert wrong == []


def _answers(client: httpx.Client, expected: Callable[[Permission], set[int] | None]) -> list[str]:
    """Call every operation with ids of nothing and the least of a body; the answers that are not as expected.

    Args:
        expected: The statuses that an operation must answer; None: any but 401, 403 and server errors.
    """
    wrong = []
    for operation in OPERATIONS:
        status = _status(client, operation)
        wanted = expected(ASKED[operation.name])
        if wanted is None and operation.name in OF_PERSONS:
            wanted = {403, 204}
        fits = status in wanted if wanted is not None else status not in {401, 403} and status < 500
        if not fits:
            wrong.append(f"{operation.name}: {status}, not {wanted or 'let in'}")
    return wrong


def _status(client: httpx.Client, operation: Operation) -> int:
    sent = plain(operation, {one["name"]: str(uuid4()) for one in operation.parameters if one.get("required")})
    headers = {**sent.headers, "Content-Type": "application/json"}
    body = b"{}" if operation.body is not None or operation.forms else None
    url = sent.path + (f"?{sent.query}" if sent.query else "")
    with client.stream(operation.method, url, headers=headers, content=body) as answer:
        return answer.status_code
