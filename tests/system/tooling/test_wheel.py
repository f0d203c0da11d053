"""The wheel beside strangers: one name of its own, and our processes wherever somebody stands when they start it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.builders import Organization, organization, persons
from tests.support.extraction import poll, send
from tests.support.waiting import until
from towpath.runtime.embedded.home import Home

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 180
ENDED_SECONDS = 60
# Folders of a checkout that are no part of the source.
OURS = ("api", "activities", "workflows", "towpath")
# A module of a stranger that leaves a trace when it is imported or run.
TRACE = "from pathlib import Path\nPath({trace!r}).open('a').write(__name__ + '\\n')\nVERSION = 'theirs'\n"


@dataclass(frozen=True)
class Installed:
    """The wheel in a folder of its own, with a stranger's package beside it.

    Attributes:
        wheel: The file.
        site: Where it is installed.
        trace: What the stranger's modules write to.
    """

    wheel: Path
    site: Path
    trace: Path

    @property
    def environment(self) -> dict[str, str]:
        """Without the checkout on the path."""
        return {**os.environ, "PYTHONPATH": str(self.site)}

    def strangers(self, folder: Path) -> Path:
        """A project of somebody else, with the commonest names there are."""
        for name in ("worker.py", "cli.py", "api/__init__.py", "api/app.py", "domain/__init__.py"):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(TRACE.format(trace=str(self.trace)))
        return folder


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(session_home: Path) -> Installed:
    """Built from a copy, for a build leaves things behind; the stranger comes last, as who overwrites does."""
    source, site = session_home / "source", session_home / "site"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in OURS:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(session_home / "wheels"), str(source))
    (wheel,) = (session_home / "wheels").glob("*.whl")
    pip("install", "--no-deps", "--target", str(site), str(wheel))
    made = Installed(wheel, site, session_home / "strangers-trace")
    made.strangers(site)
    return made


def test_the_wheel_has_one_name_and_everything_that_is_no_code(installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())

    (notes,) = {name.partition("/")[0] for name in names} - {"towpath"}
    assert notes.startswith("towpath-") and notes.endswith(".dist-info")
    assert zipfile.ZipFile(installed.wheel).read(f"{notes}/top_level.txt").split() == [b"towpath"]
    data = [path for folder in OURS for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in data:
        if path.suffix not in {".pyc"}:
            inside = path.relative_to(ROOT).as_posix()
            assert (inside if inside.startswith("towpath/") else f"towpath/{inside}") in names, inside


def test_a_strangers_package_beside_it_changes_nothing(installed: Installed, tmp_path: Path) -> None:
    code = (
        "import api, worker, towpath, towpath.worker; from towpath.api.app import create_app; "
        "print(api.VERSION, worker.VERSION, towpath.__file__, len(create_app().routes) > 20)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=installed.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["theirs", "theirs", str(installed.site / "towpath" / "__init__.py"), "True"]


@pytest.fixture(scope="module")
def running(installed: Installed, session_home: Path) -> Iterator[str]:
    """`towpath up` from a stranger's folder; gives the URL of the façade."""
    installed.trace.unlink(missing_ok=True)
    folder = installed.strangers(session_home / "project")
    zeros = {f"TOWPATH_{name}": "0" for name in ("PORT", "UI_PORT", "TEMPORAL_PORT", "POSTGRES_PORT", "CHROMA_PORT")}
    home = session_home / "wheel-home"
    environment = installed.environment | zeros | {"TOWPATH_HOME": str(home), "TOWPATH_WORKERS": "1"}
    with (session_home / "up.log").open("w+") as log:
        process = subprocess.Popen(
            [str(installed.site / "bin" / "towpath"), "up"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:

            def answers() -> str | None:
                assert process.poll() is None, (session_home / "up.log").read_text()
                url = str(Home(home).published().get("api") or "") if home.exists() else ""
                try:
                    return url if url and httpx.get(f"{url}/health", timeout=5).status_code == 200 else None
                except httpx.TransportError:
                    return None

            yield until(answers, "façade of the wheel", seconds=START_SECONDS)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(ENDED_SECONDS)


@pytest.fixture
def org(running: str) -> Organization:
    return organization(running)


def test_the_stack_of_the_wheel_is_ours_in_a_strangers_folder(installed: Installed, org: Organization) -> None:
    org.index()

    assert org.until(org.submit(persons(30)))["state"] == "COMPLETED"
    assert not installed.trace.exists(), installed.trace.read_text()


def test_a_document_is_read_by_our_process_there(installed: Installed, org: Organization) -> None:
    read = poll(org, send(org, b"Pallets: 4\n", name="note.txt")["jobId"])

    assert read["status"] == "COMPLETE", read
    assert read["result"]["ocr"]["pages"][0]["content"] == "Pallets: 4"
    assert not installed.trace.exists(), installed.trace.read_text()
