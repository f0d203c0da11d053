"""Fuzz every operation of the OpenAPI document with schemathesis, and judge what it finds.

    python -m tests.fuzz.run [--max-examples 25] [--seed 1]

Starts a stack of its own with one organization, and calls it with an admin's key: the examples of the document, every
boundary that it states, and generated data, valid and not. Exits with 1 on any finding that `explained.toml` does not
explain, among which a 500 never is; an explanation that explains nothing any more is told.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.findings import SERVER_ERROR, Explanation, Finding, explanations, findings
from tests.support.ai import make_lamps
from tests.support.builders import organization, providers, small_provider
from tests.support.llm_server import llm_server
from tests.support.supervised import supervised
from towpath.runtime.settings import Settings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MAX_SECONDS = 900
PHASES = "examples,coverage,fuzzing"
SHOWN = 400


def main() -> int:
    """Run, and tell; the exit code."""
    asked = argparse.ArgumentParser(description="Fuzz the API with schemathesis.")
    asked.add_argument("--max-examples", type=int, default=25, help="generated requests an operation (default 25)")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--report", type=Path, default=ROOT / "build" / "fuzz", help="folder of the reports")
    options = asked.parse_args()
    options.report.mkdir(parents=True, exist_ok=True)
    report = options.report / "events.ndjson"
    report.unlink(missing_ok=True)
    ended = fuzz(options.report.resolve(), report.resolve(), options.max_examples, options.seed)
    if ended not in {0, 1} or not report.exists():
        print(f"schemathesis ended with {ended} before it was through", file=sys.stderr)
        return 1
    return judge(list(findings(report)), explanations(HERE / "explained.toml"))


def fuzz(folder: Path, report: Path, examples: int, seed: int) -> int:
    """Start a stack, and schemathesis against it.

    Returns:
        How schemathesis ended; -1: not within its time.
    """
    with tempfile.TemporaryDirectory(prefix="towpath-fuzz-") as made, llm_server() as models:
        home = Path(made)
        # The unprivileged Postgres must get through.
        home.chmod(0o755)
        for name in ("files", "databases"):
            (home / name).mkdir()
        make_lamps(home / "databases" / "lamps.duckdb")
        settings = Settings(
            home=home / "system", port=0, ui_port=0, workers=1, files_root=home / "files", ai_rate=1_000_000,
            databases_root=home / "databases", llm_providers={**providers(models.url), **small_provider(models.url)},
        )  # fmt: skip
        with supervised(settings) as stack:
            tenant = organization(stack.api_url).call("GET", "/api/auth/me")["organization"]
            command = [
                sys.executable, "-m", "schemathesis.cli", "run", f"{stack.api_url}/openapi.json", "--phases", PHASES,
                "--max-examples", str(examples), "--seed", str(seed), "--generation-database", "none",
                "--continue-on-failure", "--no-shrink", "--request-timeout", "60", "--workers", "1", "--no-color",
                "--warnings", "off", "--generation-allow-x00", "false", "--output-sanitize", "false",
                "--report", "ndjson", "--report-ndjson-path", str(report),
            ]  # fmt: skip
            environment = {
                **os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
                "FUZZ_DATABASE": str(stack.database_url), "FUZZ_ORGANIZATION": tenant,
            }  # fmt: skip
            try:
                with (folder / "output.txt").open("w") as output:
                    return subprocess.run(
                        command, cwd=folder, env=environment, timeout=MAX_SECONDS, check=False, stdout=output
                    ).returncode
            except subprocess.TimeoutExpired:
                print(f"schemathesis was not through after {MAX_SECONDS} s", file=sys.stderr)
                return -1


def judge(found: list[Finding], known: list[Explanation]) -> int:
    """Print what was found by check; 1 where something is not as it should be."""
    left: list[Finding] = []
    for finding in found:
        explanation = next((one for one in known if one.covers(finding)), None)
        if explanation is None:
            left.append(finding)
        else:
            explanation.used += 1
    print(f"{len(found)} findings, {len(found) - len(left)} explained")
    by_check = Counter(one.check for one in found)
    open_by_check = Counter(one.check for one in left)
    for check in sorted({SERVER_ERROR, *by_check}):
        print(f"{check:32} {by_check[check]:5} found {open_by_check[check]:5} unexplained")
    for finding in left:
        print(
            f"\n{finding.check}: {finding.operation}\n  {finding.message[:SHOWN]}\n  sent: {finding.request[:SHOWN]}"
            f"\n  answer: {finding.answer[:SHOWN]}"
        )
    idle = [one for one in known if not one.used]
    for one in idle:
        print(f"\nexplains nothing any more: {one.check} {one.operation} {one.answer!r}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
