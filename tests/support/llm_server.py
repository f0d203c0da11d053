"""A loopback provider that speaks OpenAI's and Anthropic's wire formats, counts paid prompts, fails as it is told."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.loopback import LoopbackHandler, serving

GATE_SECONDS = 90
KEY = "sk-loopback"
TOKENS_IN, TOKENS_OUT = 100, 20


@dataclass
class Fault:
    """What the next matching call gets instead of an answer.

    `status` with `headers`; or `content`, sent as if it were the answer; or `hang` seconds; or `close` the connection.
    With a `gate` it comes when that is opened. `refusal` and `cut` are answers that are paid and of no use: the model
    declines in words, or came to the end of its room.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "as told"
    content: Any = None
    hang: float = 0.0
    close: bool = False
    match: str = ""
    refusal: str | None = None
    cut: bool = False
    gate: threading.Event | None = None


@dataclass
class LlmServer:
    """The server's state.

    Attributes:
        seconds: How long each call takes.
        faults: For the next calls; each is used once.
        away: For every call of a model, by its name, until it is taken out.
        paid: How often each prompt was answered, by model and user text.
        bill: What each answer was paid for, in the order in which they were sent: the model and its `usage`.
        cached: Of each prompt so many tokens are of the provider's cache.
        written: Of each prompt so many tokens are written to it; OpenAI's format has no word for them.
        takes: How many tokens an answer takes, thoughts included; with less room it is cut off.
        refuses: A parameter that a model does not take; OpenAI's reasoning models do not take `max_tokens`.
        largest: The largest limit of an answer that a model takes.
        answer: Overrides values: gets the model, the prompt and the form.
        whole: Whether what it gives is the whole answer.
        round: Which test it serves; a call that was left over from one before is not counted.
    """

    url: str = ""
    seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    away: dict[str, Fault] = field(default_factory=dict)
    paid: Counter[tuple[str, str]] = field(default_factory=Counter)
    bill: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    cached: int = 0
    written: int = 0
    takes: int = 0
    refuses: dict[str, str] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[str, str, dict[str, Any]], dict[str, Any] | None] = lambda _model, _prompt, _form: None
    whole: bool = False
    round: int = 0
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Forget everything, as at the start."""
        with self.lock:
            self.seconds, self.faults, self.calls, self.most_at_once = 0.0, [], [], 0
            self.away = {}
            self.paid, self.whole = Counter(), False
            self.bill, self.cached, self.written = [], 0, 0
            self.takes, self.refuses, self.largest = 0, {}, {}
            self.round += 1
            self.answer = lambda _model, _prompt, _form: None

    def fault(self, model: str, prompt: str) -> Fault:
        """The next fault for a prompt, taken from the script."""
        with self.lock:
            if model in self.away:
                return self.away[model]
            for place, one in enumerate(self.faults):
                if one.match in prompt:
                    return self.faults.pop(place)
        return Fault()

    def limit(self, body: dict[str, Any]) -> int:
        """How many tokens an answer may have."""
        return int(body.get("max_completion_tokens") or body.get("max_tokens") or 1_000_000)

    def reject(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """What the provider says of a request that it does not take, as the real ones say it."""
        refused = self.refuses.get(body["model"])
        if refused is None and re.match(r"o\d|gpt-[5-9]", body["model"]):
            refused = "max_tokens"
        if refused in body:
            other = "max_completion_tokens" if refused == "max_tokens" else "max_tokens"
            message = f"Unsupported parameter: '{refused}' is not supported with this model. Use '{other}' instead."
            return {"type": "invalid_request_error", "code": "unsupported_parameter", "message": message}
        largest = self.largest.get(body["model"])
        if largest is not None and self.limit(body) > largest:
            message = f"max_tokens is too large: {self.limit(body)}. This model supports at most {largest} completion"
            message += " tokens, whereas you provided more."
            return {"type": "invalid_request_error", "code": "invalid_value", "message": message}
        return None

    def usage(self, *, anthropic: bool) -> dict[str, Any]:
        """What an answer says that it is paid for."""
        if anthropic:
            return {
                "input_tokens": TOKENS_IN - self.cached - self.written,
                "cache_read_input_tokens": self.cached,
                "cache_creation_input_tokens": self.written,
                "output_tokens": TOKENS_OUT,
            }
        return {
            "prompt_tokens": TOKENS_IN,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens": TOKENS_OUT,
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        }

    def value(self, model: str, prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        """An answer in the form: its own, or one made from the prompt."""
        told = self.answer(model, prompt, form)
        if told is not None and self.whole:
            return told
        return {**fill(form, f"{model}\n{prompt}"), **(told or {})}


def fill(form: dict[str, Any], seed: str) -> Any:
    """A value in a form; the same seed gives the same value."""
    kinds = form.get("type", "object")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big")
    if "enum" in form:
        return form["enum"][number % len([one for one in form["enum"] if one is not None])]
    if kind == "object":
        return {name: fill(each, f"{seed}.{name}") for name, each in form.get("properties", {}).items()}
    if kind == "array":
        return [fill(form.get("items", {"type": "string"}), f"{seed}[{place}]") for place in range(2)]
    return {"integer": number % 1000, "number": number % 1000 / 10, "boolean": number % 2 == 0}.get(
        kind, f"word {number % 1000}"
    )


def _texts(messages: list[dict[str, Any]]) -> str:
    """What the user said first: repairs add messages behind it."""
    for message in messages:
        if message["role"] == "user":
            content = message["content"]
            return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return ""


class Handler(LoopbackHandler):
    """One connection."""

    served: LlmServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        served = self.served
        with served.lock:
            served.calls.append(body)
            served.at_once += 1
            served.most_at_once = max(served.most_at_once, served.at_once)
        try:
            self._answer(body)
        finally:
            with served.lock:
                served.at_once -= 1

    def _answer(self, body: dict[str, Any]) -> None:
        served = self.served
        anthropic = self.path.partition("?")[0].endswith("/messages")
        key = self.headers.get("x-api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
        if key != KEY:
            self._send(401, {}, {"error": {"type": "authentication_error", "message": "wrong key"}})
            return
        prompt, began = _texts(body["messages"]), served.round
        fault = served.fault(body["model"], prompt)
        time.sleep(served.seconds + fault.hang)
        if fault.gate is not None:
            fault.gate.wait(GATE_SECONDS)
        if fault.close:
            self.close_connection = True
            return
        if fault.status != 200:
            error = {"type": "error", "error": {"type": "api_error", "message": fault.message, "code": None}}
            self._send(fault.status, fault.headers, error)
            return
        if (rejected := served.reject(body)) is not None:
            self._send(400, {}, {"type": "error", "error": rejected})
            return
        if served.limit(body) < served.takes:
            fault = replace(fault, cut=True)
        form = _form(body)
        value = served.value(body["model"], prompt, form) if fault.content is None else fault.content
        text = value if isinstance(value, str) else json.dumps(value)
        answer = _anthropic(body, value, text, fault) if anthropic else _openai(body, text, fault)
        answer["usage"] = served.usage(anthropic=anthropic)
        with served.lock:
            if served.round == began:
                served.paid[body["model"], prompt] += 1
                served.bill.append((body["model"], answer["usage"]))
        self._send(200, {}, answer)

    def _send(self, status: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)


def _tool(body: dict[str, Any]) -> dict[str, Any] | None:
    """The tool that is to be called, as its name and its parameters' schema."""
    tools = body.get("tools")
    if not tools:
        return None
    choice = body["tool_choice"]
    listed = [tool.get("function", tool) for tool in tools]
    # Where the model may choose, it takes the first.
    name = choice.get("name") or choice.get("function", listed[0])["name"]
    chosen = next(tool for tool in listed if tool["name"] == name)
    return {"name": name, "schema": chosen.get("input_schema") or chosen["parameters"]}


