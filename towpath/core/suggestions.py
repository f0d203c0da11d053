"""Names that were meant: for a word that is not known, the nearest of those that are."""

from __future__ import annotations

from collections.abc import Iterable

from rapidfuzz import fuzz, process

NEAR = 70.0
"""How alike two names must be, of 100, for one to be offered for the other."""
NEAR_PATH = 80.0
MAX_LISTED = 40


def find_nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the known name that another one was most probably meant to be; None: nothing is near.

    Case, `_` and `-` do not count: `page_size` is as near to `pageSize` as can be.
    """
    match = process.extractOne(name, list(names), scorer=fuzz.ratio, processor=_plain, score_cutoff=NEAR)
    return None if match is None else str(match[0])


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return what is put behind "unknown field": the nearest name, or the names that there are."""
    names = list(known)
    if (near := find_nearest(name, names)) is not None:
        return f"did you mean {near}?"
    if not names:
        return "there are none here"
    rest = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"known are {', '.join(names[:MAX_LISTED])}{rest}"


def find_nearest_path(path: str, paths: Iterable[str]) -> str | None:
    """Return the known path template that a path was most probably meant to be; None: nothing is near.

    Args:
        path: As it was asked for.
        paths: Templates such as `/v1/jobs/{jobId}`.
    """
    parts = path.rstrip("/").split("/")
    best, likeness = None, NEAR_PATH
    for template in paths:
        places = template.split("/")
        # What stands for a value is as good as any other: only the fixed parts are compared.
        free = {number for number, segment in enumerate(places) if segment[:1] == "{" and len(places) == len(parts)}
        requested, meant = (
            "/".join("" if number in free else part for number, part in enumerate(words)) for words in (parts, places)
        )
        if (score := fuzz.ratio(_plain(requested), _plain(meant))) > likeness:
            best, likeness = template, score
    return best


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
