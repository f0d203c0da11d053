"""Pages of a document as they are looked at: a picture or a blank sheet, its words in their places, marked fields."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from towpath.api.console.extraction_views import SURE
from towpath.api.console.review_form import join_pointer
from towpath.api.http.state import AppState
from towpath.documents.types import Box, PageContent, Word
from towpath.extraction.service.results import list_pictured_pages, load_pages
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
class PlacedText:
    """A word, or the mark of a field, in the units of the drawing."""

    x: float
    y: float
    width: float
    height: float
    text: str = ""

    @property
    def base(self) -> float:
        """Return where the letters stand."""
        return round(self.y + self.height * LETTER_SHARE, 1)

    @property
    def size(self) -> float:
        """Return how large they are."""
        return round(max(self.height * LETTER_SHARE, 1.0), 1)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a field's value stands; `of` is the field's name in the form."""

    id: str
    of: str
    at: PlacedText
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
    words: list[PlacedText] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    text: str = ""
    truncated: bool = False


def list_page_numbers(extraction: Extraction) -> list[int]:
    """List the pages of a document that were to be read, in order; none before it is opened."""
    return [] if extraction.opened is None else extraction.opened.pages


def find_first_marks(extraction: Extraction) -> dict[str, str]:
    """Return the id of each property's first mark."""
    if extraction.extracted is None:
        return {}
    return {
        name: _mark_id(index, 0)
        for index, (name, source) in enumerate(extraction.extracted.sources.items())
        if source.page is not None and source.boxes
    }


def _mark_id(index: int, number: int) -> str:
    return f"mark-{index}-{number}"


def _marks(extraction: Extraction, page: int, height: float) -> list[Mark]:
    if extraction.extracted is None:
        return []
    return [
        Mark(
            id=_mark_id(index, number),
            of=join_pointer("", name),
            at=_place(box, height, margin=MARGIN),
            doubtful=source.confidence < SURE,
        )
        for index, (name, source) in enumerate(extraction.extracted.sources.items())
        if source.page == page
        for number, box in enumerate(join_boxes(source.boxes))
    ]


def join_boxes(boxes: Sequence[Box]) -> list[Box]:
    """Join the boxes that follow each other on a line, in the order in which they came."""
    lines: list[Box] = []
    for box in boxes:
        last = lines[-1] if lines else None
        if last is not None and _is_beside(last, box):
            lines[-1] = (last[0], min(last[1], box[1]), max(last[2], box[2]), max(last[3], box[3]))
        else:
            lines.append(box)
    return lines


def _is_beside(left: Box, right: Box) -> bool:
    height = min(left[3] - left[1], right[3] - right[1])
    overlap = min(left[3], right[3]) - max(left[1], right[1])
    return overlap > height / 2 and -height < right[0] - left[2] < MAX_GAP * height


async def read_sheets(
    state: AppState, organization: str, job_id: UUID, extraction: Extraction, loaded: Collection[int]
) -> list[Sheet]:
    """Load all pages of a document; the words of some of them."""
    document = extraction.opened
    if document is None:
        return []
    numbers = document.pages
    to_load = [number for number in numbers if number in loaded]
    pages = await load_pages(state.extraction, organization, document, to_load)
    pictured = await list_pictured_pages(state.extraction, organization, document)
    contents = {page.page: page for page in pages}
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


def _words(words: Sequence[Word], height: float) -> list[PlacedText]:
    return [_place(word.box, height, word.text) for word in words[:MAX_WORDS]]


def _place(box: Box, height: float, text: str = "", *, margin: float = 0.0) -> PlacedText:
    x0, y0, x1, y1 = box
    return PlacedText(
        x=round(x0 * WIDTH - margin, 1),
        y=round(y0 * height - margin, 1),
        width=round(max((x1 - x0) * WIDTH, 0.1) + 2 * margin, 1),
        height=round(max((y1 - y0) * height, 0.1) + 2 * margin, 1),
        text=text,
    )
