"""URLs at rest are sealed where they may hold a secret, opened with any key, and shown without one."""

from __future__ import annotations

from uuid import uuid4

import pytest

from towpath.core.errors import UnavailableError
from towpath.db.engine import Database
from towpath.extraction.types import EXTRACTION
from towpath.jobs.store.jobs import create_job, get_job
from towpath.jobs.store.tables import JobRow
from towpath.net.urls import document_shown, show_endpoint
from towpath.secrets.service import reseal_secrets, seal_plain_urls
from towpath.secrets.urls import open_url, seal_document, seal_endpoint, seen_url, shown_url
from towpath.secrets.vault import Vault
from towpath.webhooks.store.endpoints import add_endpoint, add_job_endpoint, get_endpoint
from towpath.webhooks.types import JobEndpoint, WebhookEvent

VAULT, KEYLESS = Vault(["one"]), Vault([])
SIGNED = "https://files.example/a%20b.pdf?X-Sig=MARK&n=1"
HOOK = "https://hooks.example/services/MARK"


def test_a_signed_link_is_sealed_and_shown_without_its_signature() -> None:
    stored = seal_document(VAULT, SIGNED)

    assert "MARK" not in stored
    assert open_url(VAULT, stored) == SIGNED
    assert shown_url(stored, document_shown) == "https://files.example/a%20b.pdf?X-Sig=***&n=***"


def test_who_may_not_see_the_whole_sees_the_host_of_a_receiver() -> None:
    stored = seal_endpoint(VAULT, HOOK)

    assert "MARK" not in stored
    assert seen_url(VAULT, stored, show_endpoint, whole=True) == HOOK
    for vault, whole in ((VAULT, False), (KEYLESS, True), (Vault(["other"]), True)):
        assert seen_url(vault, stored, show_endpoint, whole=whole) == "https://hooks.example/***"
    # One that was kept before URLs were sealed.
    assert seen_url(VAULT, HOOK, show_endpoint, whole=False) == "https://hooks.example/***"


def test_without_a_key_a_url_without_a_query_is_kept_and_one_with_is_refused() -> None:
    assert seal_document(KEYLESS, "https://files.example/a.pdf") == "https://files.example/a.pdf"
    assert seal_endpoint(KEYLESS, HOOK) == HOOK
    for seal, url in ((seal_document, SIGNED), (seal_endpoint, f"{HOOK}?t=1")):
        with pytest.raises(UnavailableError, match="TOWPATH_ENCRYPTION_KEYS is not set"):
            seal(KEYLESS, url)


async def test_what_was_kept_in_clear_is_sealed_and_takes_part_in_a_change_of_key(database: Database) -> None:
    organization, old, both, new = uuid4().hex, Vault(["old"]), Vault(["new", "old"]), Vault(["new"])
    params = {"document": {"url": SIGNED, "file_name": "a b.pdf"}, "llm": "x"}
    other = {"document": {"url": None, "file_name": "b.pdf"}, "llm": "x"}
    rows = [
        JobRow(id=uuid4(), organization=organization, kind=EXTRACTION, params=given)
        for given in (params, other, {**params, "document": {"url": "https://files.example/c", "file_name": "c"}})
    ]
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, 'x')", (organization,))
        for row in rows:
            await create_job(connection, row)
        await add_job_endpoint(connection, rows[0].id, JobEndpoint(HOOK))
        clear = await add_endpoint(connection, organization, HOOK, old.seal("s"), [WebhookEvent.COMPLETE])

    assert await seal_plain_urls(database, old) == 3
    assert await seal_plain_urls(database, old) == 0
    # The receiver's secret and the three URLs.
    assert await reseal_secrets(database, both) == 4

    kept = (await get_job(database, organization, rows[0].id)).params
    assert "MARK" not in str(kept)
    assert open_url(new, kept["document"]["url"]) == SIGNED
    assert {**kept, "document": {**kept["document"], "url": SIGNED}} == params
    assert (await get_job(database, organization, rows[1].id)).params == other
    assert open_url(new, (await get_endpoint(database, organization, clear.id)).url) == HOOK
