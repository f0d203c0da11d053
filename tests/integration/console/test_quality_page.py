"""The quality of an index in the console, and labels that are given there."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from tests.support.builders import Organization, persons
from tests.support.console.site import Site, as_operator, by_key, csrf_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
ATTACK = '"><script>alert(1)</script>'
HERE = "/console/entities/quality"
PAGE = f"{HERE}?index=people"


def people(site: Site, **more: str) -> Organization:
    """An organization with twelve persons, of whom some are the same."""
    org = site.organization()
    org.index()
    for person in persons(12):
        org.call("POST", "/v1/entity", params={"indexName": "people"}, json={**person, **more})
    return org


def sent(browser: httpx.Client, path: str = "", **data: str) -> httpx.Response:
    """What a form of the page answers."""
    return browser.post(f"{HERE}{path}", data={"csrf": csrf_of(browser.get(PAGE)), "index": "people", **data})


def answers(page: httpx.Response) -> list[str]:
    """What each answer of the page sends, in the order of the page: same, different, same, different..."""
    return [html.unescape(found) for found in re.findall(r'type="radio" name="pair\d+" value="([^"]+)"', page.text)]


async def test_a_page_shows_the_report_and_asks_about_pairs(running_site: Site) -> None:
    org = people(running_site)

    page = by_key(running_site, org).get(PAGE)

    report = org.call("GET", "/v1/indexes/people/quality")
    suggestions = org.call("GET", "/v1/indexes/people/label-suggestions", params={"limit": 10})["suggestions"]
    assert f"<dd>{report['pairs']['duplicates']}</dd>" in page.text
    assert all(html.escape(advice["message"], quote=False) in page.text for advice in report["advice"])
    assert len(answers(page)) == 2 * len(suggestions) > 0
    assert page.text.count("Together") == len(suggestions)
    assert f"{HERE}?index=people" in by_key(running_site, org).get("/console/entities?index=people").text


async def test_answers_become_labels_and_skipped_pairs_do_not(running_site: Site) -> None:
    org = people(running_site)
    browser = by_key(running_site, org)
    same, different, *_ = answers(browser.get(PAGE))

    stored = sent(browser, pair1=same, pair2="")

    assert (stored.status_code, stored.headers["location"]) == (303, f"{HERE}?index=people&saved=1")
    later = browser.get(stored.headers["location"])
    assert "1 answer stored." in later.text
    assert same not in answers(later)
    assert org.call("GET", "/v1/indexes/people/label-suggestions")["labels"] == 1
    # Another answer of the same pair is the one that holds.
    sent(browser, pair1=different)
    assert org.call("GET", "/v1/indexes/people/label-suggestions")["labels"] == 1


@pytest.mark.parametrize(
    "answer", [None, "", "yes", '{"entityId": 1}', '{"entityId": 1, "duplicateId": 1, "duplicate": true}']
)
async def test_an_answer_that_is_none_is_refused_on_the_page(running_site: Site, answer: str | None) -> None:
    org = people(running_site)

    page = sent(by_key(running_site, org), **({} if answer is None else {"pair1": answer}))

    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert answers(page)
    assert org.call("GET", "/v1/indexes/people/label-suggestions")["labels"] == 0


async def test_a_tuning_starts_from_the_page_when_there_are_labels_of_both_kinds(running_site: Site) -> None:
    org = people(running_site)
    browser = by_key(running_site, org)
    given = answers(browser.get(PAGE))
    assert "Learn from the labels" not in browser.get(PAGE).text

    sent(browser, pair1=given[0])
    refused = sent(browser, "/tune")
    sent(browser, pair1=given[3])
    started = sent(browser, "/tune")

    assert refused.status_code == 400
    assert "labels of both kinds" in refused.text
    assert started.status_code == 303
    job = org.job(started.headers["location"].rsplit("/", 1)[1])
    assert (job["kind"], job["state"]) == ("entity_reindex", "PENDING")


async def test_labels_are_for_editors_and_come_from_this_page(running_site: Site) -> None:
    org = people(running_site)
    operator = as_operator(running_site, org)
    page = operator.get(PAGE)

    answer = answers(by_key(running_site, org).get(PAGE))[0]
    refused = [
        operator.post(HERE, data={"csrf": csrf_of(page), "index": "people", "pair1": answer}),
        operator.post(f"{HERE}/tune", data={"csrf": csrf_of(page), "index": "people"}),
    ]

    assert "Labelling needs the role editor" in page.text
    assert answers(page) == []
    assert [one.status_code for one in refused] == [403, 403]
    assert "This needs the role editor" in refused[0].text
    assert org.call("GET", "/v1/indexes/people/label-suggestions")["labels"] == 0


async def test_an_index_of_others_is_unknown(running_site: Site) -> None:
    people(running_site)
    other = by_key(running_site, running_site.organization())
    label = '{"entityId": 1, "duplicateId": 2, "duplicate": true}'
    form = {"csrf": csrf_of(other.get("/console/entities")), "index": "people", "pair1": label}

    assert other.get(PAGE).status_code == 404
    assert [other.post(f"{HERE}{path}", data=form).status_code for path in ("", "/tune")] == [404, 404]
    assert running_site.browser().get(PAGE).status_code == 303
    assert other.get(f"{HERE}?index=%00").status_code == 404


async def test_values_of_entities_are_text(running_site: Site) -> None:
    org = people(running_site, note=ATTACK)

    page = by_key(running_site, org).get(PAGE).text

    assert "<script>alert" not in page
    assert html.escape(ATTACK) in page or "&#34;&gt;&lt;script&gt;" in page
