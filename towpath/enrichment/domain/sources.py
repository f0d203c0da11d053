"""Source texts as a model is shown them: whole as long as its window has room, else the beginning of the long ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from towpath.core.texts import cut_with_note

BYTES_A_TOKEN = 3
"""No more than providers pack into a token of plain text: what is let through fits."""
WINDOW_SHARE = 0.625
"""Of a model's window: the rest is for the answer, the form and the entity."""


@dataclass(frozen=True, slots=True)
class ShownSources:
    """What of its sources a model is shown.

    Attributes:
        texts: The texts, those that did not fit cut.
        warnings: For each that was cut its name, and what is missing.
        tokens: About how many tokens they are.
    """

    texts: list[str]
    warnings: list[tuple[str, str]]
    tokens: int


def fit_sources(texts: Sequence[str], model: str, window: int) -> ShownSources:
    """Fit texts into a model's window.

    Args:
        texts: Each with its file's name in the first line.
        model: Its key, for the warnings.
        window: How many tokens it takes.
    """
    sizes = [len(text.encode()) for text in texts]
    shares = share_room(sizes, int(window * WINDOW_SHARE) * BYTES_A_TOKEN)
    shown, warnings = [], []
    for text, size, share in zip(texts, sizes, shares, strict=True):
        most = len(text) if share >= size else len(text) * share // size
        shown.append(cut_with_note(text, most, "source"))
        if most < len(text):
            message = f"{model} is shown the first {most:,} of its {len(text):,} characters: its window holds no more"
            warnings.append((text.partition("\n")[0], message))
    return ShownSources(shown, warnings, sum(min(pair) for pair in zip(sizes, shares, strict=True)) // BYTES_A_TOKEN)


def share_room(sizes: Sequence[int], room: int) -> list[int]:
    """Share room among texts: short ones are whole, and the long ones have equal parts of the rest."""
    shares = [0] * len(sizes)
    left = len(sizes)
    for place in sorted(range(len(sizes)), key=sizes.__getitem__):
        shares[place] = min(sizes[place], max(room, 0) // left)
        room, left = room - shares[place], left - 1
    return shares
