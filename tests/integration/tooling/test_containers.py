"""The scripts of the containers: valid shell, and what they do to a real Temporal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.embedded.temporal_server import SEARCH_ATTRIBUTES, find_binary

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=lambda path: path.name)
def test_every_script_is_valid_shell(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)


async def test_the_namespace_script_makes_what_the_embedded_server_has_and_can_run_twice(parts: EmbeddedStack) -> None:
    environment = {
        "PATH": f"{Path(find_binary()).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(parts.home.folder),
        "TEMPORAL_ADDRESS": parts.temporal_address,
        "TEMPORAL_NAMESPACE": "made-by-script",
        "RETENTION_DAYS": "30",
    }
    script = ["sh", str(ROOT / "deploy" / "temporal" / "namespace.sh")]

    for _ in range(2):
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    show = [find_binary(), "operator", "search-attribute", "list", "--namespace", "made-by-script"]
    shown = subprocess.run(show, env=environment, capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in SEARCH_ATTRIBUTES)
    show = [find_binary(), "operator", "namespace", "describe", "--namespace", "made-by-script"]
    assert "720h" in subprocess.run(show, env=environment, capture_output=True, text=True, check=True).stdout
