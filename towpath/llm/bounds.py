"""What a request can cost at most, before it is made."""

from __future__ import annotations

from towpath.core.json_values import write_json
from towpath.llm.catalog import Catalog
from towpath.llm.limits import room_of
from towpath.llm.types import Prompt

FRAME_TOKENS = 1_000
"""What providers add of their own to a prompt with a form."""


IMAGE_TOKENS = 50_000
"""More than any provider takes for an image, however it is cut into tiles."""


def max_input_tokens(prompt: Prompt) -> int:
    """Return a number of tokens that a prompt does not exceed: no token of a text is less than a byte."""
    forms = prompt.siblings or [prompt.form]
    texts = (prompt.system.encode(), prompt.user.encode(), *map(write_json, forms))
    return sum(map(len, texts)) + FRAME_TOKENS + sum(min(len(image.base64), IMAGE_TOKENS) for image in prompt.images)


def max_price(catalog: Catalog, model: str, prompt: Prompt, room: int | None = None) -> float:
    """Return what one request costs at most, in dollars; 0 where no price is known.

    Args:
        catalog: The prices.
        model: Who is asked.
        prompt: What is asked.
        room: How long the answer may be, thoughts included; None: as long as it may be by the prompt and the model.
    """
    outputs = room_of(catalog, model, prompt) if room is None else room
    return catalog.price(model, max_input_tokens(prompt), outputs)


def least_price(catalog: Catalog, model: str, prompt: Prompt, least: int | None) -> float:
    """Return what one request costs at most if its answer has as little room as it may have.

    Args:
        catalog: The prices.
        model: Who is asked.
        prompt: What is asked.
        least: How short the room may be made, thoughts not included; None: it stays.
    """
    shortened = prompt if least is None else prompt.model_copy(update={"most_tokens": min(least, prompt.most_tokens)})
    return max_price(catalog, model, prompt, room_of(catalog, model, shortened))
