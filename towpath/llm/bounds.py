"""What a request can cost at most, before it is made."""

from __future__ import annotations

from towpath.core.json_values import write_json
from towpath.llm.catalog import Catalog
from towpath.llm.limits import room_of
from towpath.llm.types import Prompt

FRAME_TOKENS = 1_000
"""What providers add of their own to a prompt with a form."""


def max_input_tokens(prompt: Prompt) -> int:
    """Return a number of tokens that a prompt without images does not exceed: no token is less than a byte."""
    forms = prompt.siblings or [prompt.form]
    texts = (prompt.system.encode(), prompt.user.encode(), *map(write_json, forms))
    return sum(map(len, texts)) + FRAME_TOKENS


def max_price(catalog: Catalog, model: str, prompt: Prompt) -> float:
    """Return what one request costs at most, in dollars; 0 where no price is known."""
    return catalog.price(model, max_input_tokens(prompt), room_of(catalog, model, prompt.most_tokens))
