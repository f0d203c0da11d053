"""Without an optional part all else is served, and who needs the part is told in a sentence which extra to install.

The parts are installed here: to a process of its own each is made to look as if it were not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import packages_distributions
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.builders import Organization, organization, persons
from tests.support.extraction import note_pdf, poll, scan, send
from tests.support.supervised import supervised
from towpath.core.extras import MODULES, Extra
from towpath.llm.types import LOCAL_LLM
from towpath.runtime.embedded import EmbeddedStack, stack
from towpath.runtime.embedded.temporal_server import find_binary
from towpath.runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
OPTIONAL = frozenset[str]().union(*MODULES.values())
# What an extra brings along that is imported nowhere, or that the core has as well.
BESIDES = {"_postgresql", "onnxruntime", "pypdfium2_cfg", "pypdfium2_cli"}
RUNNER = """\
#!{python}
import os, runpy, sys

for name in {blocked}:
    sys.modules[name] = None
# Those that it starts miss the same.
sys.executable = __file__
sys.path[0] = os.getcwd()
module, *rest = [word for word in sys.argv[1:] if word not in ("-P", "-m")]
sys.argv = [module, *rest]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def sentence(purpose: str, extra: Extra) -> str:
    """What somebody is told who needs a part that is missing."""
    return f"{purpose} needs an optional part that is not installed: pip install 'towpath[{extra}]'"


