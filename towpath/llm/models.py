"""Asks language models through instructor: one call, one answer in the asked form, or one typed error.

The SDKs' own retries are off: Temporal's are durable, and know how long to wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from towpath.core.errors import ModelError, ProviderDownError
from towpath.core.imports import import_beside_loop
from towpath.llm.capabilities import takes_strict_forms
from towpath.llm.catalog import Catalog
from towpath.llm.flight import Flight
from towpath.llm.limiter.ledger import MemoryLedger
from towpath.llm.limiter.limiter import ProviderLimiter
from towpath.llm.limiter.pool import Pool
from towpath.llm.limiter.types import Budget, PoolKey
from towpath.llm.limits import AnswerLimits
from towpath.llm.messages import build_messages, shared_tools
from towpath.llm.types import (
    LOCAL_PROVIDER,
    NO_KEY,
    Answer,
    LlmConfig,
    OutputMode,
    Prompt,
    ProviderConfig,
    WireFormat,
    split_key,
)
from towpath.llm.wire import STRICT, complete

if TYPE_CHECKING:
    from instructor import AsyncInstructor

    from towpath.llm.batches.exchange import Exchange
    from towpath.llm.slots import Call

MODULES = (
    "instructor", "instructor.core.exceptions", "towpath.llm.faults", "towpath.llm.forms", "towpath.llm.slots",
)  # fmt: skip
"""What a first call imports, beside the SDK of its provider."""
SDKS = {WireFormat.OPENAI: "openai", WireFormat.ANTHROPIC: "anthropic"}

LocalUrl = Callable[[], Awaitable[str]]


class LanguageModels:
    """All models of the configured providers.

    Args:
        config: The providers and limits.
        local_url: Starts the embedded model's server if need be, and tells its base URL.
        limiter: Says when a request may be sent; None: one that knows this process alone.
    """

    def __init__(self, config: LlmConfig, local_url: LocalUrl, limiter: ProviderLimiter | None = None) -> None:
        self.catalog = Catalog(config)
        self._config = config
        self._limits = AnswerLimits(self.catalog)
        self._local_url = local_url
        self._clients: dict[tuple[str, OutputMode], AsyncInstructor] = {}
        self._sdks: list[Any] = []
        self._limiter = limiter or ProviderLimiter(MemoryLedger())

    async def ask(
        self,
        organization: str,
        model: str,
        prompt: Prompt,
        *,
        plain_json: bool = False,
        repairs: int | None = None,
        exchange: Exchange | None = None,
        flight: Flight | None = None,
    ) -> Answer:
        """Ask a model.

        Args:
            organization: Whose call it is; organizations share what a provider takes.
            model: The model key.
            prompt: What is asked; `form` is what the answer must be.
            plain_json: Ask for JSON in words, for models that take no form.
            repairs: How often an answer of the wrong form is sent back, each time as a request of its own; None: as
                often as is configured.
            exchange: Answers in the provider's place, at the price of a batch.
            flight: Who asks may look at it, and stop it, meanwhile.

        Raises:
            ModelError: No usable answer; the subclasses tell why, `retryable` whether a repeat can help.
        """
        _, name = split_key(model)
        known, mode, client, call = await self._open(organization, model, flight or Flight(), plain_json=plain_json)
        call.exchange = exchange
        most = self._config.repairs if repairs is None else repairs
        return await self._create(client, known, model, name, prompt, mode, call, most)

    async def body_of(self, organization: str, model: str, prompt: Prompt, *, plain_json: bool = False) -> bytes:
        """Return the body of the request that `ask` would send first.

        Raises:
            ModelError: There is none; see `ask`.
        """
        await import_beside_loop("towpath.llm.batches.exchange")
        from towpath.llm.batches.exchange import Capture

        capture = Capture()
        try:
            await self.ask(organization, model, prompt, plain_json=plain_json, repairs=0, exchange=capture)
        except ModelError:
            if capture.body is None:
                raise
        if capture.body is None:
            raise ModelError(f"{model}: no request was made")
        return capture.body

    @property
    def config(self) -> LlmConfig:
        """Return the providers and limits."""
        return self._config

    async def open_sdk(self, organization: str, model: str, flight: Flight) -> tuple[Any, Call]:
        """Open the way to a model for a request in its provider's own words.

        Args:
            organization: Whose request it is.
            model: The model key.
            flight: Who asks may look at it, and stop it, meanwhile.

        Returns:
            The provider's SDK, and the call that the request belongs to: the task that sends it must make it `CURRENT`.

        Raises:
            ModelError: No worker knows the provider, or the embedded model does not start.
        """
        _, _, client, call = await self._open(organization, model, flight)
        return client.client, call

    async def _open(
        self, organization: str, model: str, flight: Flight, *, plain_json: bool = False
    ) -> tuple[ProviderConfig, OutputMode, AsyncInstructor, Call]:
        """Return how a model is asked, with what, and the call that a question to it is."""
        provider, _ = split_key(model)
        known = self.catalog.provider(provider)
        if known is None:
            raise ModelError(f"no worker knows the provider {provider}")
        mode = OutputMode.JSON if plain_json else known.mode
        await import_beside_loop(*MODULES, SDKS[known.api])
        from towpath.llm.slots import Call

        client = await self._client(provider, known, mode)
        priced = partial(self.catalog.priced, model)
        call = Call(
            self._pool(provider, known),
            organization,
            self._config.seconds,
            priced,
            flight,
            batch_price=partial(priced, batch=True),
        )
        return known, mode, client, call

    async def close(self) -> None:
        """Close all connections, and end all waits."""
        await self._limiter.stop()
        for sdk in self._sdks:
            await sdk.close()

    def _pool(self, provider: str, known: ProviderConfig) -> Pool:
        budget = Budget(
            requests=known.requests_per_minute,
            tokens=known.tokens_per_minute,
            calls=known.concurrency or self._config.concurrency,
        )
        return self._limiter.pool(PoolKey.of(provider, known.key), budget)

    async def _create(
        self,
        client: AsyncInstructor,
        known: ProviderConfig,
        model: str,
        name: str,
        prompt: Prompt,
        mode: OutputMode,
        call: Call,
        repairs: int,
    ) -> Answer:
        from towpath.llm.faults import translate_error
        from towpath.llm.forms import answer_model
        from towpath.llm.slots import CURRENT

        # Each question runs in a task's context of its own or sets this anew: nobody else's is seen.
        CURRENT.set(call)
        extra: dict[str, Any] = {}
        if prompt.strict and mode is not OutputMode.JSON and takes_strict_forms(known, name):
            extra[STRICT] = True
        if known.small:
            # A small model repeats itself less, and a repeat of the call gives the same answer.
            extra["temperature"] = 0.0
        if (tools := shared_tools(prompt, known.api, mode)) is not None:
            extra["extra_body"] = tools
        limit = self._limits.of(model, known, prompt)
        while True:
            try:
                answer = await client.create(
                    response_model=answer_model(prompt.form),
                    messages=build_messages(prompt, known.api),  # type: ignore[arg-type]
                    model=name,
                    max_retries=repairs,
                    **limit.parameters,
                    **extra,
                )
            except Exception as error:
                better = self._limits.after(limit, error, may_repeat=repairs > 0)
                if better is None:
                    raise translate_error(model, error, call.flight.usage) from error
                limit = better
            else:
                return Answer(data=answer.root, usage=call.flight.usage, seconds=call.seconds)

    async def _client(self, provider: str, known: ProviderConfig, mode: OutputMode) -> AsyncInstructor:
        client = self._clients.get((provider, mode))
        if client is None:
            url = await self._start_local() if provider == LOCAL_PROVIDER else known.url
            client = self._clients.setdefault((provider, mode), self._make_client(known, mode, url))
        return client

    async def _start_local(self) -> str:
        try:
            return await self._local_url()
        except RuntimeError as error:
            raise ProviderDownError(f"{LOCAL_PROVIDER}: {error}") from error

    def _make_client(self, known: ProviderConfig, mode: OutputMode, url: str | None) -> AsyncInstructor:
        import instructor

        from towpath.llm.slots import SlotClient

        timeout = self._config.seconds
        common: dict[str, Any] = {
            "api_key": known.key or NO_KEY,
            "base_url": url,
            "max_retries": 0,
            "timeout": timeout,
            "http_client": SlotClient(timeout=timeout),
        }
        if known.api is WireFormat.ANTHROPIC:
            import anthropic

            sdk_client = anthropic.AsyncAnthropic(**common)
            setattr(sdk_client.messages, "create", complete(sdk_client.messages.create, known.api))  # noqa: B010
            self._sdks.append(sdk_client)
            form = instructor.Mode.JSON if mode is OutputMode.JSON else instructor.Mode.TOOLS
            return instructor.from_anthropic(sdk_client, mode=form)
        import openai

        sdk = openai.AsyncOpenAI(**common)
        setattr(sdk.chat.completions, "create", complete(sdk.chat.completions.create, known.api))  # noqa: B010
        self._sdks.append(sdk)
        modes = {
            OutputMode.TOOLS: instructor.Mode.TOOLS,
            OutputMode.JSON_SCHEMA: instructor.Mode.JSON_SCHEMA,
            OutputMode.JSON: instructor.Mode.MD_JSON,
        }
        return instructor.from_openai(sdk, mode=modes[mode])
