"""The tables, as SQLModel sees them; `migrations/` is what makes them.

Bulk columns are packed (`bytea` of little-endian numbers, JSON text) because a chunk of
thousands of entities is written and read as a whole, and a number a row costs ten times more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, BigInteger, Column, ForeignKeyConstraint, LargeBinary, String, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from towpath.accounts.types import KeyKind, Role
from towpath.db.columns import moment, word
from towpath.jobs.types import JobKind, JobState
from towpath.vectors.types import Collection


class OrganizationRow(SQLModel, table=True):
    """A tenant; `id` is a short slug, because it is part of workflow ids that people read."""

    __tablename__ = "organizations"

    id: str = Field(primary_key=True)
    name: str
    name_key: str | None = Field(default=None, unique=True, description="the name with its case folded")
    created_at: datetime = Field(default=None, sa_column=moment(now=True))


class UserRow(SQLModel, table=True):
    """A person of one organisation; `email` is stored in its normal form.

    One who was removed stays, so that what they did can be told, and leaves their address free for another.
    """

    __tablename__ = "users"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    organization: str = Field(foreign_key="organizations.id", index=True)
    email: str
    password_hash: str
    role: Role = Field(sa_column=word(Role))
    active: bool = True
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    removed_at: datetime | None = Field(default=None, sa_column=moment(required=False))

    @property
    def may_enter(self) -> bool:
        """Whether they can sign in, and their personal keys are taken."""
        return self.active and self.removed_at is None


class SessionRow(SQLModel, table=True):
    """A sign-in of a user or with a key; without its row no token or cookie of it is taken."""

    __tablename__ = "sessions"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID | None = Field(default=None, foreign_key="users.id")
    key_id: UUID | None = Field(default=None, foreign_key="api_keys.id")
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    expires_at: datetime = Field(default=None, sa_column=moment())


class PasswordResetRow(SQLModel, table=True):
    """A user's one open reset; only its SHA-256 is kept."""

    __tablename__ = "password_resets"

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    token_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    expires_at: datetime = Field(default=None, sa_column=moment())


class ApiKeyRow(SQLModel, table=True):
    """A key; only its SHA-256 is kept."""

    __tablename__ = "api_keys"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    organization: str = Field(foreign_key="organizations.id", index=True)
    user_id: UUID | None = Field(default=None, foreign_key="users.id")
    kind: KeyKind = Field(sa_column=word(KeyKind))
    name: str
    key_prefix: str
    key_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    role: Role = Field(sa_column=word(Role))
    scopes: list[str] = Field(sa_column=Column(ARRAY(String), nullable=False))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    expires_at: datetime | None = Field(default=None, sa_column=moment(required=False))
    last_used_at: datetime | None = Field(default=None, sa_column=moment(required=False))
    revoked_at: datetime | None = Field(default=None, sa_column=moment(required=False))
    parent_id: UUID | None = Field(default=None, description="the key that made it; is revoked with it")
    use_count: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))

    @property
    def live(self) -> bool:
        """Whether it is neither revoked nor at its end."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > datetime.now(UTC))


class InvitationRow(SQLModel, table=True):
    """An owner's invitation of one address, used once; only its SHA-256 is kept."""

    __tablename__ = "invitations"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    organization: str = Field(foreign_key="organizations.id")
    email: str
    role: Role = Field(sa_column=word(Role))
    token_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    expires_at: datetime = Field(default=None, sa_column=moment())
    used_at: datetime | None = Field(default=None, sa_column=moment(required=False))
    created_by: UUID | None = Field(default=None, description="the user or key that invites")


class IdempotencyRow(SQLModel, table=True):
    """The first answer to an Idempotency-Key, kept for 24 h."""

    __tablename__ = "idempotency_keys"

    organization: str = Field(primary_key=True)
    route: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: int
    body: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))


