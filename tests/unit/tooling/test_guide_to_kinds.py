"""The guide to a new kind of job shows the files that a whole system is tested with."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "how-to" / "add-a-job-kind.md"
FEATURE = ROOT / "tests" / "system" / "sixth"
LISTING = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def test_the_guide_lists_the_files_of_this_feature_as_they_are() -> None:
    listings = dict(LISTING.findall(GUIDE.read_text()))

    for name, text in listings.items():
        assert text == (FEATURE / name).read_text(), f"{name} differs between {GUIDE.name} and tests/system/sixth"
    files = {path.relative_to(FEATURE).as_posix() for path in (FEATURE / "word_count").glob("*.py")}
    assert set(listings) == {"pyproject.toml", *files}
