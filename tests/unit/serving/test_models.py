"""Which model a line asks, by the name that it gives."""

from __future__ import annotations

import pytest

from towpath.core.errors import BadInputError
from towpath.llm.catalog import Catalog
from towpath.llm.types import LlmConfig, ProviderConfig
from towpath.serving.service.asking import resolve_chat_model
from towpath.serving.types import read_window
from towpath.vectors.embedding.requests import EmbeddingRequests
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig

CATALOG = Catalog(
    LlmConfig(
        providers={
            "openai": ProviderConfig(key="k", prices="openai"),
            "google": ProviderConfig(prices="google"),
            "house": ProviderConfig(models=["own", "shared"]),
            "cellar": ProviderConfig(models=["shared"]),
        }
    )
)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("openai::gpt-4o", "openai::gpt-4o"),
        ("gpt-4o", "openai::gpt-4o"),
        ("own", "house::own"),
        ("cellar::shared", "cellar::shared"),
    ],
)
def test_a_name_is_enough_where_one_provider_has_it(name: str, key: str) -> None:
    assert resolve_chat_model(CATALOG, name) == key


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shared", "cellar::shared, house::shared"),
        ("nothing", "not available"),
        ("gemini-2.5-flash", "not available"),
        ("google::gemini-2.5-flash", "no key"),
        ("attic::m", "not known"),
        ("", "not available"),
    ],
)
def test_any_other_name_is_refused_with_the_reason(name: str, says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        resolve_chat_model(CATALOG, name)


def test_embedding_models_are_the_local_one_and_that_of_the_settings() -> None:
    remote = EmbeddingRequests(EmbeddingConfig(model="openai::text-embedding-3-small", key="k"))

    for name in (LOCAL_MODEL, "all-minilm-l6-v2"):
        assert remote.resolve(name) == LOCAL_MODEL
    assert remote.resolve("text-embedding-3-small") == "openai::text-embedding-3-small"
    with pytest.raises(BadInputError, match="not known"):
        EmbeddingRequests(EmbeddingConfig()).resolve("text-embedding-3-small")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("24h", 1440), ("1m", 1), ("90m", 90), ("7d", 10_080), ("8d", None), ("0h", None), ("24", None), ("1w", None),
     ("h", None), ("-1h", None), ("99999m", None)],
)  # fmt: skip
def test_windows_are_read_within_their_bounds(text: str, minutes: int | None) -> None:
    window = read_window(text)

    assert (None if window is None else window.total_seconds() / 60) == minutes
