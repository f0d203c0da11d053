"""Which thing stands for each id that an operation takes; a new operation needs a line here, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.support.extraction import FIELDS, note_pdf
from tests.support.hostile import Operation, resolved
from tests.system.api.belongings import LLM, Belongings

Way = tuple[str, ...]
ID_NAME = re.compile(r"(^|_)ids?$|Ids?$|[a-z]Names?$|^name$")
ID_FIELD = re.compile(r"(^|_)ids?$|Ids?$|[a-z]Names?$")
"""Names of parameters, and of fields of bodies, that call something; besides them counts whatever is a UUID."""

SAMPLES = {
    "annotationId": "annotation", "attachment_id": "attachment", "attachment_ids": ["attachment"],
    "baseModelId": "model", "branchId": "branch", "branch_id": "branch", "classificationId": "class",
    "connectionId": "connection", "conversationId": "conversation", "deliveryId": "delivery", "duplicateId": "twin",
    "correctionId": "correction", "entityIds": ["entity"], "groupId": "group", "groupIds": ["group"],
    "otherId": "twin", "entityId": "entity", "entity_id": "record_entity", "externalId": "upsertion", "ids": ["record"],
    "indexName": "index", "jobId": "job", "job_id": "enrichment", "key_id": "key", "modelId": "model",
    "name": "model_name", "record_id": "record", "result_ids": "records", "schema_id": "schema",
    "templateId": "template", "userId": "person", "user_id": "person", "invitation_id": "invitation",
    "webhookId": "receiver", "linkId": "link", "fileId": "file", "input_file_id": "file", "batchId": "request_batch",
}  # fmt: skip
"""The thing of `belongings` that a parameter or field calls, by its name."""

SPECIAL = {
    ("GET /embeddings/deletion-tasks/info", "task_id"): "deletion",
    ("GET /embeddings/upsertion-tasks/info", "task_id"): "upsertion",
    ("PUT /embeddings/deletion-tasks/cancel", "task_id"): "deletion",
    ("PUT /embeddings/deletion-tasks/restart", "task_id"): "deletion",
    ("PUT /embeddings/upsertion-tasks/cancel", "task_id"): "upsertion",
    ("PUT /embeddings/upsertion-tasks/restart", "task_id"): "upsertion",
    ("POST /v1/models/{modelId}/merge", "modelId"): "branch",
    ("POST /v1/models/{modelId}/refresh", "modelId"): "schema_model",
    ("GET /v1/models", "baseModelId"): "model",
    ("GET /v1/webhooks/deliveries", "jobId"): "job",
}
"""The same where one operation differs."""
UNDER = {"/v1/ai/jobs": {"jobId": "question"}, "/jobs": {"jobId": "document"}, "/extract": {"jobId": "document"},
         "/annot": {"jobId": "document"}}  # fmt: skip
"""The same by the beginning of the path."""

ENDS = (
    "POST /v1/groups/{groupId}/merge",
    "POST /v1/groups/{groupId}/undo",
    "DELETE /v1/indexes/{indexName}/labels",
    "DELETE /v1/indexes/{indexName}/judgements",
    "DELETE /v1/entity",
    "DELETE /v1/indexes/{indexName}",
    "POST /api/fusion/merge",
    "DELETE /api/records/{record_id}/corrections",
    "POST /api/records/batch-delete",
    "POST /api/records/batch-restore",
    "DELETE /api/attachments/{attachment_id}",
    "DELETE /v1/files/{fileId}",
    "DELETE /api/schema/saved/{schema_id}",
    "DELETE /v1/ai/conversations/{conversationId}/links/{linkId}",
    "POST /v1/models/{modelId}/merge",
    "DELETE /v1/models/{modelId}",
    "DELETE /v1/connections/{connectionId}",
    "DELETE /templates/{templateId}",
    "POST /webhooks/{webhookId}/rotate",
    "DELETE /webhooks/{webhookId}",
    "POST /api/auth/api-keys/{key_id}/rotate",
    "DELETE /api/auth/api-keys/{key_id}",
    "DELETE /api/auth/invitations/{invitation_id}",
    "DELETE /api/auth/users/{user_id}",
)
"""Operations that end or change for good what they are called with, in the order in which all of them still have what
they need: after every other operation, and what is within a thing before the thing."""

OWN = "a name within the caller's own organization"
MADE = "names what is made"
UNUSED = "taken, and without effect"
EXEMPT = {
    ("POST /v1/indexes", "indexName"): MADE,
    ("POST /v1/models", "modelName"): MADE,
    ("POST /embeddings/*", "task_id"): MADE,
    ("POST /embeddings/*", "id"): MADE,
    ("POST /embeddings/*", "object_id"): OWN,
    ("POST /embeddings/*", "object_ids"): OWN,
    ("POST /embeddings/*", "user_id"): "a value that payloads are filtered by",
    ("POST /embeddings/*", "session_id"): UNUSED,
    ("*", "topicName"): "looked for in the model beside it",
    ("POST /v1/ai/*", "currentTopicName"): "looked for in the model beside it",
    ("POST /v1/ai/*", "potentialTopicNames"): "looked for in the model beside it",
    ("POST /api/fusion/*", "attachment_ids"): UNUSED,
    ("POST /api/schema/generate/*", "generate_semantic_ids"): UNUSED,
    ("POST /annotate", "extractId"): UNUSED,
    ("POST /annotate", "extractExampleId"): UNUSED,
    ("*", "last_event_id"): "counts the events of the job in the path",
}
"""What looks like an id and calls nothing of anybody, with the reason."""

LISTED = {
    ("GET /v1/jobs", "externalId"), ("GET /api/records", "job_id"), ("GET /api/records", "entity_id"),
    ("GET /api/records/accuracy", "schema_id"), ("GET /api/records/export", "job_id"),
    ("GET /api/records/export", "entity_id"), ("GET /jobs", "templateId"),
    ("GET /v1/ai/jobs", "conversationId"), ("GET /v1/ai/jobs", "modelId"), ("GET /v1/models", "*"),
    ("GET /v1/webhooks/deliveries", "jobId"),
    ("POST /api/records/batch-delete", "ids"), ("POST /api/records/batch-restore", "ids"),
}  # fmt: skip
"""Where an id of somebody else is answered with an empty list: a filter, or ids one by one."""
NAMED = {("POST /v1/batches", "input_file_id"), ("POST /extract*", "templateId"), ("POST /extract*", "webhookId"),
         ("POST /classification/*", "templateId"), ("POST /classification/*", "webhookId")}  # fmt: skip
"""Where an id that is not there is a fault of its field, 400, whoever else may have such a thing."""
BESIDE = frozenset({"indexName"})
"""Optional parameters that go with every request: without them another thing would be meant."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operation takes an id.

    Attributes:
        within: `path`, `query`, `header` or `body`.
        field: The parameter's name, or the way to the field.
        form: Whether the body is sent as a form.
    """

    operation: Operation
    within: str
    field: Way
    form: bool = False

    @property
    def name(self) -> str:
        """What a test's id shows."""
        return f"{self.operation.name} {'form' if self.form else self.within} {'.'.join(self.field)}"

    @property
    def key(self) -> tuple[str, str]:
        """As the tables above call it."""
        return self.operation.name, self.field[-1]

    @property
    def listed(self) -> bool:
        """Whether an id of somebody else is answered with an empty list."""
        return self.key in LISTED or (self.operation.name, "*") in LISTED

    @property
    def named(self) -> bool:
        """Whether an id that is not there is a fault of its field."""
        return self._in(NAMED)

    @property
    def exempt(self) -> bool:
        """Whether it calls nothing of anybody."""
        return self._in(EXEMPT)

    def _in(self, table: Iterable[tuple[str, str]]) -> bool:
        return any(self.field[-1] == field and fnmatchcase(self.operation.name, pattern) for pattern, field in table)

    def value(self, mine: Belongings) -> Any:
        """The sample of an organization.

        Raises:
            KeyError: There is none.
        """
        under = next((one for start, one in UNDER.items() if self.operation.path.startswith(start)), {})
        name = SPECIAL.get(self.key) or under.get(self.field[-1]) or SAMPLES[self.field[-1]]
        return [mine[one] for one in name] if isinstance(name, list) else mine[name]


