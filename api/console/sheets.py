"""Pages of a document as they are looked at: a picture or a blank sheet, its words in their places, marked fields."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from towpath.api.console.extraction_views import SURE
from towpath.api.console.review_form import place_of
from towpath.api.http.state import AppState
from towpath.documents.types import Box, PageContent, Word
from towpath.extraction.store.pages import imaged_pages, read_pages
from towpath.extraction.types import Extraction

WIDTH = 1000.0
"""Of every sheet, in the units of its drawing."""
TALL = 1.414
MAX_WORDS = 6000
LOADED_AT_FIRST = 3
LETTER_SHARE = 0.76
"""Of a word's box that its letters' size is, and where their base line lies."""
MARGIN = 4.0
MAX_GAP = 1.5
"""Between two words of one value, in heights of a line."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A word, or the mark of a field, in the units of the drawing."""

    x: float
    y: float
    width: float
    height: float
    text: str = ""

    @property
    def base(self) -> float:
        """Where the letters stand."""
        return round(self.y + self.height * LETTER_SHARE, 1)

    @property
    def size(self) -> float:
        """How large they are."""
        return round(max(self.height * LETTER_SHARE, 1.0), 1)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a field's value stands; `of` is the field's name in the form."""

    id: str
    of: str
    at: Placed
    doubtful: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page.

    Attributes:
        loaded: Whether its words are here; the script loads the others when they come into sight.
        image: Where its picture is; None: there is none, and the words are shown themselves.
        text: Its content, for kinds whose words have no places.
    """

    number: int
    height: float = WIDTH * TALL
    loaded: bool = False
    image: str | None = None
    words: list[Placed] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    text: str = ""
    truncated: bool = False


def numbers_of(extraction: Extraction) -> list[int]:
    """The pages of a document that were to be read, in order."""
    if extraction.pages is not None:
        return extraction.pages
    return list(range(1, (extraction.pages_total or 0) + 1))


def first_marks(extraction: Extraction) -> dict[str, str]:
    """The id of each property's first mark."""
    if extraction.extracted is None:
        return {}
    found = enumerate(extraction.extracted.sources.items())
    return {name: _mark_id(place, 0) for place, (name, source) in found if source.page is not None and source.boxes}


def _mark_id(place: int, number: int) -> str:
    return f"mark-{place}-{number}"


def _marks(extraction: Extraction, page: int, height: float) -> list[Mark]:
    if extraction.extracted is None:
        return []
    return [
        Mark(
            id=_mark_id(place, number),
            of=place_of("", name),
            at=_placed(box, height, margin=MARGIN),
            doubtful=source.confidence < SURE,
        )
        for place, (name, source) in enumerate(extraction.extracted.sources.items())
        if source.page == page
        for number, box in enumerate(joined(source.boxes))
    ]


def joined(boxes: Sequence[Box]) -> list[Box]:
    """Boxes with those that stand beside each other on a line made one, in the order in which they came."""
    found: list[Box] = []
    for box in boxes:
        last = found[-1] if found else None
        if last is not None and _beside(last, box):
            found[-1] = (last[0], min(last[1], box[1]), max(last[2], box[2]), max(last[3], box[3]))
        else:
            found.append(box)
    return found


def _beside(one: Box, other: Box) -> bool:
    height = min(one[3] - one[1], other[3] - other[1])
    overlap = min(one[3], other[3]) - max(one[1], other[1])
    return overlap > height / 2 and -height < other[0] - one[2] < MAX_GAP * height


async def read_sheets(
    state: AppState, organization: str, job_id: UUID, extraction: Extraction, loaded: Collection[int]
) -> list[Sheet]:
    """All pages of a document; the words of some of them."""
    numbers = numbers_of(extraction)
    if extraction.sha256 is None or extraction.variant is None:
        return []
    digest = bytes.fromhex(extraction.sha256)
    wanted = [number for number in numbers if number in loaded]
    found = await read_pages(state.db, organization, digest, extraction.variant, wanted)
    pictured = await imaged_pages(state.db, organization, digest)
    contents = {page.page: page for page in found}
    known = [
        _sheet(job_id, extraction, contents[number], number in pictured) for number in numbers if number in contents
    ]
    like = known[0].height if known else WIDTH * TALL
    by_number = {sheet.number: sheet for sheet in known}
    return [by_number.get(number) or Sheet(number, height=like, loaded=number in loaded) for number in numbers]


def _sheet(job_id: UUID, extraction: Extraction, page: PageContent, pictured: bool) -> Sheet:
    height = _height(page)
    return Sheet(
        number=page.page,
        height=height,
        loaded=True,
        image=f"/console/jobs/{job_id}/pages/{page.page}.jpg" if pictured else None,
        words=_words(page.words, height),
        marks=_marks(extraction, page.page, height),
        text="" if page.words or pictured else page.content,
        truncated=page.truncated or len(page.words) > MAX_WORDS,
    )


def _height(page: PageContent) -> float:
    if not page.width or not page.height:
        return WIDTH * TALL
    return round(WIDTH * min(max(page.height / page.width, 0.05), 20.0), 1)


def _words(words: Sequence[Word], height: float) -> list[Placed]:
    return [_placed(word.box, height, word.text) for word in words[:MAX_WORDS]]


def _placed(box: Box, height: float, text: str = "", *, margin: float = 0.0) -> Placed:
    x0, y0, x1, y1 = box
    return Placed(
        x=round(x0 * WIDTH - margin, 1),
        y=round(y0 * height - margin, 1),
        width=round(max((x1 - x0) * WIDTH, 0.1) + 2 * margin, 1),
        height=round(max((y1 - y0) * height, 0.1) + 2 * margin, 1),
        text=text,
    )
