"""How long an answer may get: what each model can give, and by which parameter it is told.

The providers publish these figures with their models; the price library does not have them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from towpath.llm.types import Prompt, ProviderConfig, WireFormat, split_key

if TYPE_CHECKING:
    from towpath.llm.catalog import Catalog

MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
THINKING_ROOM = 25_000
"""What OpenAI recommends to leave for reasoning: it counts against the limit of the answer."""
MORE = 4
"""An answer that was cut off is asked for once more, with so many times the room."""
UNKNOWN_ANSWER = 8_192
MAX_ROOM = 1_000_000
"""More than any model gives."""
MAX_ANSWERS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), tokens)
    for pattern, tokens in (
        (r"gpt-(?:[5-9]|\d\d)\S*chat", 16_384),
        (r"gpt-(?:[5-9]|\d\d)(?!\d)", 128_000),
        (r"o1-mini", 65_536),
        (r"o1-preview", 32_768),
        (r"o\d(?!\d)", 100_000),
        (r"gpt-4\.1", 32_768),
        (r"(?:chat)?gpt-4o|gpt-4\.5", 16_384),
        (r"gpt-4-turbo|gpt-4-vision|gpt-4-\d{4}-preview|gpt-3\.5", 4_096),
        (r"gpt-4", 8_192),
        (r"claude-(?:v|instant|2)|claude-3-(?:opus|sonnet|haiku)", 4_096),
        (r"claude-3-5", 8_192),
        (r"claude-(?:opus-4(?:-[01](?!\d)|-20|$)|4-opus)", 32_000),
        (r"claude", 64_000),
        (r"gemini-(?:1|2\.0)", 8_192),
        (r"gemini-(?:2\.5|[3-9])", 65_536),
        (r"deepseek-reasoner", 65_536),
    )
)
"""The first pattern that a model's name begins with counts."""
REASONING = re.compile(r"o\d(?!\d)|gpt-(?:[5-9]|\d\d)(?!\S*chat)|gemini-(?:2\.5|[3-9])|deepseek-reasoner")
REFUSED = re.compile(rf"unsupported parameter:?\W*({MAX_TOKENS}|{MAX_COMPLETION_TOKENS})\b", re.IGNORECASE)
TOO_LARGE = re.compile(r"supports at most (\d+) completion tokens|max_tokens: \d+ > (\d+)", re.IGNORECASE)


def base_name(model: str) -> str:
    """Return a model's name without what a reseller puts before it: `openai/gpt-5` is `gpt-5`."""
    return model.rpartition("/")[2].lower()


def is_reasoning(model: str) -> bool:
    """Return whether a model thinks before it answers, and its thoughts count as its answer."""
    return REASONING.match(base_name(model)) is not None


def max_answer_tokens(model: str) -> int:
    """Return how many tokens an answer of a model can have; a careful guess where it is not known."""
    name = base_name(model)
    return next((tokens for pattern, tokens in MAX_ANSWERS if pattern.match(name)), UNKNOWN_ANSWER)


def answer_room(model: str, requested: int, window: int, *, small: bool = False) -> int:
    """Return the limit to send with a request.

    Args:
        model: The model's name.
        requested: Room for the answer itself.
        window: What the model takes, prompt and answer together; the answer gets a quarter at most.
        small: Whether the model's answers are short by their form.
    """
    if small:
        return requested
    room = requested + (THINKING_ROOM if is_reasoning(model) else 0)
    return min(room, max_answer_tokens(model), max(window // 4, 1))


def limit_parameter(known: ProviderConfig) -> str:
    """Return the name of the parameter that bounds an answer.

    OpenAI has renamed it, and its reasoning models refuse the older name; of those that speak its format many know
    only that.
    """
    newer = known.api is WireFormat.OPENAI and known.prices == "openai"
    return MAX_COMPLETION_TOKENS if newer else MAX_TOKENS


@dataclass(frozen=True, slots=True)
class AnswerLimit:
    """The limit of one question's answers.

    Attributes:
        model: The model key.
        parameter: By which it is told.
        room: The tokens.
        small: Whether the model's answers are short by their form: more room makes them no better.
        is_longer: Whether it was raised because an answer was cut off.
    """

    model: str
    parameter: str
    room: int
    small: bool = False
    is_longer: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """Return it as a request has it."""
        return {self.parameter: self.room}


class AnswerLimits:
    """The limits of answers, with what providers have said of them since the process was started.

    Args:
        catalog: What is known of the models.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._parameters: dict[str, str] = {}
        self._largest: dict[str, int] = {}

    def of(self, model: str, known: ProviderConfig, prompt: Prompt) -> AnswerLimit:
        """Return the limit to send with a prompt."""
        parameter = self._parameters.get(model) or limit_parameter(known)
        room = min(room_of(self._catalog, model, prompt), self._largest.get(model, MAX_ROOM))
        return AnswerLimit(model, parameter, room, known.small)

    def after(self, limit: AnswerLimit, error: Exception, *, may_repeat: bool) -> AnswerLimit | None:
        """Return the limit to ask again with, after a request failed by its limit.

        A request that was rejected was not paid, and is repeated at once. An answer that was cut off was paid: it is
        asked for once more, with more room.

        Args:
            limit: What was sent.
            error: What came of it.
            may_repeat: Whether an answer of no use may be paid twice.

        Returns:
            None: It failed by something else, or there is no more room.
        """
        # The SDKs are imported beside the event loop with the first call.
        from towpath.llm.faults import is_cut_off, read_rejection

        if is_cut_off(error):
            if limit.is_longer or limit.small or not may_repeat:
                return None
            window = self._catalog.context_length(limit.model)
            most = min(max_answer_tokens(split_key(limit.model)[1]), self._largest.get(limit.model, MAX_ROOM))
            room = min(limit.room * MORE, most, window // 2)
            return replace(limit, room=room, is_longer=True) if room > limit.room else None
        message = read_rejection(error) or ""
        parameter = read_refused_parameter(message)
        if parameter is not None and self._parameters.get(limit.model) is None and parameter != limit.parameter:
            self._parameters[limit.model] = parameter
            return replace(limit, parameter=parameter)
        largest = read_largest_answer(message)
        if largest is not None and 0 < largest < limit.room:
            self._largest[limit.model] = largest
            return replace(limit, room=largest)
        return None


def room_of(catalog: Catalog, model: str, prompt: Prompt) -> int:
    """Return how many tokens the first answer of a model to a prompt may have.

    Args:
        catalog: What is known of the model.
        model: The model key.
        prompt: What is asked, with the room for the answer itself.
    """
    if prompt.exact_room:
        return prompt.most_tokens
    name = split_key(model)[1]
    return answer_room(name, prompt.most_tokens, catalog.context_length(model), small=catalog.is_small(model))


def read_refused_parameter(message: str) -> str | None:
    """Return the parameter to send instead of one that a provider says it does not support; None: it says no such."""
    match = REFUSED.search(message)
    if match is None:
        return None
    return MAX_COMPLETION_TOKENS if match[1].lower() == MAX_TOKENS else MAX_TOKENS


def read_largest_answer(message: str) -> int | None:
    """Return the limit that a provider names when it refuses a larger one; None: it names none."""
    match = TOO_LARGE.search(message)
    return int(match[1] or match[2]) if match else None
