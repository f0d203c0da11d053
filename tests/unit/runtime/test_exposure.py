"""What is closed to webhooks by default, and which defaults suit one person."""

from __future__ import annotations

from towpath.runtime.exposure import DEVELOPMENT, list_own_endpoints
from towpath.runtime.settings import Settings


def test_none_as_a_list_of_receivers_is_an_empty_one() -> None:
    assert Settings(webhook_allowed_hosts="none").receiver_host_list == []


def test_external_parts_are_closed_too() -> None:
    settings = Settings(
        host="0.0.0.0", port=8000, database_url="postgresql://u:p@db/towpath", temporal_address="temporal:7233",
        temporal_ui_url="https://ui.internal", chroma_url="http://chroma:8001", local_llm_url="http://llm:9/v1",
    )  # fmt: skip

    found = list_own_endpoints(settings)

    parts = {("db", 5432), ("temporal", 7233), ("chroma", 8001), ("llm", 9), ("127.0.0.1", 8000)}
    assert found >= parts


def test_the_defaults_of_one_person_are_settings() -> None:
    assert Settings.model_fields.keys() >= DEVELOPMENT.keys()