def places(operation: Operation) -> Iterator[Place]:
    """Everything of an operation that looks like an id."""
    for one in operation.parameters:
        if not _choice(operation, one["schema"]) and (ID_NAME.search(one["name"]) or _uuid(operation, one["schema"])):
            yield Place(operation, one["in"], (one["name"],))
    for schema, form in ((operation.body, False), (operation.form, True)):
        for way, field in _fields(operation, schema or {}, ()):
            if ID_FIELD.search(way[-1]) or _uuid(operation, field):
                yield Place(operation, "body", way, form)


def _fields(
    operation: Operation, schema: dict[str, Any], way: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    if len(way) > 4:
        return
    known = resolved(operation.document, schema)
    if known.get("type") == "array":
        yield from _fields(operation, known.get("items", {}), way)
    for name, field in known.get("properties", {}).items():
        yield (*way, name), field
        yield from _fields(operation, field, (*way, name))


def _uuid(operation: Operation, schema: dict[str, Any]) -> bool:
    known = resolved(operation.document, schema)
    return known.get("format") == "uuid" or (known.get("type") == "array" and _uuid(operation, known.get("items", {})))


def _choice(operation: Operation, schema: dict[str, Any]) -> bool:
    return "enum" in resolved(operation.document, schema)


def body_of(operation: Operation, mine: Belongings) -> Any:
    """A valid body with ids of an organization, where the one that the document shows would not do."""
    lamp = {"models": [LLM], "schema_id": mine["schema"]}
    question = {"modelId": mine["model"], "prompt": "Where are sales late?", "llm": LLM}
    bodies: dict[str, Any] = {
        "POST /v1/entity": {"id": "new", "name": "Ada Lovelace", "city": "Porto", "born": "1990-01-01"},
        "POST /v1/entities/batch": [{"id": "new", "name": "Ada Lovelace", "city": "Porto", "born": "1990-01-01"}],
        "POST /v1/indexes/{indexName}/labels": {
            "labels": [{"entityId": mine["entity"], "duplicateId": mine["twin"], "duplicate": True}]
        },
        "POST /v1/indexes/{indexName}/judge": {"model": LLM, "maxCostUsd": 0.01},
        "POST /v1/groups/{groupId}/split": {"leave": [mine["entity"]]},
        "POST /v1/groups/{groupId}/merge": {"groupIds": [mine["group"]], "entityIds": [mine["entity"]]},
        "POST /v1/groups/{groupId}/undo": {"correctionId": mine["correction"]},
        "POST /api/single/enrich/stream": {**lamp, "entity_data": {"name": "Vega"}},
        "POST /api/single/enrich/sync": {**lamp, "entity_data": {"name": "Vega"}},
        "POST /api/single/retry-expertises/stream": {"record_id": mine["record"], "entity_data": {"name": "Vega"}},
        "POST /api/enrichment/batch/start": {**lamp, "entities": [{"name": "Vega"}]},
        "POST /api/enrichment/estimate": {**lamp, "entity_data": {"name": "Vega"}},
        "PATCH /api/auth/users/{user_id}": {"role": "operator"},
        "PATCH /api/schema/saved/{schema_id}": {"is_pinned": True},
        "POST /api/schema/saved/{schema_id}/prompt": {"prompt": "Ask for the town", "model": LLM},
        "POST /api/schema/saved/{schema_id}/prompt/stream": {"prompt": "Ask for the town", "model": LLM},
        "POST /api/records/batch-delete": {"ids": [mine["record"]]},
        "POST /api/records/batch-restore": {"ids": [mine["record"]]},
        "POST /api/fusion/merge": {"result_ids": mine["records"]},
        "POST /api/fusion/merge/stream": {"result_ids": mine["records"]},
        "POST /v1/ai/jobs": question,
        "POST /v1/ai/pick-topic": question,
        "POST /v1/ai/generate-query": question,
        "PUT /v1/connections/{connectionId}": {"name": "lamps", "kind": "duckdb", "path": "lamps.duckdb"},
        "POST /v1/models": {
            "connectionId": mine["connection"], "modelKind": "BRANCH", "baseModelId": mine["model"], "modelName": "b",
        },
        "PUT /v1/models/{modelId}/content": {"content": {"topics": {"sales": {"label": "Sales"}}}},
        "POST /jobs/{jobId}/review": {"decision": "APPROVED"},
        "POST /annotate": {"jobId": mine["document"], "annotatedData": {**FIELDS, "customer": "Orion"}},
        "PUT /templates/{templateId}": {"name": "notes"},
        "POST /api/llm/continue/{job_id}": {"answers": {}},
        "POST /api/auth/api-keys": {"name": "k"},
        "PATCH /api/auth/api-keys/{key_id}": {"name": "renamed"},
        "POST /extract": {"llm": LLM},
        "POST /extract/sync": {"llm": LLM},
        "POST /classification/{classificationId}/run": {"llm": LLM},
    }  # fmt: skip
    return bodies.get(operation.name)


def document() -> tuple[str, bytes, str]:
    """A file for a form."""
    return "note.pdf", note_pdf(1), "application/pdf"


PAGE_SAMPLES = {
    "conversation_id": "conversation", "delivery_id": "delivery", "key_id": "key", "webhook_id": "receiver",
    "user_id": "person", "invitation_id": "invitation",
}  # fmt: skip
"""The thing that an id in the path of a page calls, by its name; `page_path` knows the jobs."""
PAGE_WORDS = {"number": "1", "act": "cancel", "rest": "x"}
"""What in the path of a page calls nothing."""


def page_path(path: str, mine: Belongings, theirs: Belongings, *, foreign: str) -> str:
    """The path of a page with an organization's ids, but with another's where `foreign` says.

    Raises:
        KeyError: There is no sample for an id.
    """
    for name in re.findall(r"{(\w+)}", path):
        owner = theirs if name == foreign else mine
        if name == "job_id":
            given = owner["question" if path.startswith("/chat") else "document"]
        else:
            given = PAGE_WORDS[name] if name in PAGE_WORDS else owner[PAGE_SAMPLES[name]]
        path = path.replace("{" + name + "}", given)
    return path
