"""Every setting, from the environment; `towpath settings` prints them with their meaning."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from towpath.accounts.limits import LimitName
from towpath.core.queues import read_queues
from towpath.documents.types import ReadLimits
from towpath.llm.limiter.types import Budget
from towpath.llm.types import LOCAL_LLM, LOCAL_PROVIDER, LlmConfig, OutputMode, ProviderConfig, WireFormat, split_key
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig

NO_HOST = "none"


class Settings(BaseSettings):
    """What a process of Towpath can be told; each is the environment variable `TOWPATH_` + its name."""

    model_config = SettingsConfigDict(env_prefix="TOWPATH_", extra="ignore", env_ignore_empty=True)

    home: Path = Field(default=Path(".towpath"), description="Folder of the embedded stack.")
    host: str = Field(default="127.0.0.1", description="Address that the façade listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port of the façade; 0: any free port.")
    ui_port: int = Field(
        default=8233, ge=0, le=65535, description="Port of the embedded Temporal UI; 0: any free port."
    )
    temporal_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the embedded Temporal server; 0: any free port."
    )
    postgres_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the embedded Postgres; 0: any free port."
    )
    llm_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the embedded language model; 0: any free port."
    )
    chroma_port: int = Field(default=0, ge=0, le=65535, description="Port of the embedded Chroma; 0: any free port.")

    database_url: str | None = Field(
        default=None, description="URL of an external Postgres, used instead of the embedded one."
    )
    temporal_address: str | None = Field(default=None, description="Address of an external Temporal, host:port.")
    temporal_namespace: str = Field(default="default", description="The Temporal namespace.")
    temporal_ui_url: str | None = Field(default=None, description="Base URL of links into the Temporal UI.")
    chroma_url: str | None = Field(default=None, description="URL of an external Chroma.")

    local_llm_url: str | None = Field(
        default=None, description="OpenAI base URL of an external server for the embedded language model."
    )

    bootstrap_key: str | None = Field(default=None, description="The first API key; by default one is generated.")
    secret: str | None = Field(default=None, description="Signs sign-in tokens; the embedded stack generates one.")
    open_registration: bool = Field(default=False, description="Whether anybody may register an organization.")
    docs_open: bool = Field(default=False, description="Whether /docs can be read without a key.")
    embeddings_open: bool = Field(default=False, description="Whether the embeddings API can be used without a key.")
    cookie_secure: bool = Field(default=True, description="Whether the session cookie requires HTTPS.")

    trusted_proxies: str = Field(
        default="",
        description="Comma-separated addresses or networks of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto are trusted; * for any.",
    )
    allow_insecure: bool = Field(
        default=False, description="Whether `towpath up` starts with dangerous settings where others can reach it."
    )

    workers: int = Field(default=2, ge=1, le=64, description="Number of worker processes of the embedded stack.")
    queues: str = Field(default="engine,compute,llm,io", description="Task queues that a worker serves.")
    window: int = Field(default=6, ge=1, le=200, description="Maximum number of chunks of a job in flight.")
    index_chunk: Annotated[int, Field(ge=1, le=20_000)] = Field(
        default=4000, description="Entities per staged page, the unit of indexing and matching."
    )
    match_chunk: Annotated[int, Field(ge=1, le=50_000)] = Field(
        default=4000, description="Entities per share when a whole index is matched again."
    )
    match_memory_mb: int = Field(default=1024, ge=1, description="Maximum memory of a worker's candidate index, in MB.")
    settle_seconds: int = Field(
        default=60,
        ge=0,
        description="How long an index that has changed must be left alone to be trained and matched anew; 0: never.",
    )
    embedding_model: str = Field(
        default=LOCAL_MODEL, description="The embedding model: the local one, or openai::<model>."
    )
    embedding_url: str | None = Field(default=None, description="Base URL of an OpenAI-compatible embeddings API.")
    embedding_key: str | None = Field(default=None, repr=False, description="API key of that API.")
    embedding_tokens: Annotated[int, Field(ge=16, le=8192)] | None = Field(
        default=None, description="Maximum tokens per part; by default as many as the model accepts."
    )
    embedding_overlap: int = Field(
        default=32, ge=0, le=1024, description="Tokens that a part shares with the previous one."
    )
    embedding_batch: Annotated[int, Field(ge=1, le=2048)] | None = Field(
        default=None, description="Texts per call of the embedding model."
    )
    embedding_requests_per_minute: int | None = Field(
        default=None,
        ge=1,
        description="Requests per minute to the embeddings API, of all workers; by default learned from what it"
        " refuses. With the key and address of the provider openai its limits apply.",
    )
    embedding_tokens_per_minute: int | None = Field(
        default=None,
        ge=1,
        description="Tokens per minute with the embeddings API, of all workers; by default any number.",
    )
    embedding_threads: int = Field(default=1, ge=1, le=64, description="Threads of the local model per process.")
    vector_chunk: int = Field(default=256, ge=1, le=5000, description="Items per staged page of a task.")
    vector_max_items: int = Field(default=100_000, ge=1, description="Maximum number of items in a task.")
    vector_max_bytes: int = Field(default=64 << 20, ge=1, description="Maximum body size of a task.")
    vector_exact: int = Field(
        default=2_000,
        ge=0,
        le=100_000,
        description="Up to this many vectors are compared one by one, without the index.",
    )
    files_root: Path | None = Field(
        default=None,
        description="Folder with a subfolder for each organization, in which its items may name files; by "
        "default no files.",
    )
    source_max_bytes: int = Field(default=32 << 20, ge=1, description="Maximum size of a file that an item names.")
    source_seconds: float = Field(default=30.0, gt=0, description="Maximum time to fetch such a file.")
    allowed_hosts: str = Field(
        default="", description="Comma-separated hosts that may be private or loopback: host, host:port or *."
    )
    webhook_allowed_hosts: str = Field(
        default="",
        description="Comma-separated hosts that webhooks may be sent to although they are private: host, "
        "host:port or *. The embedded stack allows port 9000 of this machine.",
    )
    encryption_keys: str | None = Field(
        default=None,
        repr=False,
        description="Comma-separated passphrases for stored secrets, newest first; the same for all processes.",
    )
    payload_encryption: bool | None = Field(
        default=None,
        description="Whether what Temporal stores is encrypted with them; by default if there are any.",
    )
    codec_token: Annotated[str, Field(min_length=32, pattern=r"^[A-Za-z0-9_-]+$")] | None = Field(
        default=None,
        repr=False,
        description="Lets the Temporal UI decrypt: its codec endpoint is /codec/<token>; the embedded stack "
        "generates one.",
    )
    temporal_details: Literal["names", "full"] = Field(
        default="names",
        description="What the Temporal UI shows of a job. names: names of indexes, schemas and models, ids "
        "and counts; full: also questions, file names and messages.",
    )
    chroma_token: str | None = Field(default=None, repr=False, description="Sent to Chroma as x-chroma-token.")
    llm_providers: dict[str, ProviderConfig] = Field(
        default={},
        repr=False,
        description="Language model providers as JSON, by name: "
        '{"house": {"url": "http://host/v1", "key": "...", "api": "openai", "models": ["m"]}}; '
        "openai, anthropic, google, deepseek, ollama and local are known and can be changed.",
    )
    llm_repairs: int = Field(
        default=2, ge=0, le=5, description="How often a malformed answer is sent back to the model."
    )
    llm_seconds: float = Field(default=120.0, gt=0, description="Maximum time of one call of a language model.")
    provider_patience_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How long a job waits for a provider that does not respond: a language model, an "
        "embedding endpoint, a database, the server of a document.",
    )
    llm_concurrency: int = Field(
        default=32, ge=1, description="Concurrent requests to a provider with one key, of all workers together."
    )
    llm_slots: int = Field(
        default=8, ge=1, le=200, description="Pages of entities that a worker process works on at once."
    )
    llm_batch_calls: int = Field(
        default=50_000, ge=1, description="Calls in one batch of a provider at most; more go in several."
    )
    llm_batch_first_wait: float = Field(default=15.0, gt=0, description="Seconds before the first look at a batch.")
    llm_batch_longest_wait: float = Field(
        default=300.0, gt=0, description="Seconds between two looks at a batch; the first waits are shorter."
    )
    llm_batch_live_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="This long before its deadline a job stops waiting for batches, and asks live for what is missing.",
    )
    llm_batch_grace_seconds: float = Field(
        default=90.0,
        ge=0,
        description="How long a request that creates a batch can still reach the provider after its worker was lost; "
        "a batch that is not found is not sent again before. A request takes up to 60 s.",
    )
    llm_cache_days: int = Field(default=30, ge=1, description="How long a language model's answers are kept.")
    enrichment_chunk: int = Field(default=10, ge=1, le=200, description="Entities per staged page of an enrichment.")
    enrichment_max_bytes: int = Field(default=64 << 20, ge=1, description="Maximum body size of an enrichment.")
    attachment_max_bytes: int = Field(default=20 << 20, ge=1, description="Maximum size of an attachment.")
    served_file_max_bytes: int = Field(
        default=200 << 20, ge=1, description="Maximum size of a file of requests that is uploaded for a batch."
    )
    served_max_requests: int = Field(default=50_000, ge=1, description="Maximum number of requests in such a file.")
    served_request_max_bytes: int = Field(default=8 << 20, ge=1, description="Maximum size of one of these requests.")
    served_chunk: int = Field(
        default=20, ge=1, le=500, description="Requests of a batch that a worker process asks side by side."
    )
    databases_root: Path | None = Field(
        default=None,
        description="Folder with a subfolder for each organization, the only one its DuckDB files may be in; "
        "by default no such files.",
    )
    query_seconds: float = Field(default=30.0, gt=0, le=600, description="Maximum time of one query of a database.")
    document_max_bytes: int = Field(default=200 << 20, ge=1, description="Maximum size of a document.")
    document_max_pages: int = Field(default=2000, ge=1, description="Maximum number of pages of a document.")
    document_seconds: float = Field(default=120.0, gt=0, description="Maximum time to fetch a document.")
    page_seconds: float = Field(default=60.0, gt=0, description="Maximum time to read one page.")
    extraction_chunk: int = Field(default=40, ge=1, le=500, description="Pages per share, the unit of reading.")
    extraction_model: str = Field(
        default="auto", description="Language model of extractions; auto: the same as for AI jobs."
    )
    ai_model: str = Field(
        default="auto", description="Language model of AI jobs; auto: a cheap one that has a key, else the local one."
    )
    ai_rate: int = Field(default=60, ge=1, description="Requests of the AI API per minute and key.")
    ai_result_days: int = Field(default=14, ge=1, description="How long the result of an AI job can be read.")
    public_url: str | None = Field(
        default=None,
        description="Address at which people reach the façade, for links to its pages; by default that of the "
        "request, if its host is trusted.",
    )
    trusted_hosts: str = Field(
        default="",
        description="Comma-separated hosts that links may use besides loopback and TOWPATH_HOST: host or "
        "host:port. A request with any other Host gets links to the machine's own address.",
    )
    cors_origins: str = Field(
        default="",
        description="Comma-separated origins whose scripts may call the API, such as https://app.example.com; * for"
        " all. Never with cookies.",
    )
    fetch_max_bytes: int = Field(
        default=50 << 20, ge=1, description="Maximum size of a list of entities read from a URL."
    )
    worker_pool_size: int = Field(default=8, ge=2, description="Database connections per worker.")
    statement_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Maximum time of one statement of the façade in Towpath's database."
    )
    api_pool_size: int = Field(default=20, ge=4, description="Database connections per façade.")
    uploads: int = Field(
        default=8, ge=1, description="Large uploads that a façade reads at once; at most half of its connections."
    )
    uploads_per_organization: int = Field(default=4, ge=1, description="How many of these one organization may use.")
    upload_wait_seconds: float = Field(
        default=10.0, gt=0, description="How long an upload waits for a slot before it is refused."
    )
    limit_requests: int = Field(
        default=30_000, ge=0, description="Requests of an organization per minute; 0: unlimited."
    )
    limit_jobs: int = Field(default=5_000, ge=0, description="Jobs of an organization in flight; 0: unlimited.")
    limit_bytes: int = Field(default=100 << 30, ge=0, description="Bytes that an organization may store; 0: unlimited.")
    limit_streams: int = Field(default=200, ge=0, description="Open event streams of an organization; 0: unlimited.")
    limit_llm_requests: int = Field(
        default=0, ge=0, description="Requests of an organization per minute to each model provider; 0: unlimited."
    )
    limit_llm_tokens: int = Field(
        default=0, ge=0, description="Tokens of an organization per minute with each model provider; 0: unlimited."
    )
    limit_llm_calls: int = Field(
        default=0, ge=0, description="Concurrent requests of an organization to each model provider; 0: unlimited."
    )
    batch_sync_limit: int = Field(default=100, ge=0, description="Batches up to this size are answered immediately.")
    cancel_wait_seconds: float = Field(
        default=5.0, ge=0, description="How long a request to cancel waits for the job to end."
    )
    max_body_bytes: int = Field(
        default=4 << 20, ge=1 << 10, description="Maximum body size of a request for which no other setting applies."
    )
    max_json_bytes: int = Field(default=256 << 20, ge=1, description="Maximum JSON body size of a batch of entities.")
    max_ndjson_bytes: int = Field(default=1 << 30, ge=1, description="Maximum NDJSON body size of a batch of entities.")
    upload_min_rate: int = Field(
        default=1024, ge=0, description="Minimum bytes per second of a body after the grace period; 0: no minimum."
    )
    upload_grace_seconds: float = Field(
        default=20.0, gt=0, description="Grace period before the minimum rate applies to a body."
    )
    upload_seconds: float = Field(default=3600.0, gt=0, description="Maximum time to receive a body.")
    retry_days: float = Field(
        default=3.0,
        gt=0,
        description="How long a step of a job is retried before it counts as failed.",
    )
    retention_days: int = Field(default=30, ge=1, description="How long finished jobs remain readable.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    request_log: bool = Field(default=True, description="Whether the façade logs a line per request.")
    log_bytes: int = Field(
        default=16 << 20,
        ge=1 << 12,
        description="Maximum size of a log file of the embedded stack; one older file is kept.",
    )

    @field_validator("queues")
    @classmethod
    def _known_queues(cls, names: str) -> str:
        return ",".join(read_queues(names))

    @field_validator("public_url")
    @classmethod
    def _known_base(cls, url: str | None) -> str | None:
        """A base that links can begin with."""
        if url is not None and not _is_base(url):
            raise ValueError("must be http://host or https://host, with a port and a path at most")
        return url

    @field_validator("cors_origins")
    @classmethod
    def _known_origins(cls, text: str) -> str:
        for origin in _listed(text):
            if origin != "*" and not (_is_base(origin) and not urlsplit(origin).path and origin == origin.lower()):
                raise ValueError(
                    f"{origin!r} is no origin: http:// or https://, a host in small letters, a port, nothing after it"
                )
        return text

    @field_validator("database_url")
    @classmethod
    def _known_scheme(cls, url: str | None) -> str | None:
        """Every spelling of a Postgres URL becomes the one that psycopg takes."""
        if url is None:
            return None
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
            raise ValueError("must begin with postgresql://")
        return f"postgresql://{rest}"

    @property
    def full_details(self) -> bool:
        """Whether `temporal_details` is `full`."""
        return self.temporal_details == "full"

    @property
    def allowed_host_list(self) -> list[str]:
        """`allowed_hosts`, taken apart."""
        return _listed(self.allowed_hosts)

    @property
    def read_limits(self) -> ReadLimits:
        """What reading one document may take."""
        return ReadLimits(
            most_bytes=self.document_max_bytes, most_pages=self.document_max_pages, seconds_a_page=self.page_seconds
        )

    @property
    def receiver_host_list(self) -> list[str]:
        """`webhook_allowed_hosts`, taken apart."""
        return [host for host in _listed(self.webhook_allowed_hosts) if host.lower() != NO_HOST]

    @property
    def trusted_host_list(self) -> list[str]:
        """`trusted_hosts`, taken apart."""
        return [host.lower() for host in _listed(self.trusted_hosts)]

    @property
    def cors_origin_list(self) -> list[str]:
        """`cors_origins`, taken apart."""
        return _listed(self.cors_origins)

    @property
    def encryption_key_list(self) -> list[str]:
        """`encryption_keys`, taken apart."""
        return _listed(self.encryption_keys or "")

    @property
    def embedding(self) -> EmbeddingConfig:
        """The embedding model; under the same key and address as the provider `openai` it shares that one's limits."""
        key, openai = self.embedding_key or os.environ.get("OPENAI_API_KEY") or None, self.llm.providers["openai"]
        is_shared = key == openai.key and (self.embedding_url or None) == (openai.url or None)
        return EmbeddingConfig(
            provider="openai" if is_shared else "embeddings",
            budget=Budget(
                requests=openai.requests_per_minute if is_shared else self.embedding_requests_per_minute,
                tokens=openai.tokens_per_minute if is_shared else self.embedding_tokens_per_minute,
                calls=(openai.concurrency if is_shared else None) or self.llm_concurrency,
            ),
            model=self.embedding_model,
            url=self.embedding_url,
            key=key,
            part_tokens=self.embedding_tokens,
            overlap=self.embedding_overlap,
            batch=self.embedding_batch,
            threads=self.embedding_threads,
        )

    @property
    def llm(self) -> LlmConfig:
        """The providers of language models: those that are known, changed or joined by `llm_providers`."""
        environment = os.environ
        known = {
            "openai": ProviderConfig(key=environment.get("OPENAI_API_KEY") or None, prices="openai", batches=True),
            "anthropic": ProviderConfig(
                api=WireFormat.ANTHROPIC,
                key=environment.get("ANTHROPIC_API_KEY") or None,
                prices="anthropic",
                batches=True,
            ),
            "google": ProviderConfig(
                url="https://generativelanguage.googleapis.com/v1beta/openai/",
                key=environment.get("GEMINI_API_KEY") or environment.get("GOOGLE_API_KEY") or None,
                prices="google",
            ),
            "deepseek": ProviderConfig(
                url="https://api.deepseek.com/v1", key=environment.get("DEEPSEEK_API_KEY") or None, prices="deepseek"
            ),
        }
        if host := environment.get("OLLAMA_HOST"):
            base = host if "://" in host else f"http://{host}"
            known["ollama"] = ProviderConfig(url=f"{base.rstrip('/')}/v1", mode=OutputMode.JSON_SCHEMA)
        local = ProviderConfig(mode=OutputMode.JSON_SCHEMA, small=True, models=[split_key(LOCAL_LLM)[1]], concurrency=2)
        known[LOCAL_PROVIDER] = local
        for name, changed in self.llm_providers.items():
            changes = changed.model_dump(exclude_unset=True)
            known[name] = known[name].model_copy(update=changes) if name in known else changed
        return LlmConfig(
            providers=known,
            repairs=self.llm_repairs,
            seconds=self.llm_seconds,
            concurrency=self.llm_concurrency,
            batch_calls=self.llm_batch_calls,
            batch_first_wait=self.llm_batch_first_wait,
            batch_longest_wait=self.llm_batch_longest_wait,
            batch_live_seconds=self.llm_batch_live_seconds,
            batch_grace_seconds=self.llm_batch_grace_seconds,
        )

    def require_database_url(self) -> str:
        """Return the database to use.

        Raises:
            ValueError: None is set; the embedded stack sets it for its children.
        """
        if self.database_url is None:
            raise ValueError("TOWPATH_DATABASE_URL is not set; `towpath up` starts a database of its own")
        return self.database_url

    @property
    def default_limits(self) -> dict[LimitName, int]:
        """Return the limits of organizations that have none of their own; 0: none."""
        return {
            LimitName.REQUESTS: self.limit_requests,
            LimitName.AI_REQUESTS: self.ai_rate,
            LimitName.JOBS: self.limit_jobs,
            LimitName.BYTES: self.limit_bytes,
            LimitName.STREAMS: self.limit_streams,
            LimitName.LLM_REQUESTS: self.limit_llm_requests,
            LimitName.LLM_TOKENS: self.limit_llm_tokens,
            LimitName.LLM_CALLS: self.limit_llm_calls,
        }


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()


def _listed(text: str) -> list[str]:
    """Return what a comma-separated setting lists."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and plain


def child_environment(**values: str | int | Path | dict[str, ProviderConfig] | None) -> dict[str, str]:
    """This process's environment with settings for a child: `TOWPATH_` is put before each name."""
    added = {f"TOWPATH_{name.upper()}": _text(value) for name, value in values.items() if value is not None}
    return {**os.environ, **added}


def _text(value: str | int | Path | dict[str, ProviderConfig]) -> str:
    if isinstance(value, dict):
        return json.dumps({name: part.model_dump(mode="json", exclude_unset=True) for name, part in value.items()})
    return str(value)
