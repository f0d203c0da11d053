"""The generated parts of the documentation say what the code says."""

from __future__ import annotations

from docs.generate import COMMAND, FOLDER, stale_pages


def test_the_reference_pages_are_up_to_date() -> None:
    stale = [str(path.relative_to(FOLDER.parent)) for path in stale_pages()]

    assert stale == [], f"run `{COMMAND}`"
