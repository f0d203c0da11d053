"""One path of each workflow of documents, to be recorded."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.builders import Organization
from tests.support.extraction import SCHEMA, note_pdf, poll, send
from tests.support.llm_server import Fault, LlmServer
from tests.support.receiver import receiver
from tests.system.extraction.test_extract import ANSWER, LLM, says


class DocumentPaths:
    """The paths, over a provider; each gives the id of its job."""

    def __init__(self, provider: LlmServer) -> None:
        self.provider = provider

    def document_read(self, org: Organization) -> str:
        self.provider.reset()
        says(self.provider, ANSWER)
        job = str(send(org, note_pdf(30), schema=SCHEMA, llm=LLM)["jobId"])
        poll(org, job)
        return job

    def document_held(self, org: Organization) -> str:
        self.provider.reset()
        says(self.provider, ANSWER)
        with receiver() as hook:
            job = str(send(org, note_pdf(), schema=SCHEMA, llm=LLM, holdForReview=True, webhookUrl=hook.url)["jobId"])
            poll(org, job, "PAUSED")
            hook.wait("/", 1)
            org.call("POST", f"/jobs/{job}/review", json={"decision": "APPROVED"})
            poll(org, job)
            hook.wait("/", 2)
        return job

    def document_rejected(self, org: Organization) -> str:
        self.provider.reset()
        says(self.provider, ANSWER)
        job = str(send(org, note_pdf(), schema=SCHEMA, llm=LLM, holdForReview=True)["jobId"])
        poll(org, job, "PAUSED")
        org.call("POST", f"/jobs/{job}/review", json={"decision": "REJECTED"})
        poll(org, job)
        return job

    def document_retried(self, org: Organization) -> str:
        self.provider.reset()
        says(self.provider, ANSWER)
        self.provider.faults = [Fault(status=400)]
        job = str(send(org, note_pdf(3), schema=SCHEMA, llm=LLM)["jobId"])
        poll(org, job)
        org.call("POST", f"/jobs/{job}/retry")
        poll(org, job)
        return job

    def classified(self, org: Organization) -> str:
        self.provider.reset()
        options = [{"name": "delivery note"}, {"name": "invoice"}]
        made = org.call("POST", "/classification", 201, json={"name": "papers", "options": options})["id"]
        job = str(send(org, note_pdf(), path=f"/classification/{made}/run", llm=LLM)["jobId"])
        org.until(job)
        return job

    def all(self) -> list[Callable[[Organization], str]]:
        """Every path, in the order of their recording."""
        return [
            self.document_read, self.document_held, self.document_rejected, self.document_retried, self.classified,
        ]  # fmt: skip
