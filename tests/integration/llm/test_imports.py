"""Large libraries are imported beside the event loop: meanwhile an activity has to send heartbeats."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from towpath.core.imports import import_beside_loop

GATE = threading.Event()
WATCHED = ("instructor", "openai", "chromadb")
PROGRAM = """
import asyncio, importlib.abc, json, sys, threading

WATCHED, threads = set(sys.argv[1:]), {}

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in WATCHED:
            threads[name] = threading.current_thread() is threading.main_thread()

sys.meta_path.insert(0, Watch())

from towpath.core.errors import TowpathError
from towpath.llm import LanguageModels
from towpath.llm.types import LlmConfig, Prompt, ProviderConfig
from towpath.vectors.embedding import make_embedder
from towpath.vectors.store.index import VectorIndex
from towpath.vectors.types import EmbeddingConfig

async def nowhere():
    return "http://127.0.0.1:9"

async def main():
    assert not threads, threads
    provider = ProviderConfig(api="openai", url="http://127.0.0.1:9/v1", key="k")
    models = LanguageModels(LlmConfig(providers={"openai": provider}), nowhere)
    embedder = make_embedder(EmbeddingConfig(model="openai::x", url="http://127.0.0.1:9/v1", key="k"))
    prompt = Prompt(system="s", user="u", form={"type": "object", "properties": {}})
    for call in (embedder.embed(["x"]), models.ask("o", "openai::gpt-4o", prompt), VectorIndex(nowhere).count(1)):
        try:
            await call
        except TowpathError:
            pass

asyncio.run(main())
print(json.dumps(threads))
"""


@pytest.mark.asyncio
async def test_the_loop_runs_while_a_module_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The module's body waits for what only the loop can do.
    gate = f"import {__name__} as test\nopened = test.GATE.wait(timeout=60)\n"
    (tmp_path / "slow_to_import.py").write_text(gate)
    monkeypatch.syspath_prepend(tmp_path)

    imported = asyncio.create_task(import_beside_loop("slow_to_import"))
    await asyncio.sleep(0)
    GATE.set()
    await imported

    assert sys.modules.pop("slow_to_import").opened


def test_the_first_calls_import_no_sdk_on_the_loop() -> None:
    command = [sys.executable, "-c", PROGRAM, *WATCHED]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout

    assert json.loads(output) == dict.fromkeys(WATCHED, False)
