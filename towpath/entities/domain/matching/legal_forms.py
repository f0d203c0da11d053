"""Legal forms of companies: one spelling for each, so that `S.p.A.` and `SpA`, `Limited` and `Ltd` are one word."""

from __future__ import annotations

import re

_SHORT = {
    "limited": "ltd", "incorporated": "inc", "corporation": "corp", "company": "co", "proprietary": "pty",
    "aktiengesellschaft": "ag", "kommanditgesellschaft": "kg", "aktiebolag": "ab", "osakeyhtio": "oy",
}  # fmt: skip
_DOTTED = (
    "gmbh", "ag", "kg", "ohg", "ug", "ltd", "llc", "llp", "lp", "plc", "inc", "co", "corp", "spa", "srl", "sa", "sarl",
    "sas", "sca", "snc", "sl", "slu", "bv", "nv", "ab", "as", "oy", "kk", "sro", "doo", "dd", "lda", "eirl", "sc", "pt",
)  # fmt: skip
_OTHERS = """
    lllp pllc pc kgaa se ev gbr mbh spzoo spz zoo ooo oao zao pao ao aps ans asa oyj bvba cv vof srls scpa slne sau scs
    sasu scop ltda sapi kft zrt nyrt bt sk uab sia ou eood ood ead ad tov bhd sdn pte kabushiki kaisha gk yk
"""
LEGAL_FORMS = frozenset({*_DOTTED, *_SHORT.values(), *_OTHERS.split()})
"""Words that say what kind of company it is, and not which one."""
LEADING_FORMS = frozenset({"ooo", "oao", "zao", "pao", "ao", "tov", "pt", "ip"})
"""Legal forms that stand in front of the name."""
_TAIL_CHARS = 16
_DOTTED_TAIL = re.compile(
    r"(?<![a-z0-9.])(?:" + "|".join(r"\.\s?".join(form) for form in sorted(_DOTTED, key=len, reverse=True)) + r")\.?$"
)
_SP_Z_OO = re.compile(r"(?<![a-z0-9.])sp\.?\s?z\.?\s?o\.?\s?o\.?$")


def join_dotted_form(text: str) -> str:
    """Join a legal form whose letters are parted by dots: `tessuti s.p.a.` to `tessuti spa`.

    Only at the end of a text, where initials of persons do not stand.
    """
    text = text.replace("g.m.b.h.", "gmbh ")
    tail = text[-_TAIL_CHARS:]
    if "." not in tail:
        return text
    tail = _SP_Z_OO.sub("spzoo", tail)
    if tail.count(".") > 1:
        tail = _DOTTED_TAIL.sub(lambda match: re.sub(r"[.\s]", "", match[0]), tail)
    return text[:-_TAIL_CHARS] + tail


def shorten_forms(words: list[str]) -> list[str]:
    """Replace the long names of legal forms among some words by the short ones."""
    return words if _SHORT.keys().isdisjoint(words) else [_SHORT.get(word, word) for word in words]
