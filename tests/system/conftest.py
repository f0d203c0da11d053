"""The whole system, running, with a fresh organization on it; and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builders import Organization, organization, providers, small_provider
from tests.support.console.browser import browser, browser_page, new_page
from tests.support.llm_server import LlmServer
from tests.support.supervised import supervised
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

__all__ = ["browser", "browser_page", "new_page"]


@pytest.fixture(scope="session")
def system(session_home: Path, files: Path, databases: Path, loopback: LlmServer) -> Iterator[EmbeddedStack]:
    """Everything as processes: Postgres, Temporal, Chroma, one worker, one façade; tests bring their own tenant."""
    settings = Settings(
        home=session_home / "system", port=0, ui_port=0, workers=1, index_chunk=50, match_chunk=200, vector_chunk=50,
        max_json_bytes=2_000_000, max_ndjson_bytes=3_000_000, vector_max_items=400, files_root=files,
        allowed_hosts="127.0.0.1", webhook_allowed_hosts="127.0.0.1,localhost", llm_seconds=30.0,
        provider_patience_seconds=15.0,
        llm_providers={**providers(loopback.url), **small_provider(loopback.url)},
        databases_root=databases, query_seconds=5.0, ai_rate=1_000_000,
        # A minute after a test its index would be rebuilt, beside whatever test then counts rows, jobs or seconds.
        settle_seconds=0, llm_batch_first_wait=0.2,
    )  # fmt: skip
    with supervised(settings) as stack:
        yield stack


@pytest.fixture
def org(system: EmbeddedStack) -> Organization:
    """A fresh organisation on the session's system."""
    return organization(system.api_url)
