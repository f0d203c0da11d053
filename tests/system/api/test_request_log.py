"""The id of an error leads to its line in the log of the façade."""

from __future__ import annotations

import httpx

from tests.support.builders import Organization
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack


def test_the_id_of_an_error_is_found_in_the_log_of_the_facade(system: EmbeddedStack, org: Organization) -> None:
    log = system.home.logs / "api.log"
    missing = f"/v1/jobs/{'0' * 8}-0000-4000-8000-{'0' * 12}"

    unknown = org.call("GET", missing, 404)["request_id"]
    keyless = httpx.get(f"{system.api_url}{missing}").json()["request_id"]

    def line(number: str) -> str:
        return until(lambda: next((x for x in log.read_text().splitlines() if number in x), ""), f"line of {number}")

    assert " status=404 " in line(unknown) and f" key={org.key[:12]} " in line(unknown)
    assert " organization=" in line(unknown)
    assert " status=401 " in line(keyless) and "organization=" not in line(keyless)
    assert org.key not in log.read_text()
