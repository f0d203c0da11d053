"""Charts, rows and files of AI jobs as their users see them."""

from __future__ import annotations

import base64
import io

from PIL import Image

from tests.support.ai import LATE, TELL, answered, script
from tests.support.builders import Organization
from tests.support.llm_server import LlmServer

JOBS = "/v1/ai/jobs"
Ids = dict[str, str]


def test_the_chart_is_of_the_asked_size_and_also_comes_as_svg(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, LATE, TELL)
    found = answered(org, lamps)
    path = f"{JOBS}/{found['id']}/vis"

    png = org.http.get(path, params={"width": 640, "height": 300})
    svg = org.http.get(path, params={"format": "svg"})

    assert png.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(png.content)).size == (640, 300)
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert "Dock 5" in svg.text


def test_a_follow_up_that_only_changes_the_style_draws_the_rows_of_before(
    org: Organization, lamps: Ids, provider: LlmServer
) -> None:
    script(provider, LATE, TELL)
    first = answered(org, lamps)
    script(provider, {"action": "chart", "message": "As a pie.", "chart": "pie"}, TELL)

    second = answered(org, lamps, prompt="Make it a pie", conversationId=first["conversationId"])

    before = org.http.get(f"{JOBS}/{first['id']}/vis")
    after = org.http.get(f"{JOBS}/{second['id']}/vis")
    assert before.status_code == after.status_code == 200
    assert before.content != after.content


def test_a_table_cannot_be_drawn_and_the_reason_is_told(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    texts = {**LATE, "query": {"title": "Cities", "fields": ["shops.name", "shops.city"]}}
    script(provider, texts, TELL)
    found = answered(org, lamps)

    answer = org.call("GET", f"{JOBS}/{found['id']}/vis", 422)

    assert answer["error"] == answer["detail"]


def test_rows_come_as_csv_and_as_json(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    wide = {**LATE, "query": {"title": "Days", "fields": ["sales.sold[month]", "sales.total_price"]}}
    script(provider, wide, TELL)
    found = answered(org, lamps)
    path = f"{JOBS}/{found['id']}/result"

    text = org.http.get(path, params={"format": "csv"})
    rows = org.call("GET", path, params={"format": "rows"})

    assert text.headers["content-type"].startswith("text/csv")
    assert len(text.text.splitlines()) == 6
    assert {row["sales.sold[month]"][:7] for row in rows["rows"]} == {f"2026-0{month}" for month in range(1, 6)}
    assert all(isinstance(row["sales.total_price"], int | float) for row in rows["rows"])


def test_a_long_result_is_cut_and_its_count_stays_true(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    every = {**LATE, "query": {"title": "All", "fields": ["sales.id", "sales.lamp"], "limit": 5000}}
    script(provider, every, TELL)
    found = answered(org, lamps)

    query = org.call("GET", f"{JOBS}/{found['id']}/result")["actions"][0]["result"]

    assert query["totalRowCount"] == 1500
    assert query["csvResultWasTruncated"] is True
    assert [(one["code"], one["item"]) for one in found["warnings"]] == [("RESULT_TRUNCATED", "All")]
    assert len(query["csvResult"].splitlines()) == 1001


def test_attachments_are_shown_to_the_model(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    script(provider, TELL)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    files = [
        {"data": base64.b64encode(b"only Graz counts").decode(), "mimeType": "text/plain", "name": "note.txt"},
        {"data": base64.b64encode(picture.getvalue()).decode(), "mimeType": "image/png", "name": "red.png"},
    ]

    answered(org, lamps, attachments=files)

    sent = str(provider.calls[-1]["messages"])
    assert "only Graz counts" in sent
    assert "data:image/png;base64," in sent
