"""A URL that is shown keeps its secrets to itself."""

from __future__ import annotations

import pytest

from towpath.net.urls import document_shown, has_credentials, show_endpoint, without_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/a/b.pdf", "https://h/a/b.pdf"),
        ("https://h:81/a.pdf?sig=S&v=2", "https://h:81/a.pdf?sig=***&v=***"),
        ("https://h/a.pdf?S", "https://h/a.pdf?***"),
        ("https://u:S@h/a.pdf#S", "https://h/a.pdf"),
        ("https://[S", "***"),
    ],
)
def test_of_a_document_the_path_is_shown(url: str, shown: str) -> None:
    assert document_shown(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h", "https://h"),
        ("https://h/", "https://h/"),
        ("https://h/services/S", "https://h/***"),
        ("https://h:81/?S", "https://h:81/***"),
        ("https://u:S@h", "https://h"),
        ("https://[S", "***"),
    ],
)
def test_of_a_receiver_the_host_is_shown(url: str, shown: str) -> None:
    assert show_endpoint(url) == shown


def test_a_path_alone_is_not_there_for_secrets() -> None:
    assert not has_credentials("https://h/path")
    assert has_credentials("https://h/path?q")
    assert has_credentials("https://u@h/")
    assert has_credentials("https://[")


def test_a_message_does_not_repeat_what_is_not_shown() -> None:
    url = "https://h/services/TOKEN?sig=SIGN"
    text = "https://h/services/TOKEN answered 404; no /services/TOKEN?sig=SIGN; https://h/services/TOKEN?sig=SIGN"

    told = without_url(text, url, show_endpoint(url))

    assert "TOKEN" not in told and "SIGN" not in told
    assert told.startswith("https://h/*** answered 404")


def test_a_message_with_a_url_that_was_cut_or_written_anew_tells_nothing_of_it() -> None:
    long = "https://hooks.example.com/" + "/".join(f"part-{n}-SECRET" for n in range(30))
    strange = "https://hooks.example.com/hooks/t\u00f6k en/SECRET"
    for url, told in ((long, long[:200]), (strange, "https://hooks.example.com/hooks/t%C3%B6k%20en/SECRET"),
                      ("https://hooks.example.com/a/../b/SECRET", "https://HOOKS.example.com/b/SECRET")):  # fmt: skip
        message = without_url(f"{told} did not answer within 10 s", url, show_endpoint(url))

        assert "SECRET" not in message
        assert message.endswith(" did not answer within 10 s")
