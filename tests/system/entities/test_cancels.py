"""A cancel is a wish in the job's row: it holds although the call that tells the workflow comes late, or never."""

from __future__ import annotations

import psycopg

from tests.support.builders import Organization, persons
from tests.support.extraction import SCHEMA, note_pdf, poll, send
from tests.support.reconciling import until_reconciled
from towpath.runtime.embedded import EmbeddedStack

# What a facade has committed when it dies before it tells the workflow.
WISH = "UPDATE jobs SET cancelling = true, updated_at = now() - interval '1 minute' WHERE id = %s"


def wish(system: EmbeddedStack, job: str) -> None:
    with psycopg.connect(system.database_url) as database:
        database.execute(WISH, (job,))


def test_a_chunk_that_meets_the_wish_first_ends_the_job_as_cancelled(org: Organization, system: EmbeddedStack) -> None:
    org.index()
    job = org.submit(persons(900))
    wish(system, job)
    found = org.until(job)

    assert (found["state"], found["error"]["code"]) == ("CANCELLED", "CANCELLED")


def test_a_wish_that_never_reached_the_workflow_is_told_by_the_reconciler(
    org: Organization, system: EmbeddedStack
) -> None:
    """The job is held for a person, so that no chunk of it can meet the wish."""
    job = send(org, note_pdf(), schema=SCHEMA, holdForReview=True)["jobId"]
    poll(org, job, "PAUSED")
    wish(system, job)

    ended = until_reconciled(
        system, lambda: (found := org.job(job))["state"] == "CANCELLED" and found, "end of the job"
    )
    assert ended["error"]["code"] == "CANCELLED"
