"""Texts as sparse vectors of words and character trigrams, weighted by rarity, and the likeness of pairs of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from towpath.entities.domain.matching.levels import (
    CODES_AGREE,
    CODES_CONFLICT,
    CODES_NEAR,
    CODES_NEUTRAL,
    NUMBERS_AGREE,
    NUMBERS_CONFLICT,
)
from towpath.entities.domain.matching.phones import is_same_phone

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

WORD_BUCKETS = 1 << 15
GRAM_BUCKETS = 1 << 13
MAX_WORDS = 160
MAX_CODES = 8
GRAM_CHARS = 160
"""Characters of a text that trigrams are taken from: the start of a long one tells enough."""
_STEPS = 12.0
"""Rarity is stored in twelfths of a bit, in one byte."""


class Rarity(NamedTuple):
    """How rare words and trigrams are, in hashed buckets (two rows for words; the rarer answer counts).

    Attributes:
        words: 2 x `WORD_BUCKETS` bytes.
        grams: `GRAM_BUCKETS` bytes.
    """

    words: npt.NDArray[np.uint8]
    grams: npt.NDArray[np.uint8]

    @classmethod
    def untrained(cls) -> Rarity:
        """Return weights under which all words are equally rare."""
        return cls(np.full((2, WORD_BUCKETS), 96, dtype=np.uint8), np.full(GRAM_BUCKETS, 72, dtype=np.uint8))

    @classmethod
    def of(cls, texts: Sequence[str]) -> Rarity:
        """Count in how many texts each word and trigram stands."""
        total = len(texts)
        if total < 2:
            return cls.untrained()
        counts = np.zeros((2, WORD_BUCKETS), dtype=np.int64)
        texts_with_word: dict[str, int] = {}
        for text in texts:
            for word in set(text.split(" ")[:MAX_WORDS]):
                texts_with_word[word] = texts_with_word.get(word, 0) + 1
        if texts_with_word:
            buckets = _word_buckets(list(texts_with_word))
            text_counts = np.fromiter(texts_with_word.values(), dtype=np.int64, count=len(texts_with_word))
            np.add.at(counts[0], buckets[0], text_counts)
            np.add.at(counts[1], buckets[1], text_counts)
        grams = np.zeros(GRAM_BUCKETS, dtype=np.int64)
        for start in range(0, total, 4_000):
            rows, buckets_of_grams = _trigrams(texts[start : start + 4_000])
            grams += np.bincount(
                np.unique(rows * GRAM_BUCKETS + buckets_of_grams) % GRAM_BUCKETS, minlength=GRAM_BUCKETS
            )
        return cls(_rarity_bytes(counts, total), _rarity_bytes(grams, total))

    def pack(self) -> tuple[str, str]:
        """Both tables as ASCII."""
        return base64.b64encode(self.words.tobytes()).decode(), base64.b64encode(self.grams.tobytes()).decode()

    @classmethod
    def unpack(cls, words: str, grams: str) -> Rarity:
        """Return the tables that `pack` made."""
        return cls(
            np.frombuffer(base64.b64decode(words), dtype=np.uint8).reshape(2, WORD_BUCKETS),
            np.frombuffer(base64.b64decode(grams), dtype=np.uint8),
        )

    def of_words(self, words: Sequence[str]) -> Floats:
        """Rarity of each word in bits."""
        first, second = _word_buckets(words)
        return np.asarray(np.maximum(self.words[0][first], self.words[1][second]).astype(np.float64) / _STEPS)


def _rarity_bytes(counts: npt.NDArray[np.int64], total: int) -> npt.NDArray[np.uint8]:
    # Half a text more keeps an unseen word finite; nothing is worth less than half a bit.
    bits = np.maximum(np.log2((total + 1.0) / (counts + 0.5)), 0.5)
    return np.asarray(np.minimum(np.round(bits * _STEPS), 255).astype(np.uint8))


def _word_buckets(words: Sequence[str]) -> tuple[Int64s, Int64s]:
    hashed = np.fromiter(
        (binascii.crc32(word.encode("utf-8", "surrogatepass")) for word in words), dtype=np.int64, count=len(words)
    )
    return hashed % WORD_BUCKETS, (hashed >> 16) * 31 % WORD_BUCKETS


def _trigrams(texts: Sequence[str]) -> tuple[Int64s, Int64s]:
    """Row number and bucket of every trigram, made of all texts at once."""
    joined = "".join(f"  {text[:GRAM_CHARS]} " for text in texts)
    lengths = np.fromiter((min(len(text), GRAM_CHARS) + 3 for text in texts), dtype=np.int64, count=len(texts))
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    if len(points) < 3:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    rows = np.repeat(np.arange(len(texts)), lengths)
    mixed = (points[:-2] * 1_000_003 + points[1:-1]) * 1_000_003 + points[2:]
    mixed = (mixed ^ (mixed >> 17)) * 0x9E3779B1
    buckets = (mixed >> 13) % GRAM_BUCKETS
    inside = rows[:-2] == rows[2:]
    return rows[:-2][inside], buckets[inside]


class TextSpace:
    """Vectors of some texts: unit length, so that the dot product of two rows is their cosine."""

    def __init__(self, texts: Sequence[str], rarity: Rarity) -> None:
        words_of_row = [set(text.split(" ", MAX_WORDS)[:MAX_WORDS]) for text in texts]
        held = list(chain.from_iterable(words_of_row))
        self.vocabulary = list(dict.fromkeys(held))
        numbers = dict(zip(self.vocabulary, range(len(self.vocabulary)), strict=True))
        weights = rarity.of_words(self.vocabulary)
        at = np.fromiter(map(numbers.__getitem__, held), dtype=np.int64, count=len(held))
        row_numbers = np.repeat(np.arange(len(texts)), np.fromiter(map(len, words_of_row), dtype=np.int64))
        shape = (len(texts), max(len(self.vocabulary), 1))
        self.words, self.norms = _unit_rows(row_numbers, at, weights[at] if len(at) else np.empty(0), shape)
        gram_rows, grams = _trigrams(texts)
        self.grams, _ = _unit_rows(
            gram_rows, grams, rarity.grams[grams].astype(np.float64) / _STEPS, (len(texts), GRAM_BUCKETS)
        )
        is_code = np.fromiter((_is_code(word) for word in self.vocabulary), dtype=bool, count=len(self.vocabulary))
        has_digit = np.fromiter(
            (not word.isalpha() and any(c.isdigit() for c in word) for word in self.vocabulary),
            dtype=bool,
            count=len(self.vocabulary),
        )
        self.codes = _mark_words(is_code, row_numbers, at, shape)
        self.numbers = _mark_words(has_digit, row_numbers, at, shape)
        self.has_code = np.diff(self.codes.indptr) > 0
        self._texts = texts
        self._joined: dict[int, str] = {}
        self._code_words: dict[int, list[str]] = {}

    def cosines(self, left: Int64s, right: Int64s) -> tuple[Floats, Floats]:
        """Likeness of rows by words and by trigrams."""
        return _row_dots(self.words, left, right), _row_dots(self.grams, left, right)

    def code_states(self, left: Int64s, right: Int64s) -> npt.NDArray[np.int8]:
        """Return what the codes of two rows say of each other: one of the `CODES_` states."""
        states = np.full(len(left), CODES_NEUTRAL, dtype=np.int8)
        both = self.has_code[left] & self.has_code[right]
        states[both] = CODES_CONFLICT
        at = np.flatnonzero(both)
        if len(at):
            states[at[_row_dots(self.codes, left[at], right[at]) > 0]] = CODES_AGREE
        open_pairs = np.flatnonzero((self.has_code[left] | self.has_code[right]) & (states != CODES_AGREE))
        for pair, left_row, right_row in zip(
            open_pairs.tolist(), left[open_pairs].tolist(), right[open_pairs].tolist(), strict=True
        ):
            if self._inside(left_row, right_row) or self._inside(right_row, left_row):
                states[pair] = CODES_AGREE
            elif (
                self.has_code[left_row]
                and self.has_code[right_row]
                and _near(self._codes_of(left_row), self._codes_of(right_row))
            ):
                states[pair] = CODES_NEAR
        at = np.flatnonzero(states == CODES_NEUTRAL)
        states[at] = self._number_states(left[at], right[at])
        return states

    def _number_states(self, left: Int64s, right: Int64s) -> npt.NDArray[np.int8]:
        """Without codes, what the other words with digits say: sizes, counts, years."""
        number_counts = np.diff(self.numbers.indptr)
        left_counts, right_counts = number_counts[left], number_counts[right]
        states = np.full(len(left), CODES_NEUTRAL, dtype=np.int8)
        at = np.flatnonzero((left_counts > 0) & (right_counts > 0))
        shared = np.round(_row_dots(self.numbers, left[at], right[at])).astype(np.int64)
        fewer = np.minimum(left_counts[at], right_counts[at])
        states[at[shared == fewer]] = NUMBERS_AGREE
        # Both sides name a number that the other one does not.
        states[at[shared < fewer]] = NUMBERS_CONFLICT
        return states

    def _codes_of(self, row: int) -> list[str]:
        if row not in self._code_words:
            columns = self.codes.indices[self.codes.indptr[row] : self.codes.indptr[row + 1]]
            self._code_words[row] = sorted(self.vocabulary[column] for column in columns.tolist())[:MAX_CODES]
        return self._code_words[row]

    def _inside(self, code_row: int, text_row: int) -> bool:
        """Return whether a code of one row is spelt with spaces in the other: `dscw55` in `sony dsc w55 camera`."""
        if not self.has_code[code_row]:
            return False
        if text_row not in self._joined:
            self._joined[text_row] = self._texts[text_row].replace(" ", "")
        joined = self._joined[text_row]
        return any(len(code) >= 5 and code in joined for code in self._codes_of(code_row))


def _near(first_codes: list[str], second_codes: list[str]) -> bool:
    """Return whether two codes are variants of a model: alike in five first characters and most of the shorter one.

    So are two spellings of a phone number.
    """
    for first in first_codes:
        for second in second_codes:
            length = min(len(first), len(second))
            needed = max(5, (7 * length + 9) // 10)
            if (length >= needed and first[:needed] == second[:needed]) or is_same_phone(first, second):
                return True
    return False


def _is_code(word: str) -> bool:
    """Return whether a word mixes letters and digits, or is a number too long for a size or a count."""
    return len(word) >= 4 and not word.isalpha() and "." not in word and (len(word) >= 5 or not word.isdigit())


def _mark_words(
    marks: npt.NDArray[np.bool_], rows: Int64s, columns: Int64s, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Ones where a row holds a marked word."""
    is_marked = marks[columns] if len(columns) else np.empty(0, dtype=bool)
    return sparse.csr_matrix(
        (np.ones(int(is_marked.sum())), (rows[is_marked], columns[is_marked])), shape=shape, dtype=np.float64
    )


def _unit_rows(
    rows: Int64s, columns: Int64s, weights: Floats, shape: tuple[int, int]
) -> tuple[sparse.csr_matrix, Floats]:
    matrix = sparse.csr_matrix((weights, (rows, columns)), shape=shape, dtype=np.float64)
    matrix.sum_duplicates()
    squared = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    norms = np.sqrt(np.maximum(squared, 1e-12))
    matrix.data /= np.repeat(norms, np.diff(matrix.indptr))
    return matrix, norms


def _row_dots(matrix: sparse.csr_matrix, left: Int64s, right: Int64s) -> Floats:
    dots = np.empty(len(left), dtype=np.float64)
    for start in range(0, len(left), 50_000):
        part = slice(start, start + 50_000)
        dots[part] = np.asarray(matrix[left[part]].multiply(matrix[right[part]]).sum(axis=1)).ravel()
    return dots
