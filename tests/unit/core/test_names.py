"""One spelling of addresses and names; ids of organizations; which passwords are refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from towpath.accounts.domain.keys import SLUG_CHARACTERS, generate_slugs
from towpath.accounts.domain.passwords import LOOKED_AT, find_weakness
from towpath.core.names import name_key, normalize_email, normalize_name


@pytest.mark.parametrize(
    "spelling",
    [
        "Owner@A.example", "ｏwner@a.example", "owner\u200b@a.example", "owner@a\u00ad.example", "owner@ａ.example",
        " owner@a.example ", "owner@a。example", "ow\u2060ner@a.example", "owner\ufe0f@a.example", "owner@a.example.",
        "o\u034fwner@a.example", "owner\u3164@a.example",
    ],
)  # fmt: skip
def test_look_alikes_are_one_address(spelling: str) -> None:
    assert normalize_email(spelling) == "owner@a.example"


def test_a_domain_is_written_in_ascii() -> None:
    assert normalize_email("Ada@BÜCHER.example") == "ada@xn--bcher-kva.example"
    assert normalize_email("ада@пример.example") == "ада@xn--e1afmkfd.example"


@pytest.mark.parametrize(
    "wrong", ["ada", "@a.example", "ada@", "ada@a", "a\x07da@a.example", "ada@\u200b.\u200b", "a b@c.d"]
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"must|cannot"):
        normalize_email(wrong)


@given(some.text())
def test_a_normal_form_is_its_own(text: str) -> None:
    for normal in (normalize_email, normalize_name, name_key):
        try:
            once = normal(text)
        except ValueError:
            continue
        assert normal(once) == once


@given(some.text(min_size=1), some.text(min_size=1))
def test_a_normal_address_is_its_own(local: str, host: str) -> None:
    try:
        once = normalize_email(f"{local}@{host}.example")
    except ValueError:
        return
    assert normalize_email(once) == once


def test_names_differ_in_more_than_case_and_what_is_not_seen() -> None:
    assert normalize_name("  Lamp\u200b \n Works ") == "Lamp Works"
    assert name_key("LAMP\u200d  works") == name_key("Lamp Works") == name_key("Ｌamp Works")
    for nothing in ("", " ", "\u200b", "\u2060 \ufe0f"):
        with pytest.raises(ValueError, match=r"must|cannot"):
            normalize_name(nothing)


def test_every_script_has_ids_of_its_own() -> None:
    names = ["日本", "中国", "Ελλάδα", "Россия", "!!", "??"]
    firsts = [next(generate_slugs(name)) for name in names]

    assert len(set(firsts)) == len(names)
    assert all(one.startswith("org-") for one in firsts)
    assert next(generate_slugs("日本")) == firsts[0]
    assert next(generate_slugs("Café Müller & Söhne")) == "cafe-muller-sohne"
    assert next(generate_slugs("Lamp Works")) == next(generate_slugs("lamp works")) == "lamp-works"
    assert (
        list(generate_slugs("Lamp Works"))[1]
        == list(generate_slugs("LAMP works"))[1]
        != list(generate_slugs("Lamp-Works"))[1]
    )


@given(some.text(min_size=1, max_size=100))
def test_an_id_is_short_and_plain(name: str) -> None:
    try:
        found = list(generate_slugs(name))
    except ValueError:
        return
    assert len(set(found)) == len(found) >= 2
    for one in found:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", one), one
        assert len(one) <= SLUG_CHARACTERS


WHO = {"email": "ada.lovelace@engines.example", "organization": "Difference Works"}


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "must have at least 10 characters"),
        ("x" * 1025, "must have at most 1024 characters"),
        ("1234567890", "is too easy to guess: this is a top-100 common password"),
        ("aaaaaaaaaa", "is too easy to guess"),
        ("password123", "is too easy to guess"),
        ("a" * 1024, "is too easy to guess"),
        ("ada.lovelace@engines.example", "must not contain the e-mail address"),
        ("ADA.Lovelace-5513-xq", "must not contain the e-mail address"),
        ("ada.love\u200blace-5513-xq", "must not contain the e-mail address"),
        ("xq 5513 difference works", "must not contain the organization's name"),
        ("DifferenceWorks-71-qz", "must not contain the organization's name"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, why: str) -> None:
    assert (find_weakness(password, **WHO) or "").startswith(why)


@pytest.mark.parametrize(
    "password",
    ["correct horse battery", "tr4verse\u0000-Qu1lt", "日本語のながい秘密の言葉です", "x7!mq,vt9 wld;3rpz" * 50],
)
def test_a_good_password_is_taken(password: str) -> None:
    assert find_weakness(password, **WHO) is None


def test_a_short_name_is_no_reason() -> None:
    assert find_weakness("correct horse battery", email="ho@engines.example", organization="Or") is None


def test_a_long_password_is_judged_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        "towpath.accounts.domain.passwords.zxcvbn",
        lambda text, user_inputs: seen.append(len(text)) or {"score": 4, "feedback": {"warning": ""}},
    )

    assert find_weakness("ab3$" * 250, **WHO) is None
    assert seen == [LOOKED_AT]
