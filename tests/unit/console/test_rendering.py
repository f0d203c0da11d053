"""Rendering: what comes from people, models and databases is shown, and never becomes part of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.console.threads import (
    BY_WAREHOUSE,
    CARRIER,
    LATE,
    LONG,
    MONTH,
    SHARE,
    WAREHOUSE,
    column,
    did,
    failed_query,
    found,
    long_rows,
    thread,
    turn,
    unfinished,
)
from towpath.ai.semantic_types import DataType
from towpath.ai.types import ActionType, AiState, ChartType
from towpath.api.console.conversation import make_title, render_thread, render_turn
from towpath.api.console.markdown import render_markdown
from towpath.api.console.rendering import Reader, money, span
from towpath.api.console.results import FIRST_ROWS, describe_chart, make_table
from towpath.api.console.static_files import FOLDER, static_files
from towpath.core.texts import format_count

WRITER = Reader(writes=True, csrf="the-token")
ATTACK = "<script>alert(1)</script>"


def shown(*turns: object, reader: Reader = WRITER, **more: object) -> str:
    return render_thread(thread(*turns), reader, **more)  # type: ignore[arg-type]


def test_what_a_person_types_is_text_everywhere() -> None:
    page = shown(turn(ATTACK), notice=ATTACK, typed=f"</textarea>{ATTACK}")

    assert ATTACK not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


def test_what_a_model_and_a_database_say_is_text_everywhere() -> None:
    label = column("x.y", f"Label {ATTACK}")
    action = found(1, (label, LATE), [[f"<img src=x onerror=alert(1)>{ATTACK}", 1]], title=ATTACK, message=ATTACK)
    broken = failed_query(2).model_copy(update={"error": ATTACK})

    page = shown(turn(actions=[action, broken], answer=ATTACK, topic=ATTACK), unfinished(AiState.FAILED, error=ATTACK))

    assert ATTACK not in page
    assert "<img src=x" not in page


def test_a_page_has_nothing_inline_that_its_policy_forbids() -> None:
    page = shown(turn(answer="|a|b|\n|-|-:|\n|1|2|"), unfinished(AiState.EXECUTING))

    assert not re.search(r"<[^>]+\s(style|on\w+)=", page)
    assert re.findall(r"<script(?! src=)", page) == []


@pytest.mark.parametrize(
    "link",
    [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,hello)",
        "[x](vbscript:x)",
        "[x](//evil.example)",
        "[x](/sign-out)",
        "<javascript:alert(1)>",
        "[x][1]\n\n[1]: javascript:alert(1)",
        "[x](&#106;avascript:alert(1))",
    ],
)
def test_links_of_an_answer_lead_to_the_web_or_to_mail_only(link: str) -> None:
    assert "<a" not in render_markdown(link)


def test_links_that_are_allowed_are_not_vouched_for() -> None:
    for url in ("https://example.com/a?b=c", "http://example.com", "mailto:ada@example.com"):
        assert f'<a href="{url}" rel="nofollow noopener">' in render_markdown(f"[x]({url})")


def test_raw_html_of_an_answer_is_shown_as_text() -> None:
    html = render_markdown(f"{ATTACK}\n\na <b onclick=alert(1)>b</b>\n\n<div>\n\nc\n</div>")

    assert "<script" not in html
    assert "<b" not in html.replace("<blockquote", "")
    assert "<div" not in html


def test_an_image_of_an_answer_is_its_words() -> None:
    assert render_markdown('![a "chart" <b>](https://tracker.example/x.png)') == "<p>a &#34;chart&#34; &lt;b&gt;</p>\n"


def test_headings_of_an_answer_follow_those_of_the_page() -> None:
    html = render_markdown("# One\n\n#### Two\n\n###### Three")

    assert re.findall(r"<h(\d)>", html) == ["3", "4", "5"]


def test_a_table_of_an_answer_is_aligned_without_inline_styles() -> None:
    html = render_markdown("|a|b|\n|:-:|-:|\n|1|2|")

    assert "style=" not in html
    assert '<td class="to-center">1</td>' in html
    assert '<td class="to-right">2</td>' in html


def test_measures_are_grouped_and_stand_below_each_other() -> None:
    value = column("s.value", "Value", DataType.NUMBER, measure=True)
    year = column("s.year", "Year", DataType.NUMBER)
    table = make_table(found(1, (year, value), [[2024, 1234567], [2025, 12.5], [2026, None]]))

    assert table is not None
    assert [[cell.text for cell in row] for row in table.first] == [
        ["2024", "1,234,567.00"],
        ["2025", "12.50"],
        ["2026", ""],
    ]
    assert table.numeric == [True, True]


@pytest.mark.parametrize(
    ("name", "kind", "text", "readable"),
    [
        ("s.at[year]", DataType.DATE, "2026-01-01", "2026"),
        ("s.at[quarter]", DataType.DATE, "2026-04-01", "Q2 2026"),
        ("s.at[month]", DataType.DATE, "2026-05-01", "May 2026"),
        ("s.at[week]", DataType.DATE, "2026-05-04", "week of 4 May 2026"),
        ("s.at[day]", DataType.TIMESTAMP, "2026-05-04T00:00:00", "4 May 2026"),
        ("s.at", DataType.DATE, "2026-05-04", "4 May 2026"),
        ("s.at", DataType.TIMESTAMP, "2026-05-04T13:05:00+00:00", "4 May 2026, 13:05"),
        ("s.at", DataType.TIMESTAMP, "2026-05-04T13:05:09", "4 May 2026, 13:05:09"),
        ("s.at", DataType.DATE, "soon", "soon"),
    ],
)
def test_times_are_readable_and_keep_their_own_form(name: str, kind: DataType, text: str, readable: str) -> None:
    action = found(1, (column(name, "When", kind),), []).model_copy(update={"csv": f"When\n{text}\n", "rows": 1})
    table = make_table(action)

    assert table is not None
    cell = table.first[0][0]
    assert cell.text == readable
    assert cell.machine == (None if text == "soon" else text)


def test_a_long_table_shows_its_beginning_and_tells_what_was_cut() -> None:
    action = found(1, LONG, long_rows(340), truncated=True, rows=12_345)
    table, page = make_table(action), render_turn(turn(actions=[action]), thread().conversation.id, WRITER)

    assert table is not None
    assert (len(table.first), table.row_count) == (FIRST_ROWS, 340)
    assert "12,345 rows; the first 340 are kept here" in page
    assert "Show all 340" in page
    assert page.count("<tr>") == 341


def test_rows_that_are_not_as_they_should_be_do_not_break_a_page() -> None:
    action = found(1, (CARRIER, LATE), []).model_copy(
        update={"csv": 'Carrier,Late\n"a\nb"\nc,nan,more\n,\nd,1e999\n', "rows": 4}
    )

    assert "<table>" in render_turn(turn(actions=[action]), thread().conversation.id, WRITER)


def test_a_text_may_be_longer_than_a_csv_reader_likes() -> None:
    table = make_table(found(1, (CARRIER,), [["x" * 300_000]]))

    assert table is not None
    assert len(table.first[0][0].text) < 1000


def test_a_chart_is_told_in_words() -> None:
    action = found(1, (WAREHOUSE, LATE, SHARE), BY_WAREHOUSE)

    assert describe_chart(action, ChartType.BAR) == (
        "Bar chart: Late shipments by warehouse. Late shipments and Share late by Warehouse, 4 values."
        " Highest is North with 41, lowest is Harbour with 12."
    )
    one = found(1, (LATE,), [[1041]], title="All late")
    assert describe_chart(one, ChartType.NUMBER) == "Number: All late. Late shipments 1,041."


def test_a_job_has_one_chart_and_it_stands_where_it_was_last_decided_on() -> None:
    rows = found(1, (MONTH, LATE), [["2026-01-01", 4], ["2026-02-01", 7]], title="By month")
    again = found(2, (WAREHOUSE, LATE), [line[:2] for line in BY_WAREHOUSE])
    styled = did(3, ActionType.VISUALIZE, "As a line.", chart=ChartType.LINE)
    place = thread().conversation.id

    last = render_turn(turn(actions=[rows, again]), place, WRITER)
    drawn_anew = render_turn(turn(actions=[rows, styled]), place, WRITER)
    of_earlier = render_turn(turn(actions=[styled]), place, WRITER)
    as_table = render_turn(turn(actions=[rows.model_copy(update={"chart": ChartType.TABLE})]), place, WRITER)
    working = render_turn(unfinished(AiState.EXECUTING, actions=[rows]), place, WRITER)

    assert last.count("<img") == drawn_anew.count("<img") == of_earlier.count("<img") == 1
    assert last.index("By month") < last.index("<img")
    assert 'alt="Line chart: By month.' in drawn_anew
    assert drawn_anew.index("As a line.") < drawn_anew.index("<img")
    assert as_table.count("<img") == working.count("<img") == 0


def test_a_query_is_shown_as_json() -> None:
    page = shown(turn())

    assert "<summary>Show query</summary>" in page
    assert "&#34;table&#34;: &#34;shipments&#34;" in page


def test_each_state_is_told_in_words() -> None:
    place = thread().conversation.id
    told = {
        state: render_turn(unfinished(state, error="no such measure"), place, WRITER)
        for state in AiState
        if state is not AiState.COMPLETE
    }

    assert "Waiting for its turn" in told[AiState.QUEUED]
    assert "Working on it" in told[AiState.EXECUTING]
    assert "Storing the answer" in told[AiState.DELIVERING]
    assert "This question failed. No such measure." in told[AiState.FAILED]
    assert "This question was cancelled." in told[AiState.CANCELLED]
    paused = render_turn(unfinished(AiState.EXECUTING, paused=True), place, WRITER)
    assert "Paused" in paused
    assert "spinner still" in paused


def test_only_a_question_under_way_can_be_cancelled_and_keeps_the_box_shut() -> None:
    free, busy = shown(turn()), shown(turn(), unfinished(AiState.QUEUED))

    assert "/cancel" not in free
    assert "/cancel" in busy
    assert " disabled>" not in free
    assert busy.count(" disabled>") == 2


def test_who_may_only_read_is_offered_nothing_that_writes() -> None:
    page = shown(turn(), unfinished(AiState.EXECUTING), reader=Reader(writes=False, signed_in=False))

    assert "<form" not in page
    assert "Shared, read only" in page


def test_what_was_typed_comes_back() -> None:
    page = shown(turn(), notice="It is busy.", typed="\nAnd in\nJune?")

    assert '<p class="note bad" role="alert">It is busy.</p>' in page
    # A text area leaves out one line end after its tag.
    assert ">\n\nAnd in\nJune?</textarea>" in page


def test_a_page_tells_what_it_leaves_out() -> None:
    cut = found(1, LONG, long_rows(20), truncated=True, rows=3_323, brought=20, notes=["The limit is 20."])
    endless = found(1, LONG, long_rows(20), truncated=True, rows=20, brought=20, exact=False)
    long_thread = thread(turn(actions=[cut])).model_copy(update={"earlier": 3})

    page = render_thread(long_thread, WRITER)

    assert "3,323 rows; the first 20 are kept here" in page
    assert "The limit is 20." in page
    assert "the first 20 of 3,323 values" in describe_chart(cut, ChartType.BAR)
    assert "3 earlier questions of this conversation are not shown." in page
    assert "4 questions" in page
    assert "more than 20 rows; the first 20 are kept here" in render_thread(thread(turn(actions=[endless])), WRITER)


def test_a_thread_without_a_name_is_called_by_how_it_began() -> None:
    assert make_title(thread(turn("How\n many?"), name=None)) == "How many?"
    assert make_title(thread(turn("word " * 100), name=None)).endswith("word…")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (12.4, "12 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_a_span_is_told_in_fitting_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("usd", "words"),
    [(0, "$0.00"), (0.00001, "under $0.0001"), (0.0042, "$0.0042"), (0.31, "$0.31"), (1234.5, "$1,234.50")],
)
def test_small_sums_keep_their_digits(usd: float, words: str) -> None:
    assert money(usd) == words


def test_one_is_not_many() -> None:
    assert (format_count(1, "row"), format_count(0, "row"), format_count(2000, "row")) == (
        "1 row",
        "0 rows",
        "2,000 rows",
    )


def test_files_have_addresses_of_their_content() -> None:
    urls = [file.url for file in static_files().values()]

    assert len(set(urls)) == len(urls) >= 4
    assert all(re.fullmatch(r"/static/[0-9a-f]{12}/[\w.]+", url) for url in urls)


def test_the_scripts_stay_small() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in FOLDER.glob("*.js")}

    assert max(lines.values()) < 300, lines
    assert sum(lines.values()) < 800, lines


def brightness(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((brightness(one), brightness(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


GROUNDS = ("paper", "surface", "sunken", "shallow")
TEXTS = [*((word, ground) for word in ("ink", "muted", "water-strong", "link") for ground in GROUNDS)]
STATES = [(word, ground) for word in ("bad", "good", "warn") for ground in (f"{word}-soft", *GROUNDS)]
MARKS = [(mark, ground) for mark in ("edge", "water") for ground in ("paper", "surface")]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_is_enough_for_everyone(theme: int) -> None:
    css = Path(FOLDER / "towpath.css").read_text()
    tokens = {
        name: (light, dark)[theme]
        for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    }
    texts = [*TEXTS, *STATES, ("on-water", "water"), ("on-water", "water-strong")]

    poor = {pair: contrast(tokens[pair[0]], tokens[pair[1]]) for pair in texts}
    faint = {pair: contrast(tokens[pair[0]], tokens[pair[1]]) for pair in MARKS}

    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < 3} == {}
