"""The kinds of jobs that this process knows: each feature registers its own, and everything else iterates.

What a kind is, its `JobType` says. `towpath.features` lists the features of the product; a process that serves jobs
registers them at its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towpath.jobs.job_type import JobType

_TYPES: dict[str, JobType] = {}


def register(*types: JobType) -> None:
    """Make kinds of jobs known, in the order in which lists show them; a second call with the same ones adds nothing.

    Raises:
        ValueError: Another type has that kind.
    """
    for added in types:
        if _TYPES.setdefault(added.kind, added) is not added:
            raise ValueError(f"two types of jobs are of the kind {added.kind}")


def job_type(kind: str) -> JobType:
    """Return the descriptor of a kind.

    Raises:
        KeyError: The kind is not registered.
    """
    return _TYPES[kind]


def job_types() -> tuple[JobType, ...]:
    """Return all descriptors, in the order of their registration."""
    return tuple(_TYPES.values())


def kinds() -> tuple[str, ...]:
    """Return all kinds, in the order of their registration."""
    return tuple(_TYPES)


def is_kind(word: str) -> bool:
    """Return whether a word is the name of a registered kind."""
    return word in _TYPES


def personal_kinds() -> frozenset[str]:
    """Return the kinds whose jobs belong to the person who asked."""
    return frozenset(known.kind for known in _TYPES.values() if known.is_personal)


def upkeep_kinds() -> frozenset[str]:
    """Return the kinds of the jobs that the system starts for itself."""
    return frozenset(known.kind for known in _TYPES.values() if known.is_upkeep)
