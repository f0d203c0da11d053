"""The form of API keys: what a key looks like, what is stored of it, and what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.accounts.domain.keys import KEY_BYTES, KEY_FORM, PREFIX_CHARACTERS, hash_key, key_prefix, make_key

BYTES = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)


@given(BYTES, BYTES)
def test_every_key_has_the_form_and_no_two_are_the_same(first: bytes, second: bytes) -> None:
    assert KEY_FORM.fullmatch(make_key(first))
    assert (make_key(first) == make_key(second)) == (first == second)


@pytest.mark.parametrize("size", [0, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_key_of_fewer_or_more_bits_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="25 bytes"):
        make_key(bytes(size))


@given(BYTES)
def test_case_and_space_around_a_key_make_no_other_key(random: bytes) -> None:
    key = make_key(random)

    assert hash_key(f" {key.upper()}\n") == hash_key(key)
    assert key_prefix(f" {key.upper()}\n") == key_prefix(key)


@given(BYTES)
def test_neither_what_is_stored_nor_what_is_shown_gives_the_key_away(random: bytes) -> None:
    key = make_key(random)

    assert len(hash_key(key)) == 32
    assert key.encode() not in hash_key(key)
    assert key.startswith(key_prefix(key))
    assert len(key_prefix(key)) == PREFIX_CHARACTERS < len(key) // 3
