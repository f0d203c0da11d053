"""The façade with its pages, over a real database and Temporal; no worker: a test moves jobs through the store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tests.support.builders import Organization, organization, providers
from tests.support.llm_server import LlmServer
from tests.support.serving import served
from towpath.ai.databases.types import DatabaseConfig
from towpath.ai.store.connections import add_connection, seal_config
from towpath.ai.store.jobs import create_ai_job, save_action
from towpath.ai.store.models import add_model
from towpath.ai.store.tables import ConnectionRow, ModelRow
from towpath.ai.types import AI_JOB, AiParams, ConversationBase, ModelKind, StoredAction
from towpath.api.app import create_app
from towpath.api.http.auth import sign_chat_link
from towpath.api.http.state import AppState
from towpath.db.engine import Database
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import Finish, JobError, JobRef, JobState
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings
from towpath.secrets.vault import Vault

PASSWORD = "correct horse battery"
SECRETS = "a passphrase"
MODEL = {"views": {"shipments": {"table": "shipments", "measures": {"count": {"aggregate": "count"}}}}}
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Site:
    """A running façade."""

    app: FastAPI
    url: str

    @property
    def state(self) -> AppState:
        return cast(AppState, self.app.state.towpath)

    def browser(self) -> httpx.Client:
        """A client with cookies of its own, that is led where it is sent only when asked."""
        return httpx.Client(base_url=self.url, timeout=30)

    def organization(self) -> Organization:
        """A fresh organization with an owner's key."""
        return organization(self.url)


@contextmanager
def site(parts: EmbeddedStack, database_url: str, loopback: LlmServer, **changes: Any) -> Iterator[Site]:
    """Serve the façade with its pages; `changes` are further settings."""
    settings = Settings(
        home=parts.home.folder, database_url=database_url, temporal_address=parts.temporal_address, secret="s" * 40,
        cookie_secure=False, open_registration=True, encryption_keys=SECRETS, ai_model="openai::gpt-4o",
        llm_providers=providers(loopback.url), **changes,
    )  # fmt: skip
    app = create_app(settings)
    with served(app) as url:
        yield Site(app, url)


@pytest.fixture(scope="module")
def running_site(parts: EmbeddedStack, database_url: str, loopback: LlmServer) -> Iterator[Site]:
    """One site for a module."""
    with site(parts, database_url, loopback) as started:
        yield started


def who(org: Organization) -> str:
    """An organization's id."""
    return str(org.call("GET", "/api/auth/me")["organization"])


def user(org: Organization, role: str = "operator") -> tuple[str, UUID]:
    """A user of the organization who may sign in: the address, and the id."""
    email = f"{uuid4().hex}@example.com"
    invitation = org.call("POST", "/api/auth/invitations", 201, json={"email": email, "role": role})["invitation"]
    body = {"email": email, "password": PASSWORD, "organization": "ignored", "invitation": invitation}
    made = httpx.post(f"{org.http.base_url}/api/auth/register", json=body)
    assert made.status_code == 201, made.text
    return email, UUID(made.json()["id"])


def sign_in(browser: httpx.Client, expect: int = 303, **form: str) -> httpx.Response:
    """Send the sign-in form."""
    answer = browser.post("/sign-in", data=form)
    assert answer.status_code == expect, answer.text
    return answer


def by_key(running: Site, org: Organization) -> httpx.Client:
    """A browser that is signed in with an organization's key."""
    browser = running.browser()
    sign_in(browser, key=org.key)
    return browser


def reading(running: Site, org: Organization) -> httpx.Client:
    """A browser that is signed in with a key that only reads."""
    made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "reads", "scopes": ["read"]})
    browser = running.browser()
    sign_in(browser, key=made["key"])
    return browser


def as_operator(running: Site, org: Organization) -> httpx.Client:
    """A browser in which an operator is signed in."""
    browser = running.browser()
    sign_in(browser, email=user(org)[0], password=PASSWORD)
    return browser


def csrf_of(page: httpx.Response) -> str:
    """What the forms of a page carry."""
    found = CSRF.search(page.text)
    assert found is not None, page.text
    return found.group(1)


def link_token(site: Site, tenant: str, thread: UUID, *, write: bool) -> str:
    """The token of a link to a thread."""
    link = uuid4()
    with psycopg.connect(site.state.settings.require_database_url()) as connection:
        connection.execute(
            "INSERT INTO chat_links (id, organization, conversation_id, write, expires_at)"
            " VALUES (%s, %s, %s, %s, now() + interval '1 day')",
            (link, tenant, thread, write),
        )
    return sign_chat_link(site.state, tenant, thread, link, write=write)


async def make_model(database: Database, tenant: str) -> UUID:
    """A model that questions can be asked of."""
    config = DatabaseConfig.model_validate({"kind": "duckdb", "path": "lamps.duckdb"})
    connection = ConnectionRow(
        organization=tenant, name="lamps", kind="duckdb", config=seal_config(Vault([SECRETS]), config)
    )
    await add_connection(database, connection)
    content = MODEL | {"topics": {"shipments": {"base_view": "shipments"}}}
    row = ModelRow(
        organization=tenant, connection_id=connection.id, name="Logistics", kind=ModelKind.SHARED, content=content
    )
    return (await add_model(database, row)).id


async def make_question(
    database: Database,
    tenant: str,
    *,
    user_id: UUID | None = None,
    thread: UUID | None = None,
    prompt: str = "How many?",
) -> tuple[UUID, JobRef]:
    """A question that waits for a worker: its thread, and its run."""
    thread_id, model = thread or uuid4(), await make_model(database, tenant)
    head = ConversationBase(
        id=thread_id, organization=tenant, user_id=user_id, model_id=model, name=prompt[:80], last_prompt=prompt
    )
    params = AiParams(prompt=prompt, llm="openai::gpt-4o", model_id=model, conversation_id=thread_id)
    job = JobRow(
        id=uuid4(), organization=tenant, kind=AI_JOB, params=params.model_dump(mode="json"),
        conversation_id=thread_id, user_id=user_id,
    )  # fmt: skip
    async with database.transaction() as connection:
        await create_ai_job(connection, job, head)
    return thread_id, JobRef(organization=tenant, kind=AI_JOB, job_id=job.id)


async def begin(database: Database, ref: JobRef) -> None:
    """A worker takes the question."""
    await job_store.begin_job(database, ref)


async def keep(database: Database, ref: JobRef, action: StoredAction, *, answer: str | None = None) -> None:
    """A worker has finished an iteration; with an answer, the last one."""
    async with database.transaction() as connection:
        await save_action(connection, ref, action, topic=action.topic, summary=answer)


async def end(database: Database, ref: JobRef, error: JobError | None = None) -> None:
    """The question is answered, or has failed."""
    state: Any = JobState.COMPLETED if error is None else JobState.FAILED
    await finish_job(database, Finish(ref=ref, state=state, error=error))


async def make_answered(
    database: Database, tenant: str, action: StoredAction, answer: str, **more: Any
) -> tuple[UUID, JobRef]:
    """A question with its answer."""
    thread, ref = await make_question(database, tenant, **more)
    await begin(database, ref)
    await keep(database, ref, action, answer=answer)
    await end(database, ref)
    return thread, ref
