"""How a prompt is sent: in the order in which providers cache.

Each provider reads a request as one text, the tools first, and caches its beginning as far as an earlier request had
the same. OpenAI, Google and DeepSeek do so by themselves; Anthropic up to a mark, if there is one.
"""

from __future__ import annotations

from typing import Any

from towpath.llm.types import MIN_CACHED_CHARACTERS, OutputMode, Prompt, WireFormat

TOOL = "Answer"
TOOL_DESCRIPTION = "The answer in the asked form."
CACHED = {"cache_control": {"type": "ephemeral"}}
"""The mark for Anthropic: what stands up to here is cached for some minutes."""


def build_messages(prompt: Prompt, api: WireFormat) -> list[dict[str, Any]]:
    """Build the messages of a prompt: what it shares with others first."""
    if api is WireFormat.ANTHROPIC:
        return _for_anthropic(prompt)
    user: Any = prompt.user
    if prompt.images:
        urls = [f"data:{image.media_type};base64,{image.base64}" for image in prompt.images]
        user = _around_images(prompt, [{"type": "image_url", "image_url": {"url": url}} for url in urls])
    return [{"role": "system", "content": prompt.system}, {"role": "user", "content": user}]


def _for_anthropic(prompt: Prompt) -> list[dict[str, Any]]:
    sources = [{"type": "base64", "media_type": image.media_type, "data": image.base64} for image in prompt.images]
    images = [{"type": "image", "source": source} for source in sources]
    if not is_cacheable(prompt):
        content: Any = _around_images(prompt, images) if images else prompt.user
        return [{"role": "system", "content": prompt.system}, {"role": "user", "content": content}]
    # Another tool is asked for by some of the calls, which ends what Anthropic caches of messages, but not of `system`.
    system = {"type": "text", "text": f"{prompt.system}\n\n{prompt.user[: prompt.stable]}", **CACHED}
    rest = prompt.user[prompt.stable :]
    if images:
        images[-1] |= CACHED
        return [
            {"role": "system", "content": [system]},
            {"role": "user", "content": [*images, {"type": "text", "text": rest}]},
        ]
    return [{"role": "system", "content": [system]}, {"role": "user", "content": rest}]


def _around_images(prompt: Prompt, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the user's text with the images behind its stable part; all of it first where it has none."""
    texts = [prompt.user[: prompt.stable], prompt.user[prompt.stable :]] if prompt.stable else [prompt.user]
    pieces = [{"type": "text", "text": text} for text in texts if text]
    return [*pieces[:1], *images, *pieces[1:]]


def is_cacheable(prompt: Prompt) -> bool:
    """Return whether a provider can cache what a prompt shares, and others will read it.

    Anthropic takes a quarter more for what is written to its cache.
    """
    return prompt.shared and len(prompt.system) + prompt.stable >= MIN_CACHED_CHARACTERS


def shared_tools(prompt: Prompt, api: WireFormat, mode: OutputMode) -> dict[str, Any] | None:
    """Return the tools of all calls that share a prompt's text, and the choice of this one's; None: only its own.

    They are put into the body as it is sent: instructor knows of the one tool that is to be called. Where the provider
    is to enforce the form, a call has its own only: it is made ready for that on its way.
    """
    if mode is not OutputMode.TOOLS or prompt.strict or prompt.form not in prompt.siblings:
        return None
    names = [f"{TOOL}{number}" for number in range(1, len(prompt.siblings) + 1)]
    chosen = names[prompt.siblings.index(prompt.form)]
    forms = zip(names, prompt.siblings, strict=True)
    if api is WireFormat.ANTHROPIC:
        return {
            "tools": [{"name": name, "description": TOOL_DESCRIPTION, "input_schema": form} for name, form in forms],
            "tool_choice": {"type": "tool", "name": chosen, "disable_parallel_tool_use": True},
        }
    functions = [{"name": name, "description": TOOL_DESCRIPTION, "parameters": form} for name, form in forms]
    return {
        "tools": [{"type": "function", "function": function} for function in functions],
        "tool_choice": {"type": "function", "function": {"name": chosen}},
    }
