"""What an embedder is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of some texts, rows of length 1 in the order of the texts, and what they cost."""

    vectors: npt.NDArray[np.float32]
    tokens: int = 0
    usd: float = 0.0


class Embedder(Protocol):
    """Turns texts into vectors."""

    model: str
    batch: int
    """Texts that are best given at once."""
    part_tokens: int
    overlap: int

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed texts, each by itself: what stands beside a text never changes its vector.

        Raises:
            BadInputError: The model refuses a text; alone it may be told which.
            UnavailableError: The endpoint does not answer now, or asks to slow down.
            JobFaultError: It never will: a wrong key, an unknown model.
        """
        ...

    async def close(self) -> None:
        """Let go of threads and connections."""
        ...
