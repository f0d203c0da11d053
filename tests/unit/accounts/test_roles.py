"""Who may call what: what the routes ask for is what was reviewed."""

from __future__ import annotations

from docs.generate import COMMAND, FOLDER
from docs.permissions import collect_permissions, render_table
from tests.support.hostile import operations
from towpath.api.app import create_app
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
read     GET /v1/groups/why
read     GET /v1/groups/{groupId}
read     GET /v1/indexes
read     GET /v1/indexes/{indexName}
read     GET /v1/indexes/{indexName}/label-suggestions
read     GET /v1/indexes/{indexName}/quality
read     GET /v1/indexes/{indexName}/judgements
read     GET /v1/indexes/{indexName}/golden-rules
read     GET /v1/indexes/{indexName}/labels
read     GET /v1/indexes/{indexName}/events
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
read     GET /api/records/accuracy
read     GET /api/records/{record_id}
read     GET /api/records/{record_id}/corrections
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
read     GET /v1/files
read     GET /v1/files/{fileId}
read     GET /v1/files/{fileId}/content
read     GET /v1/batches
read     GET /v1/batches/{batchId}
read     GET /v1/jobs
read     GET /v1/jobs/{jobId}
read     GET /v1/jobs/{jobId}/failures
read     GET /v1/jobs/{jobId}/costs
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
operator POST /api/records/{record_id}/corrections
operator DELETE /api/records/{record_id}/corrections
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
operator POST /v1/files
operator DELETE /v1/files/{fileId}
operator POST /v1/batches
operator POST /v1/batches/{batchId}/cancel
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
editor   POST /v1/indexes/{indexName}/judge
editor   DELETE /v1/indexes/{indexName}/judgements
editor   POST /v1/indexes/{indexName}/labels
editor   DELETE /v1/indexes/{indexName}/labels
editor   POST /v1/groups/{groupId}/split
editor   POST /v1/groups/{groupId}/merge
editor   POST /v1/groups/{groupId}/undo
editor   POST /v1/indexes/{indexName}/tune
editor   PUT /v1/indexes/{indexName}/golden-rules
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
