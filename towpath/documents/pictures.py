"""Images: one page each, TIFFs one a frame; turned as their camera says, read by sight."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from towpath.core.errors import TowpathError
from towpath.documents.base import Document, Recognisers
from towpath.documents.faults import damaged_error, page_too_large_error
from towpath.documents.layout import write_markdown
from towpath.documents.ocr import MAX_SIDE
from towpath.documents.types import DocumentKind, ImageType, OcrMode, PageContent, ReadLimits, ReadMethod

JPEG_QUALITY = 85
ORIENTATION = 0x0112
SIDEWAYS = frozenset({5, 6, 7, 8})
# What the library raises for files that are not what they say.
BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, TypeError)


class PictureFile(Document):
    """An image file; opened anew for each page, so that nothing decoded is kept.

    Args:
        path: Of the file.
        kind: An image's; other formats are not even tried.
        limits: Of reading.
        recogniser: Reads it.

    Raises:
        BadInputError: Damaged.
        TooLargeError: More pixels than are read.
    """

    def __init__(self, path: Path, kind: DocumentKind, limits: ReadLimits, recogniser: Recognisers) -> None:
        super().__init__(limits)
        self._path = path
        self._kind = kind
        self._recogniser = recogniser
        # The library's own check is for those pictures that it opens unasked, such as previews.
        Image.MAX_IMAGE_PIXELS = limits.most_pixels
        with self._open(1) as image:
            try:
                self._pages = int(getattr(image, "n_frames", 1)) if kind == DocumentKind.TIFF else 1
            except BROKEN as error:
                raise self._broken_error() from error

    @property
    def pages(self) -> int:
        """Return how many there are."""
        return self._pages

    def read(self, page: int, ocr: OcrMode) -> PageContent:
        """Read what is seen; nothing when that is not asked for."""
        with self._open(page) as image:
            width, height = _upright_size(image, page)
            read = PageContent(page=page, content="", width=width, height=height, method=ReadMethod.OCR)
            if ocr == "never":
                return read
            picture = _upright(image, page, MAX_SIDE**2)
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
        read.words, read.confidence = self._recogniser().read(np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]))
        read.content = write_markdown(read.words, width, height)
        return read

    def render(self, page: int, most_pixels: int, media: ImageType) -> bytes:
        """Render the image upright, made smaller where it has more pixels."""
        with self._open(page) as image:
            picture = _upright(image, page, most_pixels)
        scale = math.sqrt(most_pixels / (picture.width * picture.height))
        if scale < 1:
            picture.thumbnail((max(1, int(picture.width * scale)), max(1, int(picture.height * scale))))
        return encode_picture(picture, media)

    @contextmanager
    def _open(self, page: int) -> Iterator[Image.Image]:
        """Open the image at one of its frames, not decoded yet, and not too large to be."""
        most = self.limits.most_pixels
        try:
            image = Image.open(self._path, formats=[self._kind.upper()])
            image.seek(page - 1)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise page_too_large_error(page, f"has more pixels than the limit of {most:,}") from error
        except BROKEN as error:
            raise self._broken_error() from error
        with image:
            if image.width * image.height > most:
                raise page_too_large_error(
                    page, f"has {image.width:,} by {image.height:,} pixels; the limit is {most:,}"
                )
            yield image

    def _broken_error(self) -> TowpathError:
        return damaged_error(f"the document is a broken {self._kind.upper()}")


def encode_picture(picture: Image.Image, media: ImageType) -> bytes:
    """Encode a picture as a file."""
    out = io.BytesIO()
    if media == "image/jpeg":
        picture.convert("RGB").save(out, "JPEG", quality=JPEG_QUALITY)
    else:
        # The picture is looked at once: speed before size.
        picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _upright_size(image: Image.Image, page: int) -> tuple[int, int]:
    try:
        turned = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
    except BROKEN as error:
        raise damaged_error(f"page {page} is broken", page) from error
    return (image.height, image.width) if turned else (image.width, image.height)


def _upright(image: Image.Image, page: int, most_pixels: int) -> Image.Image:
    """Turn a picture upright, in red, green and blue; a JPEG no larger than asked for, as far as that saves work."""
    try:
        if image.format == "JPEG" and image.width * image.height > 4 * most_pixels:
            side = math.isqrt(most_pixels)
            image.draft("RGB", (side, side))
        return _flat(ImageOps.exif_transpose(image))
    except BROKEN as error:
        raise damaged_error(f"page {page} is broken", page) from error


def _flat(picture: Image.Image) -> Image.Image:
    """Convert a picture to red, green and blue, on white paper."""
    if picture.mode.startswith("I;16") or picture.mode in {"I", "F"}:
        values = np.asarray(picture, dtype=np.float64)
        most = max(float(values.max()), 1.0)
        return Image.fromarray((values * (255.0 / most)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        shown = picture.convert("RGBA")
        paper = Image.new("RGBA", shown.size, "white")
        paper.alpha_composite(shown)
        return paper.convert("RGB")
    return picture.convert("RGB")
