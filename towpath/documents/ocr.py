"""Words out of pictures: RapidOCR on onnxruntime; its models lie inside the installed package."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from towpath.core.extras import Extra, using
from towpath.documents.types import Box, Word

# The longest side that is looked at, in pixels: a letter at 180 dots an inch.
MAX_SIDE = 2_000
MIN_SIDE = 30
DIGITS = 5
_WORD = re.compile(r"\S+")

Pixels = npt.NDArray[np.uint8]


class Recogniser:
    """The models, loaded; a page takes seconds.

    Args:
        threads: Of one page.

    Raises:
        MissingExtraError: The extra `documents` is not installed.
    """

    def __init__(self, threads: int) -> None:
        with using(Extra.DOCUMENTS, "reading a scanned page"):
            from rapidocr import RapidOCR
        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.max_side_len": MAX_SIDE,
                "Global.return_word_box": True,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, picture: Pixels) -> tuple[list[Word], float | None]:
        """Read the words of a picture, line by line, and how sure they are; None: there are none.

        Args:
            picture: Rows of pixels of blue, green and red.
        """
        height, width = picture.shape[:2]
        seen = self._engine(picture)
        if seen.boxes is None or not seen.txts:
            return [], None
        words: list[Word] = []
        whole = length = 0.0
        pieces = seen.word_results if len(seen.word_results) == len(seen.txts) else [()] * len(seen.txts)
        for corners, text, score, parts in zip(seen.boxes, seen.txts, seen.scores, pieces, strict=True):
            words += _line_words(str(text), float(score), _spans(text, corners, parts), (width, height))
            whole += float(score) * len(text)
            length += len(text)
        return words, round(whole / length, 4)


def _spans(text: str, corners: Any, parts: Sequence[Any]) -> list[tuple[float, float, float, float]]:
    """Return a box in pixels for each character that is no space.

    The pieces that the engine finds are not always words, so each gives its characters an equal share of its width.
    """
    count = len("".join(text.split()))
    usable = all(len(part) == 3 and part[2] is not None for part in parts)
    if usable and count and sum(len("".join(part[0].split())) for part in parts) == count:
        return [span for part in parts for span in _shares(part[2], len("".join(part[0].split())))]
    return [span for span, char in zip(_shares(corners, len(text)), text, strict=True) if not char.isspace()]


def _shares(corners: Any, count: int) -> list[tuple[float, float, float, float]]:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = ((float(x), float(y)) for x, y in corners)
    shares = []
    for place in range(count):
        start, end = place / count, (place + 1) / count
        # Along the upper and the lower edge: a line may slant or stand on its head.
        xs = [ax + (bx - ax) * start, ax + (bx - ax) * end, dx + (cx - dx) * start, dx + (cx - dx) * end]
        ys = [ay + (by - ay) * start, ay + (by - ay) * end, dy + (cy - dy) * start, dy + (cy - dy) * end]
        shares.append((min(xs), min(ys), max(xs), max(ys)))
    return shares


def _line_words(
    text: str, score: float, spans: Sequence[tuple[float, float, float, float]], size: tuple[int, int]
) -> list[Word]:
    words, at = [], 0
    for match in _WORD.finditer(text):
        own = spans[at : at + len(match[0])]
        at += len(own)
        words.append(Word(match[0], _fractions(own, size), round(score, 4)))
    return words


def _fractions(spans: Sequence[tuple[float, float, float, float]], size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = zip(*spans, strict=True)
    return (
        _fraction(min(x0), size[0]),
        _fraction(min(y0), size[1]),
        _fraction(max(x1), size[0]),
        _fraction(max(y1), size[1]),
    )


def _fraction(place: float, size: int) -> float:
    return round(min(max(place / size, 0.0), 1.0), DIGITS)
