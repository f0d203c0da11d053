"""Patterns on RE2: the meaning that Python gives them, in linear time."""

from __future__ import annotations

import re

import pytest

from towpath.core.json_schema.patterns import MAX_CHARACTERS, BadPatternError, Pattern, compile_pattern

TEXTS = [
    "", "abc", "Müller", "müller 12", "٣٤", "a\u00a0b", "\n", "_", "-", "é", "漢字", "[", ":", "]", "a]b", "\t", "😀",
    "{,3}", "aaa", "\x1c", "‿", "\x08", "a-b.c", "A1", "ab", "/",
]  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\w+$", r"\W", r"[\W_]", r"[^\W\d_]", r"^\d+$", r"\D", r"[\D]", r"\s", r"[\s]", r"[^\s]", r"[\S]", r"\S",
        r"^[\s\S]*$", r"[]a]", r"[^]a]", r"[a\]]b", r"[[:alph]]", r"\u00e9", r"[\u00e0-\u00ff]", r"a{,3}$", r"c\Z",
        r"^[A-Z]\d$", r"\bM", r"[\b]", r"[\w.-]+$", r"\.", r"\/", r"a\-b", r"(?i)MÜLL", r"(?P<x>a)b", r"^.$", r"\x41",
        r"[\x00-\x1f]", r"^a(?:b|c)*$", "x|", r"\d{1,2}?$",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Possible nested set")
def test_a_pattern_means_what_it_means_in_python(pattern: str) -> None:
    made = Pattern(pattern)
    assert [made.found_in(text) for text in TEXTS] == [re.search(pattern, text) is not None for text in TEXTS]


@pytest.mark.parametrize("pattern", [r"\p{Greek}", r"^\u{1F600}$", r"^\ud83d\ude00$"])
def test_what_ecma_knows_and_python_does_not_is_taken(pattern: str) -> None:
    assert [text for text in ("α", "😀", "a") if Pattern(pattern).found_in(text)] == (
        ["α"] if "Greek" in pattern else ["😀"]
    )


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)b", "look-ahead"),
        ("(?<!a)b", "look-behind"),
        ("(?>a)", "not supported"),
        (r"(a)\1", r"back-references are not supported: \1"),
        ("(?P<x>a)(?P=x)", "not supported"),
        ("a++", "possessive"),
        ("a{1,2000}", "more than 1,000"),
        ("(a{0,100}){0,100}", "more than 1,000"),
        (r"(?:\p{L}{1,500}){2}", "too large"),
        ("[", "missing ]"),
        ("(", "missing )"),
        (r"\u12", "four hexadecimal digits"),
        (r"\C", "unknown escape"),
        ("\\", "trailing"),
        ("a" * (MAX_CHARACTERS + 1), "longer than"),
    ],
)
def test_what_does_not_run_in_linear_time_is_refused_with_its_reason(pattern: str, reason: str) -> None:
    with pytest.raises(BadPatternError, match=re.escape(reason)):
        _ = compile_pattern(pattern).size


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", r"^(\w+\s?)*$", "(x+x+)+y"])
def test_a_runaway_pattern_takes_no_longer_than_any_other(pattern: str) -> None:
    """With `re`, forty characters of this take days."""
    assert not compile_pattern(pattern).found_in("a" * 100_000 + "!")


def test_halves_of_a_surrogate_pair_match_nothing_and_do_no_harm() -> None:
    assert not Pattern("^é$").found_in("\ud83d")
