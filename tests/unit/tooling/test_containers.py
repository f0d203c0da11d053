"""Dockerfile and docker-compose.yml, checked without Docker: against the code, the settings and the command line."""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from tests.unit.tooling.compose_model import Compose, Service
from towpath.cli import app
from towpath.core.queues import Queue
from towpath.runtime.embedded.temporal_server import DYNAMIC_CONFIG
from towpath.runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
# What only the container's own machinery reads.
OF_OTHERS = {"postgres", "temporal-schema", "temporal", "temporal-namespace", "temporal-ui", "chroma"}
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::[-?][^}]*)?\}")


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def compose(text: str) -> Compose:
    return Compose.model_validate(yaml.safe_load(text))


PROVIDER_KEYS = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY"}


def ours(compose: Compose) -> Iterator[tuple[str, Service]]:
    return ((name, service) for name, service in compose.services.items() if name not in OF_OTHERS)


def instructions(name: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions, comments gone and continued lines joined."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image": "postgres:latest"}, "names no version"),
        ({"image": "postgres"}, "names no version"),
        ({"depends_on": {"nobody": {"condition": "service_started"}}}, "which does not exist"),
        ({"comand": ["a"]}, "Extra inputs"),
        ({"volumes": ["lost:/data"]}, "not declared"),
        ({"depends_on": {"one": {"condition": "service_healthy"}}}, "has no check"),
        ({"depends_on": {"one": {"condition": "service_completed_successfully"}}}, "always started again"),
    ],
)
def test_the_model_refuses_what_compose_would_stumble_over(wrong: dict[str, object], said: str) -> None:
    service = {"image": "some:1.0", "restart": "always"} | wrong
    content = {
        "name": "probe",
        "volumes": {},
        "services": {"one": {"image": "one:1", "restart": "always"}, "two": service},
    }

    with pytest.raises(ValidationError, match=said):
        Compose.model_validate(content)


def test_every_part_is_there(compose: Compose) -> None:
    workers = {f"worker-{queue}" for queue in Queue}

    assert set(compose.services) == OF_OTHERS | workers | {"api", "migrate"}


def test_every_setting_that_compose_gives_exists(compose: Compose) -> None:
    known = {f"TOWPATH_{name.upper()}" for name in Settings.model_fields}

    for name, service in ours(compose):
        assert set(service.environment) <= known | PROVIDER_KEYS, name


@pytest.mark.parametrize("name", sorted(PROVIDER_KEYS))
def test_every_key_of_a_provider_that_compose_gives_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in PROVIDER_KEYS:
        monkeypatch.setenv(other, "")
    monkeypatch.setenv(name, "sk-given")
    provider = name.partition("_")[0].lower().replace("gemini", "google")

    assert {one for one, known in Settings().llm.providers.items() if known.key} == {provider}


def test_our_containers_start_nothing_embedded(compose: Compose) -> None:
    for name, service in ours(compose):
        assert {"TOWPATH_DATABASE_URL", "TOWPATH_TEMPORAL_ADDRESS", "TOWPATH_CHROMA_URL"} <= set(service.environment), (
            name
        )
        for url, setting in (
            (service.environment["TOWPATH_CHROMA_URL"], "://"),
            (service.environment["TOWPATH_DATABASE_URL"], "@"),
        ):
            host = str(url).rpartition(setting)[2].partition(":")[0]
            assert host in compose.services, name
        assert str(service.environment["TOWPATH_TEMPORAL_ADDRESS"]).partition(":")[0] in compose.services


