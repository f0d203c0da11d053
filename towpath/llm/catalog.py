"""Which models can be asked, and what they cost; prices and names are those of `genai-prices`, read from its wheel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from towpath.core.errors import BadInputError
from towpath.core.usage import Usage
from towpath.llm.capabilities import can_be_asked, find_capabilities
from towpath.llm.types import (
    LOCAL_LLM,
    LOCAL_PROVIDER,
    MODEL_KEY_FORM,
    LlmConfig,
    ModelInfo,
    ProviderConfig,
    split_key,
)

PREFERRED = (
    "openai::gpt-4o-mini",
    "anthropic::claude-haiku-4-5",
    "google::gemini-2.5-flash",
    "deepseek::deepseek-chat",
)
SMALL_CONTEXT = 8_192
UNKNOWN_CONTEXT = 128_000
BATCH_CONTEXT = {"processing": "batch"}
"""What `genai-prices` calls a call through a batch endpoint."""
BATCH_SHARES = {"openai": 0.5, "anthropic": 0.5}
"""What a batch costs of the price of a live call, where the library has no batch price for a model.

Sources: https://platform.openai.com/docs/guides/batch ("50% cost discount") and
https://platform.claude.com/docs/en/build-with-claude/batch-processing ("50% of the standard API prices").
"""
NOT_FOR_TEXT = re.compile(
    r"embed|whisper|tts|audio|realtime|image|dall|moderation|transcribe|sora|ft:|rerank|live|nano-banana|computer-use"
    r"|robotics|omni-|turbo-instruct|^(ada|babbage|curie|davinci|text)(-|$)"
)


class Catalog:
    """The models of the configured providers.

    Args:
        config: The providers.
    """

    def __init__(self, config: LlmConfig) -> None:
        self._config = config
        self._listed: list[ModelInfo] | None = None

    def provider(self, name: str) -> ProviderConfig | None:
        """Return a provider by its name; None: there is none."""
        return self._config.providers.get(name)

    def check(self, model: str, field: str) -> None:
        """Refuse a model that cannot be asked.

        Raises:
            BadInputError: The key has another form, its provider is not known or not set up, or it has no such model.
        """
        if not re.fullmatch(MODEL_KEY_FORM, model):
            raise BadInputError(f"{field}: {model[:80]!r} is no model key: provider::model", field=field)
        provider, name = split_key(model)
        known = self.provider(provider)
        if known is None:
            names = ", ".join(sorted(self._config.providers))
            raise BadInputError(f"{field}: the provider {provider} is not known here; there are: {names}", field=field)
        if known.prices is not None and known.key is None:
            raise BadInputError(f"{field}: {model} is not available: no key for {provider} is set", field=field)
        if known.models is not None:
            if name not in known.models:
                raise BadInputError(f"{field}: {provider} has no model {name}", field=field)
        elif known.prices is not None and (
            not can_be_asked(known.prices, name) or self._find_price(known.prices, name) is None
        ):
            raise BadInputError(f"{field}: {provider} has no model {name}", field=field)

    def choose(self, model: str | None, *, default: str) -> str:
        """Choose the model that answers.

        Args:
            model: What a request names; None: the default.
            default: What a setting says; auto: the server's choice.

        Raises:
            BadInputError: It cannot be asked, or there is none.
        """
        chosen = model or default
        if chosen == "auto":
            return self.automatic()
        self.check(chosen, "llm")
        return chosen

    def automatic(self) -> str:
        """Choose the model for a request that names none: a cheap one that has a key, else the local one.

        Raises:
            BadInputError: There is none.
        """
        for model in PREFERRED:
            provider, name = split_key(model)
            known = self.provider(provider)
            if known is not None and known.key is not None and (known.models is None or name in known.models):
                return model
        available = [info.key for info in self.models() if info.is_available]
        if LOCAL_LLM in available or not available:
            if LOCAL_PROVIDER not in self._config.providers:
                raise BadInputError("no model is available: set a provider's key", field="models")
            return LOCAL_LLM
        return available[0]

    def is_small(self, model: str) -> bool:
        """Return whether answers of a model are bounded in size."""
        known = self.provider(split_key(model)[0])
        return known is not None and known.small

    @property
    def batch_live_seconds(self) -> float:
        """Return how long before its deadline a job stops waiting for batches."""
        return self._config.batch_live_seconds

    def context_length(self, model: str) -> int:
        """Return how many tokens a model takes, prompt and answer together; a careful guess where it is not known."""
        provider, name = split_key(model)
        known = self.provider(provider)
        if known is not None and known.context is not None:
            return known.context
        priced = self._find_price(known.prices, name) if known is not None and known.prices is not None else None
        window = getattr(priced, "context_window", None)
        return window or (SMALL_CONTEXT if known is not None and known.small else UNKNOWN_CONTEXT)

    def has_batches(self, model: str) -> bool:
        """Return whether a model's provider has a batch endpoint."""
        known = self.provider(split_key(model)[0])
        return known is not None and known.batches

    def price(self, model: str, input_tokens: int, output_tokens: int, *, batch: bool = False) -> float:
        """Price a call in dollars, none of it cached; 0 where no price is known."""
        return self.priced(model, Usage(input_tokens=input_tokens, output_tokens=output_tokens), batch=batch).usd

    def priced(self, model: str, usage: Usage, *, batch: bool = False) -> Usage:
        """Return the usage of one request with its price in dollars; 0 where no price is known.

        A model whose price list has none for cached tokens takes them at the price of others.

        Args:
            model: The model key.
            usage: The tokens.
            batch: Whether the request goes through the provider's batch endpoint.
        """
        from genai_prices import Usage as Units
        from genai_prices.data_snapshot import get_snapshot

        provider, name = split_key(model)
        known = self.provider(provider)
        if known is None or known.prices is None:
            return usage.model_copy(update={"usd": 0.0})
        units = Units(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
        )
        try:
            dollars = float(get_snapshot().calc(units, name, known.prices, None, None).total_price)
            if batch:
                listed = float(get_snapshot().calc(units, name, known.prices, None, None, BATCH_CONTEXT).total_price)
                # The library lists no batch price for some models, and then gives the other one.
                dollars = listed if listed < dollars else dollars * BATCH_SHARES.get(known.prices, 1.0)
        except LookupError:
            dollars = 0.0
        return usage.model_copy(update={"usd": dollars})

    def models(self) -> list[ModelInfo]:
        """List every model of every provider, with prices where they are known."""
        if self._listed is None:
            self._listed = list(self._list())
        return self._listed

    def rank(self, model: str) -> float:
        """Rank a model by what it costs, for ties: dollars for a million tokens in and out."""
        return self.price(model, 1_000_000, 1_000_000)

    def _list(self) -> Iterator[ModelInfo]:
        for name, known in self._config.providers.items():
            available = known.key is not None or known.prices is None
            by_id = {}
            if known.prices is not None:
                by_id = {
                    model.id: model
                    for model in self._snapshot(known.prices)
                    if not NOT_FOR_TEXT.search(model.id) and can_be_asked(known.prices, model.id)
                }
            for model in known.models if known.models is not None else by_id:
                priced = by_id.get(model) or (known.prices and self._find_price(known.prices, model)) or None
                yield ModelInfo(
                    key=f"{name}::{model}",
                    provider=name,
                    model=model,
                    display_name=getattr(priced, "name", None),
                    is_available=available,
                    input_price=self._per_million(f"{name}::{model}", inputs=True),
                    output_price=self._per_million(f"{name}::{model}", inputs=False),
                    context_length=getattr(priced, "context_window", None),
                    **find_capabilities(known, model, priced),
                )

    def _per_million(self, model: str, *, inputs: bool) -> float | None:
        # A small call: tiers for long prompts begin far above it.
        dollars = self.price(model, 1000 if inputs else 0, 0 if inputs else 1000) * 1000
        return round(dollars, 6) or None

    @staticmethod
    def _snapshot(provider: str) -> list[Any]:
        from genai_prices.data_snapshot import get_snapshot

        snapshot = next((listed for listed in get_snapshot().providers if listed.id == provider), None)
        return [] if snapshot is None else [model for model in snapshot.models if not model.deprecated]

    @staticmethod
    def _find_price(provider: str, model: str) -> Any | None:
        from genai_prices.data_snapshot import get_snapshot

        try:
            return get_snapshot().find_provider_model(model, None, provider, None)[1]
        except LookupError:
            return None
