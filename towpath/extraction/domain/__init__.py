"""Documents as pure functions: which kind, words to Markdown, labels to values, values to a schema's properties.

Start with `kinds.py` for the file, `layout.py` for a page's text, `fields.py` and `matching.py` for what it says.
"""

from towpath.documents.kinds import HEAD_BYTES, UnsupportedFile, detect_kind
from towpath.documents.layout import markdown_of
from towpath.extraction.domain.fields import PageFields, Pair, fields_of
from towpath.extraction.domain.matching import Found, match_fields

__all__ = [
    "HEAD_BYTES",
    "Found",
    "PageFields",
    "Pair",
    "UnsupportedFile",
    "detect_kind",
    "fields_of",
    "markdown_of",
    "match_fields",
]