def run_without(extras: set[Extra], code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process in which the modules of some extras cannot be imported."""
    blocked = sorted(module for extra in extras for module in MODULES[extra])
    start = f"import sys\nfor name in {blocked}: sys.modules[name] = None\n"
    return subprocess.run(
        [sys.executable, "-c", start + dedent(code)],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def output(extras: set[Extra], code: str, **environment: str) -> str:
    done = run_without(extras, code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("extra", Extra)
def test_the_modules_of_an_extra_are_those_of_its_packages(extra: Extra) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = {canonicalize_name(Requirement(each).name) for each in project["optional-dependencies"][extra]}
    brought = {
        module
        for module, owners in packages_distributions().items()
        if packages & {canonicalize_name(owner) for owner in owners}
    }

    assert brought - BESIDES == MODULES[extra]


def test_a_blocked_module_cannot_be_imported() -> None:
    done = run_without({Extra.CHARTS}, "import altair")

    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_facade_worker_and_command_line_load_nothing_optional() -> None:
    code = f"""
        import towpath.worker, towpath.cli
        from towpath.api.app import create_app
        create_app()
        print(sorted(set(sys.modules) & {set(OPTIONAL)!r}))
    """

    assert output(set(), code) == "[]"


def test_the_command_line_shows_its_help() -> None:
    assert "Start Postgres, Temporal with its UI" in output(
        set(Extra), "sys.argv = ['towpath', '--help']; from towpath.cli import main; main()"
    )


@pytest.mark.parametrize(
    "call",
    [
        "render_png({})",
        "render_svg({})",
        "build_chart_spec(TWO, ROWS, requested=None, title=None, width=200, height=200)",
    ],
)
def test_a_chart_names_its_extra(call: str) -> None:
    code = f"""
        from towpath.ai.types import ResultColumn
        from towpath.core.errors import MissingExtraError
        from towpath.ai.domain.charts import build_chart_spec, render_png, render_svg

        TWO = [
            ResultColumn(name="depot", label="Depot", type="string", measure=False),
            ResultColumn(name="count", label="Count", type="number", measure=True),
        ]
        ROWS = [["a", 1], ["b", 2]]
        try:
            {call}
        except MissingExtraError as error:
            print(error.status, error.code, error.retryable, error)
    """

    assert output({Extra.CHARTS}, code) == f"501 INTERNAL False {sentence('drawing a chart', Extra.CHARTS)}"


def test_a_defect_of_our_own_is_not_taken_for_a_missing_extra() -> None:
    code = """
        from towpath.core.extras import Extra, using
        with using(Extra.CHARTS, "drawing a chart"):
            import a_module_that_nobody_has
    """

    done = run_without({Extra.CHARTS}, code)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"


def test_the_stack_says_at_its_start_what_it_misses(session_home: Path) -> None:
    code = "sys.argv = ['towpath', 'up', '--port', '0']; from towpath.cli import main; main()"

    done = run_without({Extra.EMBEDDED}, code, TOWPATH_HOME=str(session_home / "bare-start"), TOWPATH_UI_PORT="0")

    assert done.returncode == 2
    missing = sentence("the embedded Postgres", Extra.EMBEDDED)
    assert done.stderr.strip() == f"towpath: {missing}; or set TOWPATH_DATABASE_URL to a Postgres of your own"


def test_the_server_of_the_embedded_model_says_what_it_misses() -> None:
    code = "sys.argv = ['llm', '--port', '0']; from towpath.runtime.embedded.llm_server import main; main()"

    done = run_without({Extra.LOCAL_LLM}, code)

    assert done.returncode == 1
    assert done.stderr.strip() == sentence("the embedded language model", Extra.LOCAL_LLM)


@pytest.fixture(scope="module")
def bare(session_home: Path) -> Iterator[EmbeddedStack]:
    """A system whose façade and worker have no optional part: their Python has none."""
    folder = session_home / "bare-python"
    folder.mkdir()
    runner = folder / "python"
    runner.write_text(RUNNER.format(python=sys.executable, blocked=sorted(OPTIONAL)))
    runner.chmod(0o755)
    # The servers are looked for beside Python.
    (folder / "temporal").symlink_to(find_binary())
    (folder / "chroma").symlink_to(Path(sys.executable).parent / "chroma")
    settings = Settings(home=session_home / "bare", port=0, ui_port=0, workers=1)
    with ExitStack() as parts, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(runner))
        patch.setattr(stack, "OURS", [str(runner), *stack.OURS[1:]])
        running = parts.enter_context(supervised(settings))
        patch.undo()
        yield running


@pytest.fixture
def org(bare: EmbeddedStack) -> Organization:
    """A fresh organization on that system."""
    return organization(bare.api_url)


def test_pages_and_jobs_need_none_of_them(bare: EmbeddedStack, org: Organization) -> None:
    assert httpx.get(f"{bare.api_url}/health").status_code == 200
    assert httpx.get(f"{bare.api_url}/sign-in").status_code == 200
    org.index()

    assert org.until(org.submit(persons(30)))["state"] == "COMPLETED"


def test_texts_and_tables_are_read_without_the_extra(org: Organization) -> None:
    read = poll(org, send(org, b"Pallets,4\nCustomer,Orion Lamps\n", name="note.csv")["jobId"])

    assert read["status"] == "COMPLETE"
    assert "Pallets" in read["result"]["ocr"]["pages"][0]["content"]


@pytest.mark.parametrize(
    ("name", "data", "purpose"),
    [
        ("note.pdf", note_pdf(), "reading a document of the kind PDF"),
        ("note.png", scan(), "reading a document of the kind PNG"),
        ("note.html", b"<p>Pallets: 4</p>", "reading HTML"),
    ],
    ids=["pdf", "png", "html"],
)
def test_a_document_that_needs_the_extra_names_it(org: Organization, name: str, data: bytes, purpose: str) -> None:
    ended = poll(org, send(org, data, name=name)["jobId"])

    assert ended["status"] == "ERROR"
    assert ended["error"] == {"code": "INTERNAL", "message": sentence(purpose, Extra.DOCUMENTS)}


def test_a_job_for_the_embedded_model_names_its_extra_at_once(org: Organization) -> None:
    schema = {"type": "object", "properties": {"mood": {"type": "string", "description": "How the writer feels"}}}

    ended = poll(org, send(org, b"A fine day at the harbour.", name="note.txt", schema=schema, llm=LOCAL_LLM)["jobId"])

    assert ended["status"] == "ERROR"
    message = sentence("the embedded language model", Extra.LOCAL_LLM)
    assert ended["error"] == {"code": "INTERNAL", "message": message}