def _form(body: dict[str, Any]) -> dict[str, Any]:
    if tool := _tool(body):
        form: dict[str, Any] = tool["schema"]
        return form
    asked = body.get("response_format") or {}
    if "json_schema" in asked:
        schema: dict[str, Any] = asked["json_schema"]["schema"]
        return schema
    # Asked in words: a test that needs more gives the answer itself.
    return {"type": "object", "properties": {}}


def _openai(body: dict[str, Any], text: str, fault: Fault) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if fault.refusal is not None:
        message = {"role": "assistant", "content": None, "refusal": fault.refusal}
    elif tool := _tool(body):
        function = {"name": tool["name"], "arguments": text}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "length" if fault.cut else "stop", "message": message}],
    }


def _anthropic(body: dict[str, Any], value: Any, text: str, fault: Fault) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": text if fault.refusal is None else fault.refusal}
    reason = "refusal" if fault.refusal is not None else "end_turn"
    tool = _tool(body)
    if tool and fault.refusal is None:
        reason = "tool_use"
        given = value if isinstance(value, dict) else {"broken": text}
        block = {"type": "tool_use", "id": "toolu_1", "name": tool["name"], "input": given}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block],
        "stop_reason": "max_tokens" if fault.cut else reason,
        "stop_sequence": None,
    }


@contextmanager
def llm_server() -> Iterator[LlmServer]:
    """Run one; its base URL for OpenAI's format is `url` + `/v1`, for Anthropic's `url`."""
    served = LlmServer()
    with serving(type("BoundHandler", (Handler,), {"served": served})) as served.url:
        yield served
