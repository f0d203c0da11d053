"""The locks: hashed, for every Python we name, consistent, and silent about where they were made."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


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


def test_both_locks_agree() -> None:
    runtime, dev = (pins(name) for name in LOCKS)

    assert {key: version for key, version in runtime.items() if dev.get(key) != version} == {}


def test_everything_that_the_project_asks_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = {name for name, _ in pins("requirements.lock")}
    dev = {name for name, _ in pins("requirements-dev.lock")}

    def names(requirements: list[str]) -> set[str]:
        return {canonicalize_name(Requirement(each).name) for each in requirements}

    extras = project["project"]["optional-dependencies"]
    assert names(project["project"]["dependencies"]) | names(extras["demo"]) <= runtime
    assert names(project["build-system"]["requires"]) <= runtime
    assert names(extras["bench"]) | names(project["dependency-groups"]["dev"]) <= dev
