"""One path of each way in which a batch of requests ends, to be recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.support.batches import client_of, ended, question, start
from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer


class RequestPaths:
    """The paths, over a provider; each gives the id of its job."""

    def __init__(self, provider: LlmServer) -> None:
        self.provider = provider

    def requests_answered(self, org: Organization) -> str:
        self.provider.reset()
        client = client_of(org)
        return _job_of(ended(client, start(client, *[question(number) for number in range(50)]).id).id, org)

    def requests_refused(self, org: Organization) -> str:
        client = client_of(org)
        return _job_of(ended(client, start(client, "no json").id).id, org)

    def requests_cancelled(self, org: Organization) -> str:
        self.provider.reset()
        gate, client = threading.Event(), client_of(org)
        self.provider.faults = [Fault(gate=gate) for _ in range(50)]
        batch = start(client, *[question(number) for number in range(50)])
        ended(client, batch.id, "in_progress")
        client.batches.cancel(batch.id)
        gate.set()
        return _job_of(ended(client, batch.id).id, org)

    def all(self) -> list[Callable[[Organization], str]]:
        return [self.requests_answered, self.requests_refused, self.requests_cancelled]


def _job_of(batch_id: str, org: Organization) -> str:
    """The id of a batch's job, which has ended."""
    return str(org.until(batch_id.removeprefix("batch_"))["id"])
