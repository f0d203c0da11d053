"""How much of what is sent to language models their providers can have in their caches.

    python -m bench.cache

One line of JSON. A batch of 3 entities, 3 domains and 2 models with a source of 22 kB is enriched; a loopback provider
notes what it is sent. Providers read a request's tools first, then `system`, then the messages, and cache the beginning
that a request has in common with an earlier one to the same model. The same characters in the older order, entity and
domain before the sources and each domain with its own tool, are measured beside it.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import tell
from tests.support.llm_server import KEY, LlmServer, llm_server
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.features import register_features
from towpath.llm.types import ProviderConfig
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

ENTITIES = ("Orion", "Vega", "Lyra")
DOMAINS = ("history", "brand", "finance")
MODELS = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]
SOURCE_BYTES = 22_000
FIRM = {
    "root": {
        "name": "Firm",
        "type": "object",
        "description": "A firm",
        "properties": {
            "name": {"type": "string", "identifying": True},
            **{f"{name}_note": {"type": "string", "nullable": True, "expertise": name} for name in DOMAINS},
        },
    },
    "expertise_domains": {name: {"name": name.title(), "description": f"The {name} of firms"} for name in DOMAINS},
}


def rendered(body: dict[str, Any]) -> str:
    """Render a request as a provider reads it: tools, system, messages."""
    return "\n".join(json.dumps(body[name]) for name in ("tools", "system", "messages") if body.get(name))


def shared_share(bodies: Sequence[dict[str, Any]]) -> float:
    """Return the part of all characters in a beginning that an earlier request to the same model has too."""
    return _share([(body["model"], rendered(body)) for body in bodies])


def unordered_share(bodies: Sequence[dict[str, Any]]) -> float:
    """Return the same, had the entity and the domain been sent before the sources, and no tool but the call's own."""
    return _share([(body["model"], _unordered(body)) for body in bodies])


def _share(requests: Sequence[tuple[str, str]]) -> float:
    earlier: dict[str, list[str]] = {}
    shared = 0
    for model, text in requests:
        before = earlier.setdefault(model, [])
        shared += max((_common(text, other) for other in before), default=0)
        before.append(text)
    return shared / sum(len(text) for _, text in requests)


def _common(text: str, other: str) -> int:
    pairs = enumerate(zip(text, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(text), len(other)))


def _unordered(body: dict[str, Any]) -> str:
    chosen = body["tool_choice"].get("name") or body["tool_choice"]["function"]["name"]
    tool = next(tool for tool in body["tools"] if tool.get("function", tool)["name"] == chosen)
    texts = [part["text"] for part in body.get("system", [])] if isinstance(body.get("system"), list) else []
    texts += [message["content"] for message in body["messages"]]
    text = "\n".join(texts)
    rules, _, rest = text.partition("Type of entity:")
    sources = "".join(re.findall(r"Source \d+:\n<data.*?</data>\n", rest, re.DOTALL))
    question = rest.replace(sources, "") if sources else rest
    return json.dumps([tool, rules, f"Type of entity:{question}\n{sources}"])


def run_batch(towpath: Towpath, served: LlmServer) -> list[dict[str, Any]]:
    """Enrich the batch; what was sent for it."""
    text = "".join(f"Line {number} of the yearly report.\n" for number in range(SOURCE_BYTES // 32))
    files = {"files": ("report.txt", text.encode(), "text/plain")}
    source = towpath.call("POST", "/api/attachments", files=files)[0]["id"]
    body = {
        "entities": [{"name": name} for name in ENTITIES],
        "target_schema": FIRM,
        "models": MODELS,
        "strategy": "multi_expertise",
        "attachment_ids": [source],
    }
    job = towpath.call("POST", "/api/enrichment/batch/start", json=body)["job_id"]
    for event in towpath.events(job):
        last = event
    if last.type != "job.completed":
        raise RuntimeError(f"the batch ended as {last}")
    return list(served.calls)


async def run() -> None:
    """Measure and print."""
    with llm_server() as served, tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(
            home=Path(folder) / "home", port=0, ui_port=0,
            llm_providers={
                "openai": ProviderConfig(url=f"{served.url}/v1", key=KEY),
                "anthropic": ProviderConfig(url=served.url, key=KEY),
            },
        )  # fmt: skip
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            towpath = Towpath(stack.api_url, stack.api_key)
            bodies = await asyncio.to_thread(run_batch, towpath, served)
    shared, unordered = shared_share(bodies), unordered_share(bodies)
    tell(
        "characters that an earlier call has begun with too", calls=len(bodies), entities=len(ENTITIES),
        domains=len(DOMAINS), models=len(MODELS), characters=sum(len(rendered(body)) for body in bodies),
        shared=round(shared, 3), unordered=round(unordered, 3), ratio=round(shared / max(unordered, 0.001), 1),
    )  # fmt: skip


def main() -> None:
    """Entry of `python -m bench.cache`."""
    register_features()
    asyncio.run(run())


if __name__ == "__main__":
    main()
