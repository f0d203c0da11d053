"""What a request can cost at most, before it is made."""

from __future__ import annotations

from towpath.core.json_values import write_json
from towpath.llm.catalog import Catalog
from towpath.llm.types import Prompt

FRAME_TOKENS = 1_000
"""What providers add of their own to a prompt with a form."""


IMAGE_TOKENS = 50_000
"""More than any provider takes for an image, however it is cut into tiles."""


def max_input_tokens(prompt: Prompt) -> int:
    """Return a number of tokens that a prompt does not exceed: no token of a text is less than a byte."""
    texts = (prompt.system.encode(), prompt.user.encode(), write_json(prompt.form))
    return sum(map(len, texts)) + FRAME_TOKENS + sum(min(len(image.base64), IMAGE_TOKENS) for image in prompt.images)


def max_price(catalog: Catalog, model: str, prompt: Prompt, most_tokens: int | None = None) -> float:
    """Return what one request costs at most, in dollars; 0 where no price is known.

    Args:
        catalog: The prices.
        model: Who is asked.
        prompt: What is asked.
        most_tokens: How long the answer may be; None: as long as the prompt says.
    """
    return catalog.price(model, max_input_tokens(prompt), prompt.most_tokens if most_tokens is None else most_tokens)
