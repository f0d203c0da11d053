"""What is wrong with a document, as errors of the tree: never retried, with the page where there is one."""

from __future__ import annotations

from towpath.core.errors import BadInputError, ErrorCode, TooLargeError, TowpathError

TOO_LARGE = frozenset({ErrorCode.DOCUMENT_TOO_LARGE, ErrorCode.PAGE_TOO_LARGE})


def document_error(code: ErrorCode, detail: str, page: int | None = None) -> TowpathError:
    """Make an error that says what is wrong with a document.

    Args:
        page: Which page it is; then also in the error's `extra`.
    """
    error = TooLargeError(detail, code=code) if code in TOO_LARGE else BadInputError(detail, code=code)
    if page is not None:
        error.extra["page"] = page
    return error


def damaged_error(detail: str, page: int | None = None) -> TowpathError:
    """Make the error of a document that is not what its kind should be."""
    return document_error(ErrorCode.DOCUMENT_DAMAGED, detail, page)


def page_too_large_error(page: int, detail: str) -> TowpathError:
    """Make the error of a page whose size nobody means."""
    return document_error(ErrorCode.PAGE_TOO_LARGE, f"page {page} {detail}", page)
