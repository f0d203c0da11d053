"""Spellings of one value become one: months, phones, numbers, names without spaces, legal forms."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest

from tests.support.months import make_table
from tests.unit.entities.builders import index
from towpath.core.months import TABLE
from towpath.entities.domain.matching import default_model, prepare, score_pairs
from towpath.entities.domain.matching.levels import WORDS_ALIKE, WORDS_CONFLICT
from towpath.entities.domain.matching.normalise import (
    MAX_CHARS,
    NORMALISERS,
    normalise_date,
    normalise_number,
    normalise_text,
)
from towpath.entities.domain.matching.phones import is_same_phone, join_digits
from towpath.entities.domain.matching.scripts import latin_view
from towpath.entities.domain.matching.textspace import Rarity
from towpath.entities.domain.matching.views import find_misread_thousands
from towpath.entities.domain.matching.words import compare_words


@pytest.mark.parametrize(
    "raw",
    [
        "9. März 2020", "9-Mär-2020", "9 mars 2020", "le 9 mars 2020", "9 de marzo de 2020", "lun. 9 marzo 2020",
        "9 марта 2020 г.", "9 Μαρτίου 2020", "9.maaliskuuta 2020", "2020. március 9.", "9 मार्च 2020", "٩ مارس ٢٠٢٠",
        "2020年3月9日", "２０２０年３月９日", "2020년 3월 9일", "9 tháng 3 năm 2020", "Mon, 09 Mar 2020 10:00:00 GMT",
        "9 marca 2020", "9 maart 2020", "9 Mart 2020", "9 มีนาคม 2020", "2020-03-09T00:00:00+01:00",
        "9. III. 2020", "9.III.2020", "9 III 2020", "2020. III. 9.", "9 มีนาคม 2563", "๙ มีนาคม ๒๕๖๓",
    ],
)  # fmt: skip
def test_a_date_is_read_in_many_languages(raw: str) -> None:
    assert normalise_date(raw) == "20200309"


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("12 mai 1985", "19850512"),
        ("1 gennaio 1990", "19900101"),
        ("3 de enero de 1985", "19850103"),
        ("mar 3 ene 1985", "19850103"),
        ("1er août 2019", "20190801"),
        ("abril de 2020", "20200400"),
        # October in Croatian, November in Polish and Czech.
        ("9 listopada 2020", "20200000"),
        ("9 Nonmonth 2020", "20200000"),
        ("2020 Nonmonth 9", "20200000"),
        ("Nonmonth 9, 2020", "20200000"),
        ("Q3 2020", "20200000"),
        ("H1/2020", "20200000"),
        ("2020-W12-3", "20200000"),
        ("publ. 03/2020", "20200300"),
        ("12 IIII 2020", "20200000"),
        ("3. Jänner 1990", "19900103"),
        ("3 نيسان 1990", "19900403"),
        ("3 جويلية 1990", "19900703"),
        ("das Jahr 1990", "19900000"),
        ("12 XIII 2020", "20200000"),
        ("03/2020", "20200300"),
        ("circa 1945", "19450000"),
        ("4 Apr 0", None),
        ("4 Apr 99", "19990404"),
    ],
)
def test_a_day_is_never_read_as_a_month(raw: str, normal: str | None) -> None:
    assert normalise_date(raw) == normal


def test_the_months_are_those_of_cldr() -> None:
    assert json.loads(TABLE.read_text(encoding="utf-8")) == make_table()


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("1,234", "1234"), ("1 234", "1234"), ("1'234", "1234"), ("1’234", "1234"), ("1\u202f234", "1234"),
        ("1\u2009234", "1234"), ("1.234 €", "1234"), ("$1.234", "1234"), ("١٬٢٣٤", "1234"), ("1.234.567", "1234567"),
        ("12 345,67 €", "12345.67"), ("1 234 567.5", "1234567.5"), ("1.234", "1.234"), ("€1.459/l", "1.459"),
        ("0.125 €", "0.125"), ("2012 345", "2012"), ("12 3456", "12"), ("−5", "-5"), ("007", "7"), ("007.50", "7.5"),
    ],
)  # fmt: skip
def test_thousands_are_read_as_they_are_written(raw: str, normal: str) -> None:
    assert normalise_number(raw) == normal


def test_a_mark_that_may_be_of_thousands_is_told_by_the_other_side() -> None:
    pairs = [(1.234, 1234), (1230, 1.23), (-1.5, -1500), (1, 1000), (0.125, 125), (1.234, 1235), (1.5, -1500), (2, 2)]
    left, right = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))

    assert find_misread_thousands(left, right).tolist() == [True, True, True, *[False] * 5]


PHONES = [
    "(212) 555-0147", "212.555.0147", "2125550147", "212 555 0147", "+1 212 555 0147", "+12125550147", "1-212-555-0147",
    "001 212 555 0147", "212/555-0147", "(212) 555-0147 ext. 12", "٢١٢ ٥٥٥ ٠١٤٧",
    "tel:+1-212-555-0147", "Tel. (212) 555-0147", "Phone: 212 555 0147", "Fax 212-555-0147", "mobile +1 212 555 0147",
]  # fmt: skip


def test_a_phone_is_one_number_however_it_is_spelt() -> None:
    config = index(phone="string", note="text")
    assert {normalise_text(phone) for phone in PHONES} == {"2125550147"}
    keys = [prepare({"phone": phone}, config).keys for phone in PHONES]
    assert all(np.array_equal(keys[0], other) for other in keys)


@pytest.mark.parametrize(
    ("national", "international"),
    [
        ("030 1234567", "+49 (0)30 1234567"), ("020 7946 0958", "+44 20 7946 0958"),
        ("01 23 45 67 89", "0033 123456789"),
        ("06 1234 5678", "+39 06 1234 5678"),
        ("8 12 34 56 78", "+852 8 12 34 56 78"), ("044 668 18 00", "+41446681800"),
    ],
)  # fmt: skip
def test_a_country_code_is_optional(national: str, international: str) -> None:
    assert join_digits(national) == join_digits(international)


def test_a_code_without_a_plus_is_told_by_the_other_side() -> None:
    assert is_same_phone("12125550147", "2125550147")
    assert is_same_phone("2125550147", "5550147")
    assert not is_same_phone("2125550147", "2125550148")
    assert not is_same_phone("550147", "2125550147")
    assert not is_same_phone("ab5550147", "5550147")


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("007", "7"), ("07631", "7631"), ("000", "0"), ("0012345678", "12345678"), ("78-1969842", "781969842"),
        ("1945-03-12", "1945 03 12"), ("12.03.1945", "12 03 1945"), ("1990-2005", "1990 2005"), ("10/100", "10 100"),
        ("192.168.100.200", "192 168 100 200"), ("52.1234567", "52.1234567"), ("52.123 13.456", "52.123 13.456"),
        ("2020-03-09 1200", "2020 03 09 1200"), ("agent 007", "agent 007"), ("12345678901234567", "12345678901234567"),
    ],
)  # fmt: skip
def test_digits_are_joined_where_no_mark_means_anything(raw: str, normal: str) -> None:
    assert normalise_text(raw) == normal


COMPANIES = [
    ("北京东方科技有限公司", "北京东方科技股份有限公司"), ("深圳南山贸易有限公司", "深圳南山贸易"),
    ("東京電機株式会社", "株式会社東京電機"), ("東京電機株式会社", "（株）東京電機"), ("㈱東京電機", "東京電機"),
    ("서울전자 주식회사", "(주)서울전자"), ("서울 전자", "서울전자㈜"), ("有限会社さくら", "さくら"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), COMPANIES)
def test_names_without_spaces_share_characters_and_keys(one: str, other: str) -> None:
    config = index(name="text", city="string")
    first, second = (set((normalise_text(name) or "").split()) for name in (one, other))
    keys = [set(prepare({"name": name}, config).keys.tolist()) for name in (one, other)]

    assert min(map(len, (first, second))) - len(first & second) <= 1
    assert len(keys[0] & keys[1]) >= 2


@pytest.mark.parametrize(
    ("one", "other", "view"),
    [
        ("Ольга Иванова", "Olga Ivanova", "olga ivanova"), ("小明", "Xiaoming", "xiaoming"), ("서울", "Seoul", "seoul"),
        ("李小明", "Li Xiaoming", "lixiaoming"), ("廣州華麗傳媒", "广州华丽传媒", "guangzhouhualichuanmei"),
        ("Γιώργος", "Giorgos", "giorgos"), ("Щербаков", "Shcherbakov", "shcherbakov"), ("さくら", "Sakura", "sakura"),
    ],
)  # fmt: skip
def test_other_scripts_share_keys_with_latin_letters(one: str, other: str, view: str) -> None:
    config = index(name="text", city="string")
    keys = [set(prepare({"name": name}, config).keys.tolist()) for name in (one, other)]

    assert latin_view(normalise_text(one) or "") == view
    assert keys[0] & keys[1]


@pytest.mark.parametrize("kind", ["text", "string"])
@pytest.mark.parametrize(
    ("one", "other"),
    [("Ольга Иванова", "Olga Ivanova"), ("廣州華麗傳媒", "广州华丽传媒"), ("小明", "Xiaoming"), ("さくら", "SAKURA")],
)
def test_other_scripts_speak_for_a_match(kind: str, one: str, other: str) -> None:
    (bits,) = contributions({"name": one}, {"name": other}, name=kind)

    assert bits > 2.5


@pytest.mark.parametrize("kind", ["string", "text"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("Müßig Käse KG", "Muessig Kaese KG"), ("Jürgen", "Juergen"), ("Möbelhaus Günther", "Moebelhaus Guenther")],
)
def test_umlauts_are_written_in_two_ways(kind: str, first: str, second: str) -> None:
    config = index(name=kind)
    sides = [prepare({"id": raw, "name": raw}, config).values for raw in (first, second)]

    contributions = score_pairs(default_model(config), sides[:1], sides[1:]).contributions

    assert contributions[0, 0] > 3.0


def test_a_country_code_without_a_plus_speaks_for_a_match() -> None:
    (bits,) = contributions({"phone": "12125550147"}, {"phone": "(212) 555-0147"}, phone="string")
    (in_text,) = contributions({"phone": "12125550147"}, {"phone": "(212) 555-0147"}, phone="text")
    (other,) = contributions({"phone": "12125550147"}, {"phone": "(212) 555-0199"}, phone="text")

    assert bits > 2.5
    assert in_text > other + 3.5


def contributions(one: dict[str, str], other: dict[str, str], **fields: str) -> list[float]:
    config = index(**fields)
    values = [prepare(row, config).values for row in (one, other)]
    found: list[float] = score_pairs(default_model(config), values[:1], values[1:]).contributions[0].tolist()
    return found


@pytest.mark.parametrize("kind", ["text", "string"])
def test_names_the_other_way_round_and_in_one_field_agree(kind: str) -> None:
    fields = {"first": kind, "last": kind, "born": "date"}
    person = {"first": "Marta", "last": "Kowalik", "born": "1990-05-01"}

    swapped = contributions(person, person | {"first": "Kowalik", "last": "Marta"}, **fields)
    joined = contributions(person, {"first": "Kowalik, Marta", "born": "1990-05-01"}, **fields)
    other = contributions(person, person | {"first": "Kowalik", "last": "Marek"}, **fields)

    assert min(swapped) > 3.0
    assert joined[0] > 3.0
    assert min(other) < 0.0


@pytest.mark.parametrize(
    ("one", "other", "state"),
    [
        ("东 方 有限公司", "东 方 股份有限公司", WORDS_ALIKE),
        ("ольга иванова", "olga ivanova", WORDS_ALIKE), ("廣 州 華 麗", "广 州 华 丽", WORDS_ALIKE),
        ("acme tools red", "acme tools blue", WORDS_CONFLICT), ("东 方 科 技", "北 方 科 技", WORDS_CONFLICT),
    ],
)  # fmt: skip
def test_a_legal_form_or_another_script_is_no_conflict(one: str, other: str, state: int) -> None:
    # Every word stands in many texts, so that each one may tell values apart.
    texts = [one, other] * 20
    rarity = Rarity.of(texts)

    states = compare_words(rarity, len(texts), [one, other], np.array([0]), np.array([1]))

    assert states.tolist() == [state]


def test_what_is_in_latin_letters_has_no_other_view() -> None:
    assert latin_view("olga") is None


def test_a_legal_form_alone_is_no_key() -> None:
    config = index(name="text")
    keys = [set(prepare({"name": f"{name}株式会社"}, config).keys.tolist()) for name in ("東京電機", "大阪商事")]

    assert not keys[0] & keys[1]


@pytest.mark.parametrize(
    "spellings",
    [
        ("Aurelio Tessuti S.p.A.", "Aurelio Tessuti SpA", "AURELIO TESSUTI s. p. a."),
        ("Brackenridge Tools Ltd", "Brackenridge Tools Limited", "Brackenridge Tools Ltd."),
        ("Acme L.L.C.", "Acme LLC"), ("Acme Company, Inc.", "Acme Co Incorporated"),
        ("Acme Sp. z o.o.", "Acme sp.z o.o."),
        ("Nordwind GmbH & Co. KG", "Nordwind G.m.b.H. & Co. KG", "Nordwind GmbH & Co. K.G."),
        ("Jansen B.V.", "Jansen BV"), ("Muster Aktiengesellschaft", "Muster AG"),
    ],
)  # fmt: skip
def test_a_legal_form_is_one_word(spellings: tuple[str, ...]) -> None:
    assert len({normalise_text(spelling) for spelling in spellings}) == 1


def test_initials_are_no_legal_form() -> None:
    assert normalise_text("S.A. Smith") == "s a smith"
    assert normalise_text("J.R.R. Tolkien") == "j r r tolkien"


HOSTILE = [
    "1 " * 2_000,
    "(" * 4_000,
    "1-" * 2_000,
    "2020" + " " * 3_000 + "x",
    "年" * 4_000,
    "s." * 2_000,
    "+1" + "0" * 4_000,
]


@pytest.mark.parametrize(("one", "other"), list(combinations(HOSTILE, 2)))
def test_odd_values_of_any_length_are_read(one: str, other: str) -> None:
    for normalise in NORMALISERS.values():
        for value in (one + other, other):
            assert len(normalise(value) or "") <= MAX_CHARS