def test_what_compose_gives_makes_valid_settings(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    for _, service in ours(compose):
        for name, value in service.environment.items():
            # As compose fills it in: the default after `:-`, or something that the operator set.
            filled = re.sub(
                r"\$\{[A-Z_]+(?::-([^}]*)|:\?[^}]*)?\}",
                lambda found: "5ecret" if found[1] is None else found[1],
                str(value),
            )
            monkeypatch.setenv(name, filled)
        Settings()


def test_every_command_exists_and_takes_what_it_is_given(compose: Compose) -> None:
    for name, service in ours(compose):
        program, command, *options = service.command or []
        assert program == "towpath", name
        shown = CliRunner().invoke(app, [command, "--help"])
        assert shown.exit_code == 0, name
        for option in (option for option in options if option.startswith("--")):
            assert option in shown.output, name


def test_each_worker_serves_the_queue_of_its_name_and_can_be_scaled(compose: Compose) -> None:
    for queue in Queue:
        worker = compose.services[f"worker-{queue}"]
        assert worker.command == ["towpath", "worker", "--queues", queue.value]
        # A published port would be taken by the first of them.
        assert worker.ports == []
        assert worker.stop_grace_period == "35s"


def test_nothing_runs_before_the_schema_and_the_namespace(compose: Compose) -> None:
    for name in ("api", *(f"worker-{queue}" for queue in Queue)):
        waits = {other: needed.condition for other, needed in compose.services[name].depends_on.items()}
        assert waits["migrate"] == waits["temporal-namespace"] == "service_completed_successfully", name


def test_only_the_facade_and_the_ui_are_published_and_only_on_loopback(compose: Compose) -> None:
    published = {name: service.ports for name, service in compose.services.items() if service.ports}

    assert set(published) == {"api", "temporal-ui"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_no_secret_has_a_default_and_each_is_in_the_example(text: str) -> None:
    example = (ROOT / "deploy" / "example.env").read_text()
    secrets = {name for name in VARIABLE.findall(text) if name.endswith(("PASSWORD", "KEY", "SECRET"))}

    assert secrets
    for name in secrets:
        assert f"${{{name}:-}}" in text or f"${{{name}:-" not in text
        assert re.search(rf"^#?{name}=$", example, re.MULTILINE)
    for name in VARIABLE.findall(text):
        assert re.search(rf"^#?{name}=", example, re.MULTILINE) or name == "TOWPATH_COOKIE_SECURE"


def test_every_file_that_is_mounted_exists(compose: Compose) -> None:
    for service in compose.services.values():
        for source in (volume.partition(":")[0] for volume in service.volumes):
            assert not source.startswith("./") or (ROOT / source).exists(), source


def test_the_cluster_gets_the_fairness_of_the_embedded_server() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "temporal" / "dynamicconfig.yaml").read_text())

    assert "matching.enableFairness=true" in DYNAMIC_CONFIG
    assert config == {"matching.enableFairness": [{"value": True}]}


def test_the_image_is_pinned_and_ends_as_an_ordinary_user() -> None:
    words = instructions("Dockerfile")

    images = [rest.split()[0] for word, rest in words if word == "FROM"]
    assert images
    assert all(re.fullmatch(r"python:3\.\d+-slim-[a-z]+", image) for image in images)
    assert [rest for word, rest in words if word == "USER"] == ["towpath"]
    assert [word for word, _ in words].index("USER") < [word for word, _ in words].index("HEALTHCHECK")


def test_the_image_installs_from_the_hashed_lock_alone() -> None:
    installs = [rest for word, rest in instructions("Dockerfile") if word == "RUN" and "pip install" in rest]

    assert len(installs) == 2
    assert "--require-hashes -r requirements-server.lock" in installs[0]
    assert "--no-deps --no-build-isolation" in installs[1]


def test_the_image_holds_every_room_and_starts_a_command_that_exists() -> None:
    words = instructions("Dockerfile")
    copied = {
        source.rstrip("/")
        for word, rest in words
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}

    assert rooms <= copied
    assert {"worker.py", "pyproject.toml", "requirements-server.lock"} <= copied
    assert dict(words)["CMD"] == '["towpath", "api"]'


def test_what_the_image_copies_is_not_ignored_and_nothing_private_is_sent() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source.rstrip("/")
        for word, rest in instructions("Dockerfile")
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
        if source != "./"
    }

    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert rules[0] == "*"
    assert copied == allowed
    for private in (".git", ".venv", ".env", ".towpath", "tests"):
        assert not any(fnmatch.fnmatch(private, rule) for rule in allowed)


def test_the_health_check_of_the_image_is_python_that_runs() -> None:
    check = dict(instructions("Dockerfile"))["HEALTHCHECK"]
    code = yaml.safe_load(check[check.index("[") :])[2]

    compile(code, "healthcheck", "exec")
    assert "/health" in code
    assert sys.version_info >= (3, 11)
