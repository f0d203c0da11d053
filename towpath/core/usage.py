"""What a language model's provider was paid for a question."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Usage(BaseModel):
    """Tokens and dollars of one request or of several; sums of usages are usages.

    Attributes:
        input_tokens: All tokens of the prompts, those of a cache among them.
        cache_read_tokens: Of them, those that the provider had in its cache.
        cache_write_tokens: Of them, those that it has written to its cache.
        output_tokens: What the answers took, reasoning included.
        usd: What they have cost, each request at its own price.
    """

    model_config = ConfigDict(frozen=True)

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            usd=self.usd + other.usd,
        )
