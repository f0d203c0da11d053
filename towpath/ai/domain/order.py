"""Which end of a measure a question's words ask for; where words and measure do not tell, nothing is decided."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from towpath.ai.domain.semantics.compile import Column
from towpath.ai.semantic_types import Better

HIGH = frozenset(
    ["highest", "most", "largest", "biggest", "greatest", "longest", "maximum", "top", "heaviest", "priciest", "latest",
     "newest", "descending"]
)  # fmt: skip
LOW = frozenset(
    ["lowest", "least", "fewest", "smallest", "shortest", "minimum", "bottom", "lightest", "cheapest", "earliest",
     "ascending"]
)  # fmt: skip
BEST = frozenset({"best", "better", "finest", "ideal"})
WORST = frozenset({"worst", "worse", "poorest"})
FAST = frozenset({"fastest", "quickest", "speediest"})
SLOW = frozenset({"slowest"})
GOOD_TRAITS = frozenset(["punctual", "reliable", "efficient", "successful", "profitable", "productive", "accurate"])
BAD_TRAITS = frozenset(["unpunctual", "unreliable", "inefficient", "delayed", "unprofitable", "inaccurate"])
# A star: whatever follows. What is spoilt is bad whatever else it is: late sales are bad, though sales are good.
SPOILT = (
    "late", "lateness", "cancel*", "fail*", "lost", "loss", "losses", "reject*", "returned", "refund*", "overdue",
    "delay*", "missed", "broken", "defect*", "wrong", "faulty", "damage*", "complain*", "unpaid", "disput*",
)  # fmt: skip
BAD = (
    *SPOILT, "error*", "fault", "faults", "cost", "costs", "expens*", "fee", "fees", "fine", "fines", "churn*", "wait",
    "waiting", "duration*", "elapsed", "latency", "latencies", "downtime*", "outage*", "incident*", "accident*",
    "crash*", "injur*", "death*", "risk", "risks", "debt", "debts", "waste*", "backlog*", "fraud*", "penalt*",
    "emission*", "pollut*", "attrition",
)  # fmt: skip
GOOD = (
    "rating*", "revenue*", "score", "scores", "profit*", "margin", "margins", "income", "sale", "sales", "sold",
    "success*", "satisf*", "quality", "uptime", "growth", "gain", "gains", "yield", "yields", "retention",
    "conversion*", "accura*", "efficien*", "productiv*", "saving", "savings", "reliab*", "punctual*", "earning*",
    "fulfil*",
)  # fmt: skip
ON_TIME = re.compile(r"\b(?:on|in)[ _-]time\b")
SPAN = re.compile(r"\b(?:response|processing|lead|waiting|delivery|handling|cycle|repair|travel)[ _-]time")
REVERSED = frozenset(["not", "non", "no", "without", "free", "never", "avoided", "prevented", "reduction", "less"])
LASTING = ("duration*", "elapsed", "latency", "delay*", "wait*", "time", "times", "minute*", "hours", "seconds", "days")
SPEEDS = ("speed*", "velocity", "throughput", "mph", "kmh")
TRAIT = re.compile(r"\b(most|more|least|less)\s+([a-z]+)")
# `at least 5`, `at most 5` bound a number and order nothing.
BOUNDS = re.compile(r"\bat\s+(?:least|most)\b|\bmore\s+than\b|\bless\s+than\b")


@dataclass(frozen=True, slots=True)
class Order:
    """How a measure is sorted.

    Attributes:
        descending: From high to low.
        undecided: The word that could mean either end here; None: the order is what was asked for.
    """

    descending: bool = True
    undecided: str | None = None


def read_order(question: str, measure: Column) -> Order:
    """Read which end of a measure a question wants first.

    `highest` and `fewest` say it; `best`, `worst`, `fastest` depend on what the measure means: much delay is bad, much
    revenue is good. The model may say so (`better`), else the measure's name does; where neither does, it is left
    undecided.

    Args:
        question: In words.
        measure: What is sorted by.
    """
    requested, traits = _traits(BOUNDS.sub(" ", question.lower()))
    named = set(_words(measure.label))
    words = [word for word in _words(requested) if word not in named]
    low, high = _first(words, LOW), _first(words, HIGH)
    if low and high:
        return Order(undecided=low)
    best, worst = traits.get(True) or _first(words, BEST), traits.get(False) or _first(words, WORST)
    fast, slow = _first(words, FAST), _first(words, SLOW)
    judged = Order()
    if best or worst:
        judged = _order_by(best, worst, find_better_end(measure))
    elif fast or slow:
        judged = _order_by(fast, slow, _faster_end(measure))
    if not (low or high):
        return judged
    stated = Order(descending=high is not None)
    # `the worst rating with the most reviews`: one of the two words is about something else.
    contrary = (best or worst or fast or slow) if judged.undecided is None and judged != stated else None
    return Order(undecided=contrary) if contrary else stated


def find_better_end(measure: Column) -> Better | None:
    """Find which end of a measure is the good one; None: it cannot be told."""
    if measure.better is not None:
        return measure.better
    text = _text(measure)
    if REVERSED.intersection(_words(text)):
        return None
    if ON_TIME.search(text):
        return Better.HIGH
    if _holds(text, SPOILT):
        return Better.LOW
    bad, good = _holds(text, BAD) or SPAN.search(text) is not None, _holds(text, GOOD)
    if bad == good:
        return None
    return Better.LOW if bad else Better.HIGH


def note_undecided(word: str, measure: Column) -> str:
    """Note for the reader that a question's order could not be decided."""
    return (
        f"It is not decided what “{word}” means for “{measure.label}”: whether the high or the low end is meant. The"
        " rows are sorted from high to low; ask for the highest or the lowest to be sure."
    )


def _traits(text: str) -> tuple[str, dict[bool, str]]:
    """Take words such as `most reliable` out of a question: True for good ones, False for bad."""
    words_by_end: dict[bool, str] = {}

    def take(match: re.Match[str]) -> str:
        degree, trait = match.groups()
        if trait not in GOOD_TRAITS | BAD_TRAITS:
            return match[0]
        words_by_end[(trait in GOOD_TRAITS) == (degree in {"most", "more"})] = match[0]
        return " "

    return TRAIT.sub(take, text), words_by_end


def _order_by(first: str | None, last: str | None, end: Better | None) -> Order:
    """Return the order in which the good end (`first`) or the other (`last`) comes first."""
    if end is None or (first and last):
        return Order(undecided=first or last)
    return Order(descending=(end is Better.HIGH) == (first is not None))


def _faster_end(measure: Column) -> Better | None:
    text = _text(measure)
    lasting, speeds = _holds(text, LASTING), _holds(text, SPEEDS)
    if lasting == speeds:
        return None
    return Better.LOW if lasting else Better.HIGH


def _text(measure: Column) -> str:
    return f"{measure.label} {measure.name.partition('.')[2].replace('_', ' ')}".lower()


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _holds(text: str, patterns: Iterable[str]) -> bool:
    words = _words(text)
    return any(
        word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern
        for pattern in patterns
        for word in words
    )


def _first(words: Iterable[str], choices: frozenset[str]) -> str | None:
    return next((word for word in words if word in choices), None)