class JobRow(SQLModel, table=True):
    """One job of any kind: the projection that lists and status are answered from."""

    __tablename__ = "jobs"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    organization: str
    kind: JobKind = Field(sa_column=word(JobKind))
    external_id: str | None = None
    state: JobState = Field(default=JobState.PENDING, sa_column=word(JobState))
    attempt: int = 1
    phase: str | None = None
    fraction: float = 0.0
    window_size: int | None = None
    params: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    digest: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    total: int = 0
    processed: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelling: bool = False
    restart_requested: bool = False
    error_code: str | None = None
    error_message: str | None = None
    result: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    warnings: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    last_seq: int = 0
    created_by: UUID | None = None
    conversation_id: UUID | None = Field(default=None, description="of which one job at a time is active")
    user_id: UUID | None = Field(default=None, description="whose job it is; none: the organization's")
    review_status: str | None = Field(default=None, description="a ReviewStatus; none: no review is wanted")
    template_id: UUID | None = None
    retrying: bool = Field(default=False, description="a step has failed and waits for its next attempt")
    retries: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False), description="those steps, by their activity"
    )
    state_changed_at: datetime = Field(default=None, sa_column=moment(now=True))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    started_at: datetime | None = Field(default=None, sa_column=moment(required=False))
    completed_at: datetime | None = Field(default=None, sa_column=moment(required=False))
    updated_at: datetime = Field(default=None, sa_column=moment(now=True))
    deadline: datetime | None = Field(default=None, sa_column=moment(required=False))


class JobEventRow(SQLModel, table=True):
    """One line of a job's stream; `key` makes an activity's retry write nothing."""

    __tablename__ = "job_events"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id")
    seq: int = Field(primary_key=True)
    key: str | None = None
    type: str
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    at: datetime = Field(default=None, sa_column=moment(now=True))


class JobPageRow(SQLModel, table=True):
    """A staged page of items, and what has become of each.

    `body` is zlib-compressed NDJSON, `uids` one int64 an item, `outcomes` one byte an item
    (`domain.jobs.Outcome`), `steps` the number of phases that the page has been through.
    """

    __tablename__ = "job_pages"

    job_id: UUID = Field(primary_key=True)
    page: int = Field(primary_key=True)
    first_index: int
    items: int
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    uids: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    outcomes: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    steps: int = 0


class JobFailureRow(SQLModel, table=True):
    """A failed item of a job."""

    __tablename__ = "job_failures"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id")
    item_index: int = Field(primary_key=True)
    item_id: str | None = None
    stage: str
    code: str
    message: str
    item: str | None = Field(default=None, sa_column=Column(Text), description="the item as it was sent")


class EntityIndexRow(SQLModel, table=True):
    """One generation of an index. A re-index builds the next generation beside the live one."""

    __tablename__ = "entity_indexes"

    index_no: int | None = Field(default=None, primary_key=True)
    organization: str
    name: str
    state: str = Field(default="live", description="live, building, dropping")
    config: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    dynamic: bool = Field(default=False, description="the `default` index: fields are added as they appear")
    model: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    model_version: int = 0
    model_entities: int = Field(default=0, description="entities stored when the model was trained")
    reindex_job: UUID | None = None
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    updated_at: datetime = Field(default=None, sa_column=moment(now=True))


class EntityIndexCountRow(SQLModel, table=True):
    """How many entities a generation holds; apart, so that counting never blocks who reads the index."""

    __tablename__ = "entity_index_counts"

    index_no: int = Field(primary_key=True)
    entities: int = 0


class EntityRow(SQLModel, table=True):
    """A stored entity. `id_json` keeps the type the id came in; `keys` are packed int64."""

    __tablename__ = "entities"

    index_no: int = Field(primary_key=True)
    uid: int = Field(sa_column=Column(BigInteger, primary_key=True))
    id_json: str
    sku: str | None = None
    body: str = Field(sa_column=Column(Text, nullable=False))
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    values: str = Field(sa_column=Column(Text, nullable=False))
    source: str | None = None
    keys: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    group_uid: int | None = Field(default=None, sa_column=Column(BigInteger))
    revision: int = Field(
        default=None, sa_column=Column(BigInteger, server_default=text("nextval('entity_revisions')"))
    )


