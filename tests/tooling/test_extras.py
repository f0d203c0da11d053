"""Without an optional part everything else is served, and who needs the part is told in one sentence which extra to install.

The parts are installed here: in a process of its own each is made to look as if it were not.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from contracts.extras import MODULES, Extra

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = frozenset().union(*MODULES.values())


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


def test_a_blocked_module_cannot_be_imported() -> None:
    done = run_without({Extra.CHARTS}, "import altair")

    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_facade_and_worker_load_nothing_optional() -> None:
    code = f"""
        import api.app, worker, cli
        api.app.create_app()
        print(sorted(set(sys.modules) & {set(OPTIONAL)!r}))
    """

    assert output(set(), code) == "[]"


def test_the_facade_serves_without_any_optional_part() -> None:
    code = """
        import asyncio, httpx
        from api.app import create_app

        async def ask():
            transport = httpx.ASGITransport(create_app())
            async with httpx.AsyncClient(transport=transport, base_url="http://facade") as http:
                return [(await http.get(path)).status_code for path in ("/openapi.json", "/login", "/nowhere")]

        print(asyncio.run(ask()))
    """

    assert output(set(Extra), code) == "[200, 200, 404]"


def test_a_worker_has_every_activity_without_any_optional_part() -> None:
    code = """
        import asyncio
        from contracts.queues import Queue
        from runtime.settings import Settings
        from stores.db import Database
        from worker import Parts

        async def count():
            settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none", encryption_keys="of-a-test")
            database = Database(settings.require_database_url(), pool_size=1)
            parts = Parts.make(database, settings)
            print(all(parts.serve(queue) for queue in Queue))
            await database.close()

        asyncio.run(count())
    """

    assert output(set(Extra), code) == "True"


def test_the_command_line_shows_its_help_without_any_optional_part() -> None:
    code = "sys.argv = ['towpath', '--help']; import cli; cli.main()"

    assert "Start the stack" in output(set(Extra), code) or "up" in output(set(Extra), code)


@pytest.mark.parametrize(
    ("call", "extra"),
    [
        ("render_png({})", "charts"),
        ("render_svg({})", "charts"),
        ("chart_spec(COLUMNS, [['a', 1], ['b', 2]], wanted=None, title=None, width=200, height=200)", "charts"),
    ],
)
def test_a_chart_names_the_extra_that_draws_it(call: str, extra: str) -> None:
    code = f"""
        from contracts.ai import ResultColumn
        from contracts.errors import MissingExtraError
        from domain.ai.charts import chart_spec, render_png, render_svg

        COLUMNS = [
            ResultColumn(name="depot", label="Depot", type="string", kind="dimension"),
            ResultColumn(name="count", label="Count", type="number", kind="measure"),
        ]
        try:
            {call}
        except MissingExtraError as error:
            print(error.status, error.code, error)
    """
    expected = "501 INTERNAL drawing a chart needs an optional part that is not installed: pip install 'towpath[charts]'"

    assert output({Extra(extra)}, code) == expected
