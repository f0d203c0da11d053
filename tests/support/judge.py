"""Answers of the loopback provider to the prompts of the judge."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.llm_server import LlmServer

MODEL = "openai::gpt-4o"
Say = Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]
_PAIRS = re.compile(r"<data>\n(.*)\n</data>", re.DOTALL)


def asked_pairs(prompt: str) -> list[dict[str, Any]]:
    """The pairs of a prompt, as its JSON has them; none: it is another prompt."""
    found = _PAIRS.search(prompt)
    material = json.loads(found[1]) if found else {}
    pairs: list[dict[str, Any]] = material.get("pairs", [])
    return pairs


def all_asked(provider: LlmServer) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Both sides of every pair that was paid for, once for each time that it was."""
    return [
        (pair["left"], pair["right"])
        for (_, prompt), times in provider.paid.items()
        for pair in asked_pairs(prompt) * times
    ]


def judge_by(provider: LlmServer, say: Say) -> None:
    """Let the provider answer each pair by its two records; what `say` has no answer to is left out."""

    def answer(_model: str, prompt: str, _form: dict[str, Any]) -> dict[str, Any]:
        said = [(pair["pair"], say(pair["left"], pair["right"])) for pair in asked_pairs(prompt)]
        return {
            "answers": [
                {"pair": number, "answer": word, "reason": f"they look {word}"} for number, word in said if word
            ]
        }

    provider.whole, provider.answer = True, answer
