"""Scripts other than Latin: names as words that can be compared, and in Latin letters beside their own.

Chinese, Japanese and Korean are written without spaces. Their characters become words of their own, as search engines
take them, so that a name with a part more or less, in another order, or with its legal form before instead of behind,
still shares most of its words. Legal forms stay whole.
"""

from __future__ import annotations

import re
from functools import lru_cache

from anyascii import anyascii

_FORMS = (
    "股份有限公司", "有限责任公司", "有限責任公司", "有限公司", "株式会社", "株式會社", "有限会社", "合同会社",
    "合資会社", "주식회사", "유한회사", "유한책임회사",
)  # fmt: skip
_SHORT_FORMS = {
    "(株)": " 株式会社 ", "(有)": " 有限会社 ", "(同)": " 合同会社 ", "(资)": " 合資会社 ", "(주)": " 주식회사 ",
    "(유)": " 유한회사 ",
}  # fmt: skip
CJK_LEGAL_FORMS = frozenset(_FORMS)
_CJK = (
    "\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
    "\U00020000-\U0003ffff"
)
_HAS_CJK = re.compile(f"[{_CJK}]")
_PART = re.compile(f"{'|'.join(_FORMS)}|[{_CJK}]")
_BETWEEN_CHARACTERS = re.compile(f"(?<=[{_CJK}]) (?=[{_CJK}])")
_GUESSED = re.compile(r"[^\x00-\u036f\u0370-\u058f\u10a0-\u10ff\u1c80-\u1cbf\u1d00-\u2bff\u2d00-\u2d2f\ua640-\ua69f]")
_SILENT = re.compile("['`’]")
_WORD = re.compile(r"[a-z0-9.]+")
_SHORT_FORM = re.compile("|".join(map(re.escape, _SHORT_FORMS)))


def part_characters(text: str) -> str:
    """Put spaces around each Chinese, Japanese and Korean character, and around legal forms, which are spelt out."""
    if not _HAS_CJK.search(text):
        return text
    text = _SHORT_FORM.sub(lambda match: _SHORT_FORMS[match[0]], text)
    return _PART.sub(r" \g<0> ", text)


def is_character(word: str) -> bool:
    """Say whether a word is a single character of such a script."""
    return len(word) == 1 and word > "\u3004" and _HAS_CJK.match(word) is not None


def is_read_by_guess(value: str) -> bool:
    """Say whether Latin letters cannot tell how a value is spelt by others.

    Characters have one reading of several, and other scripts leave vowels out. Alphabets such as Cyrillic and Greek
    tell every sound.
    """
    return not value.isascii() and _GUESSED.search(value) is not None


@lru_cache(maxsize=1 << 14)
def latin_view(value: str) -> str | None:
    """Write a normalised value in Latin letters, as another source may: `ольга` as `olga`, `小 明` as `xiaoming`.

    Traditional and simplified characters have one reading, so their views are equal. Japanese is read as Chinese, and
    scripts without vowels stay without: a view is never compared instead of the value, only beside it.

    Returns:
        None: the value is in Latin letters already.
    """
    if value.isascii():
        return None
    text = anyascii(_BETWEEN_CHARACTERS.sub("", value)).lower()
    return " ".join(_WORD.findall(_SILENT.sub("", text))) or None
