"""Words of the wire: enumerations that are read in any case, and written in one."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Word(StrEnum):
    """Base of enumerations that clients write: `running` is as clear as `RUNNING`."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        folded = value.lower() if isinstance(value, str) else None
        return next((word for word in cls if word.value.lower() == folded), None)