class EntityPostingRow(SQLModel, table=True):
    """One candidate key of one entity: the inverted index."""

    __tablename__ = "entity_postings"

    index_no: int = Field(primary_key=True)
    key: int = Field(sa_column=Column(BigInteger, primary_key=True))
    uid: int = Field(sa_column=Column(BigInteger, primary_key=True))


class EntityPairRow(SQLModel, table=True):
    """A scored pair, `left_uid < right_uid`; `bits` are the packed float32 contributions by field."""

    __tablename__ = "entity_pairs"

    index_no: int = Field(primary_key=True)
    left_uid: int = Field(sa_column=Column(BigInteger, primary_key=True))
    right_uid: int = Field(sa_column=Column(BigInteger, primary_key=True))
    similarity: float
    bits: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    duplicate: bool = False
    closed: bool = Field(default=False, description="follows from the group alone; nothing is decided from it")
    model_version: int = 0


class EntityDirtyRow(SQLModel, table=True):
    """An entity whose pairs have changed since the verdicts of its component were last decided."""

    __tablename__ = "entity_dirty"

    index_no: int = Field(primary_key=True)
    uid: int = Field(sa_column=Column(BigInteger, primary_key=True))


class EntityLabelRow(SQLModel, table=True):
    """What a user says of a pair; belongs to the index's name and outlives its generations."""

    __tablename__ = "entity_labels"

    organization: str = Field(primary_key=True)
    index_name: str = Field(primary_key=True)
    left_uid: int = Field(sa_column=Column(BigInteger, primary_key=True))
    right_uid: int = Field(sa_column=Column(BigInteger, primary_key=True))
    left_id: str
    right_id: str
    duplicate: bool
    created_at: datetime = Field(default=None, sa_column=moment(now=True))


class VectorCollectionRow(SQLModel, table=True):
    """A collection of a tenant: one for each kind and embedding model.

    `collected` counts what was taken out of the index; `indexed` false: the index lacks entries.
    """

    __tablename__ = "vector_collections"

    collection_no: int | None = Field(default=None, primary_key=True)
    organization: str
    name: Collection = Field(sa_column=word(Collection))
    model: str
    objects: int = 0
    collected: int = 0
    indexed: bool = True
    created_at: datetime = Field(default=None, sa_column=moment(now=True))


class VectorObjectRow(SQLModel, table=True):
    """An object, or with `version` null the mark that it was deleted.

    `accepted` is the place in the order of acceptance of the task that wrote last; a task that was
    accepted earlier changes nothing any more. `version` names the vectors that are live.
    """

    __tablename__ = "vector_objects"

    collection_no: int = Field(primary_key=True)
    uid: int = Field(sa_column=Column(BigInteger, primary_key=True))
    object_id: str
    accepted: int = Field(sa_column=Column(BigInteger, nullable=False))
    version: int | None = Field(default=None, sa_column=Column(BigInteger))
    parts: int = 0
    digest: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    payload: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    item_info: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    updated_at: datetime = Field(default=None, sa_column=moment(now=True))


class VectorEntryRow(SQLModel, table=True):
    """A distinct vector, little-endian float32 of length 1: the truth that the vector index is built from."""

    __tablename__ = "vector_entries"

    collection_no: int = Field(primary_key=True)
    entry: int = Field(sa_column=Column(BigInteger, primary_key=True))
    vector: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class VectorPartRow(SQLModel, table=True):
    """A part of an object's text, and the vector that it has."""

    __tablename__ = "vector_parts"
    __table_args__ = (
        ForeignKeyConstraint(["collection_no", "entry"], ["vector_entries.collection_no", "vector_entries.entry"]),
    )

    collection_no: int = Field(primary_key=True)
    uid: int = Field(sa_column=Column(BigInteger, primary_key=True))
    version: int = Field(sa_column=Column(BigInteger, primary_key=True))
    part: int = Field(primary_key=True)
    entry: int = Field(sa_column=Column(BigInteger, nullable=False))


