"""Look the pinned packages up in the advisories of PyPI, or of OSV.

    python deploy/audit.py [--service pypi|osv]

Exits with 0 only if every package of both locks was looked up and none has an advisory: `pip-audit` by itself also ends
with 0 where the index that it asks knows no package, as a mirror does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
MAX_SECONDS = 600


def main() -> int:
    """Audit both locks; the exit code."""
    asked = argparse.ArgumentParser(description="Look the pinned packages up in public advisories.")
    asked.add_argument("--service", choices=["pypi", "osv"], default="pypi")
    service = asked.parse_args().service
    return max(audit(lock, service) for lock in LOCKS)


def audit(lock: str, service: str) -> int:
    """Audit one lock, and tell.

    Returns:
        0: no advisory; 1: some; 2: it could not be found out.
    """
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / lock), "--require-hashes", "--disable-pip",
        "--vulnerability-service", service, "--format", "json", "--progress-spinner", "off",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"{lock}: the advisories of {service} did not come within {MAX_SECONDS} s", file=sys.stderr)
        return 2
    except ValueError:
        last = next(reversed(done.stderr.strip().splitlines()), "pip-audit said nothing")
        print(f"{lock}: the advisories of {service} cannot be reached: {last}", file=sys.stderr)
        return 2
    return judge(lock, packages)


def judge(lock: str, packages: list[dict[str, Any]]) -> int:
    """Tell of the packages that have advisories, and of those that nothing is known of; returns as `audit` does."""
    found = [one for one in packages if one.get("vulns")]
    for one in found:
        for advisory in one["vulns"]:
            fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
            print(f"{lock}: {one['name']} {one['version']}: {advisory['id']}, mended in {fixed}")
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    if unknown:
        print(
            f"{lock}: {len(unknown)} of {len(packages)} packages could not be looked up, so nothing is said of them: "
            f"{', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}",
            file=sys.stderr,
        )
    elif not found:
        print(f"{lock}: {len(packages)} packages, no advisory")
    return 1 if found else 2 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
