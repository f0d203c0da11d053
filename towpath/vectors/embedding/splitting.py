"""Long texts become parts of bounded tokens that overlap, cut where a reader would cut."""

from __future__ import annotations

import threading
from typing import Any

from towpath.core.errors import BadInputError, ErrorCode
from towpath.vectors.embedding.local import TOKENIZER, find_packaged

# Beyond this a text is a book: one object would crowd out the others in every search.
MAX_CHARACTERS = 2_000_000
MAX_PARTS = 1_000


class Splitter:
    """Cuts by tokens of the local model's tokenizer; for other models they are close enough to stay in bounds.

    Args:
        part_tokens: Most tokens in a part.
        overlap: Tokens that a part shares with the one before.
    """

    def __init__(self, *, part_tokens: int, overlap: int) -> None:
        self._part_tokens = part_tokens
        self._overlap = overlap
        self._loading = threading.Lock()
        self._splitter: Any = None

    def split(self, text: str) -> list[str]:
        """Return the parts of a text, in order; blocks while it counts.

        Raises:
            BadInputError: The text is too long.
        """
        # A token has a character at least.
        if len(text) <= self._part_tokens:
            return [text]
        if len(text) > MAX_CHARACTERS:
            raise BadInputError(f"the text has more than {MAX_CHARACTERS} characters", code=ErrorCode.TOO_MANY_PARTS)
        parts: list[str] = self._load().chunks(text)
        if len(parts) > MAX_PARTS:
            raise BadInputError(f"the text makes more than {MAX_PARTS} parts", code=ErrorCode.TOO_MANY_PARTS)
        return parts or [text]

    def _load(self) -> Any:
        with self._loading:
            if self._splitter is None:
                from semantic_text_splitter import TextSplitter
                from tokenizers import Tokenizer

                tokenizer = Tokenizer.from_file(str(find_packaged(TOKENIZER)))
                tokenizer.no_truncation()
                tokenizer.no_padding()
                self._splitter = TextSplitter.from_huggingface_tokenizer(
                    tokenizer, self._part_tokens, overlap=self._overlap
                )
            return self._splitter