class VectorAnswerRow(SQLModel, table=True):
    """The answer to a search that has more pages: which objects in which order, as far as it is known."""

    __tablename__ = "vector_answers"

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    collection_no: int
    question: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    places: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    complete: bool
    total: int | None = Field(default=None, sa_column=Column(BigInteger))
    served: int
    revision: int = 0
    expires_at: datetime = Field(sa_column=moment())


class VectorGarbageRow(SQLModel, table=True):
    """A version that is in the vector index, or may be, and is not live: deleted once it is due."""

    __tablename__ = "vector_garbage"

    collection_no: int = Field(primary_key=True)
    uid: int = Field(sa_column=Column(BigInteger, primary_key=True))
    version: int = Field(sa_column=Column(BigInteger, primary_key=True))
    parts: int
    due_at: datetime = Field(sa_column=moment())


class SchemaRow(SQLModel, table=True):
    """A saved schema; its content is that of its newest version."""

    __tablename__ = "schemas"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    organization: str = Field(foreign_key="organizations.id")
    name: str
    version: int = 1
    tags: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(String), nullable=False))
    is_pinned: bool = False
    property_count: int = 0
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    updated_at: datetime = Field(default=None, sa_column=moment(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=moment(required=False))


class SchemaVersionRow(SQLModel, table=True):
    """What a schema was at one time."""

    __tablename__ = "schema_versions"

    schema_id: UUID = Field(primary_key=True, foreign_key="schemas.id")
    version: int = Field(primary_key=True)
    content: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    entity_samples: list[Any] | None = Field(default=None, sa_column=Column(JSON))
    note: str | None = None
    created_at: datetime = Field(default=None, sa_column=moment(now=True))


class RecordRow(SQLModel, table=True):
    """One entity's result with one model, or fused from several. The id follows from job, entity and model."""

    __tablename__ = "records"

    id: UUID = Field(primary_key=True)
    organization: str = Field(foreign_key="organizations.id")
    type: str = Field(description="enrichment or fusion")
    success: bool
    partial_success: bool = False
    job_id: UUID | None = None
    entity_index: int = 0
    entity_id: UUID
    entity_name: str
    model_composite_key: str | None = None
    schema_id: UUID | None = None
    schema_version: int | None = None
    schema_content: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    strategy: str | None = None
    languages: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(String), nullable=False))
    origin: str | None = None
    structured_output: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    entity_input_data: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    expertises: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    validation_errors: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    fusion: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    fusion_sources: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid)))
    error_code: str | None = None
    error_message: str | None = None
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    processing_time_ms: int = 0
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=moment(required=False))


class LlmAnswerRow(SQLModel, table=True):
    """A paid answer, kept before anything else is done with it; `digest` is of model, prompt and form."""

    __tablename__ = "llm_answers"

    organization: str = Field(primary_key=True)
    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    job_id: UUID
    attempt: int
    answer: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))


class OutageRow(SQLModel, table=True):
    """Since when a call of an attempt fails; `call` is a digest of what is called."""

    __tablename__ = "outages"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id")
    attempt: int = Field(primary_key=True)
    call: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    since: datetime = Field(sa_column=moment())
    tries: int = 1


class AttachmentRow(SQLModel, table=True):
    """A source file: its text, or for an image its bytes in base64."""

    __tablename__ = "attachments"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    organization: str = Field(foreign_key="organizations.id")
    filename: str
    media_type: str
    mode: str = Field(description="text or image")
    size_bytes: int
    sha256: str
    content: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
