"""URLs at rest, opened with any key."""

from __future__ import annotations

from uuid import uuid4

from towpath.db.engine import Database
from towpath.extraction.types import EXTRACTION
from towpath.jobs.store.jobs import create_job, get_job
from towpath.jobs.store.tables import JobRow
from towpath.secrets.service import reseal_secrets, seal_plain_urls
from towpath.secrets.urls import open_url
from towpath.secrets.vault import Vault
from towpath.webhooks.store.endpoints import add_endpoint, add_job_endpoint, get_endpoint
from towpath.webhooks.types import JobEndpoint, WebhookEvent

SIGNED = "https://files.example/a%20b.pdf?X-Sig=MARK&n=1"
HOOK = "https://hooks.example/services/MARK"


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
