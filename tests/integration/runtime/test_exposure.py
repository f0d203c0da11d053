"""What `towpath up` opens: an explicit setting always holds, and beyond loopback nothing is open by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.settings import settings_for
from towpath.net.addresses import is_loopback
from towpath.runtime.embedded import EmbeddedStack, StackError
from towpath.runtime.embedded.home import Home
from towpath.runtime.exposure import WEBHOOK_HOSTS, explain_refusal, list_exposures, list_own_endpoints
from towpath.runtime.settings import Settings

EXPLICIT: dict[str, Any] = {
    "host": "127.0.0.2", "port": 18_431, "ui_port": 18_432, "temporal_port": 18_433, "postgres_port": 18_434,
    "llm_port": 18_435, "chroma_port": 18_436, "database_url": "postgresql://u:p@db:5432/towpath",
    "temporal_namespace": "own", "temporal_ui_url": "https://temporal.example.com",
    "chroma_url": "http://chroma:8000", "local_llm_url": "http://llm:9/v1", "bootstrap_key": "ent_" + "a" * 40,
    "secret": "s" * 40, "workers": 3, "queues": "engine,io", "files_root": "/srv/files", "allowed_hosts": "a.internal",
    "embedding_model": "openai::text-embedding-3-small", "embedding_url": "http://embeddings/v1", "embedding_key": "k",
    "embedding_tokens": 99, "embedding_batch": 7, "webhook_allowed_hosts": "b.internal:9001", "encryption_keys": "one",
    "chroma_token": "t", "llm_providers": {"house": {"url": "http://house/v1"}}, "databases_root": "/srv/databases",
    "extraction_model": "openai::m", "ai_model": "openai::m", "public_url": "https://towpath.example.com",
    "trusted_hosts": "towpath.internal", "cors_origins": "https://app.example.com", "log_level": "debug",
    "embedding_requests_per_minute": 600, "embedding_tokens_per_minute": 1_000_000,
    "codec_token": "c" * 40, "payload_encryption": False, "temporal_details": "full", "trusted_proxies": "10.0.0.0/8",
}  # fmt: skip
"""A value for each setting whose type alone does not give one."""
NOT_OF_CHILDREN = {
    "home": "the stack's own folder, in full",
    "temporal_address": "an external Temporal is no embedded stack; tested below",
}


def another(name: str) -> Any:
    """A value that is not the default."""
    if name in EXPLICIT:
        return EXPLICIT[name]
    field = Settings.model_fields[name]
    assert isinstance(field.default, bool | int | float), f"{name} needs a value in EXPLICIT"
    if isinstance(field.default, bool):
        return not field.default
    bounds = [bound for bound in field.metadata if getattr(bound, "le", None) == field.default]
    return field.default - 1 if bounds else field.default + 1


def environment_of(settings: Settings) -> dict[str, str]:
    """What the stack gives to its façade and its workers, before anything runs."""
    stack = EmbeddedStack(settings)
    # What `_start` finds out before the first child is started.
    stack.api_port = stack._port("port", settings.host)
    return stack._environment()


def read_back(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as a child with this environment reads them."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - NOT_OF_CHILDREN.keys()))
def test_an_explicit_setting_always_arrives(
    name: str, opposite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = Settings.model_fields[name].default
    value = (not another(name)) if opposite and isinstance(default, bool) else another(name)
    settings = settings_for(tmp_path / "home", **{name: value})

    child = read_back(environment_of(settings), monkeypatch)

    assert getattr(child, name) == getattr(settings, name)


def test_every_kept_out_setting_is_one() -> None:
    assert Settings.model_fields.keys() >= NOT_OF_CHILDREN.keys()
    assert Settings.model_fields.keys() >= EXPLICIT.keys()


def test_an_external_temporal_brings_no_development_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = EmbeddedStack(settings_for(tmp_path / "home", temporal_address="temporal.internal:7233"))

    child = read_back(stack._environment(), monkeypatch)

    assert child.temporal_address == "temporal.internal:7233"
    assert not child.open_registration
    assert child.cookie_secure


def test_on_loopback_one_person_finds_all_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = read_back(environment_of(settings_for(tmp_path / "home")), monkeypatch)

    assert (child.open_registration, child.docs_open, child.cookie_secure) == (True, True, False)
    assert child.webhook_allowed_hosts == WEBHOOK_HOSTS
    assert child.databases_root == tmp_path / "home" / "databases"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_loopback_the_safe_defaults_hold(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(tmp_path / "home", host=host, port=8000)
    stack = EmbeddedStack(settings)
    stack.api_port = 8000

    child = read_back(stack._environment(), monkeypatch)

    assert (child.open_registration, child.docs_open, child.cookie_secure) == (False, False, True)
    assert child.receiver_host_list == []
    assert any("WITHOUT TLS" in line for line in list_exposures(settings))
    assert explain_refusal(settings) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("open_registration", True),
        ("embeddings_open", True),
        ("cookie_secure", False),
        ("webhook_allowed_hosts", "*"),
        ("allowed_hosts", "a.internal, *"),
    ],
)
async def test_what_is_dangerous_beyond_loopback_must_be_said_twice(
    name: str, value: object, make_stack: Callable[..., EmbeddedStack], home: Path
) -> None:
    with pytest.raises(StackError, match=f"(?s)TOWPATH_{name.upper()}.*TOWPATH_ALLOW_INSECURE=true"):
        await make_stack(host="0.0.0.0", **{name: value}).__aenter__()

    meant = settings_for(home, host="0.0.0.0", allow_insecure=True, **{name: value})
    assert explain_refusal(meant) is None
    assert any(name.upper() in line for line in list_exposures(meant))
    assert explain_refusal(settings_for(home, **{name: value})) is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("a.localhost", True), ("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("localhost.example", False),
    ],
)  # fmt: skip
def test_what_loopback_is(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_child_knows_every_part_that_no_webhook_may_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(tmp_path / "home")
    environment = environment_of(settings)

    child = read_back(environment, monkeypatch)

    ports = {port for _, port in list_own_endpoints(child)}
    named = ("port", "ui_port", "temporal_port", "postgres_port", "llm_port", "chroma_port")
    assert ports == {int(environment[f"TOWPATH_{name.upper()}"]) for name in named}
    assert len(ports) == len(named)


def test_ports_that_are_kept_for_later_are_not_given_twice(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    first = home.port("chroma_port", 0, "127.0.0.1")

    others = {home.port(f"part-{number}", 0, "127.0.0.1") for number in range(50)}

    assert first not in others
    assert len(others) == 50
