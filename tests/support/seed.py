"""The example that users of the original begin with, word for word; `base` and `key` are filled in."""

SEED_PROGRAM = """
import httpx
import json
BASE = "{base}"
KEY = "{key}"
HEADERS = {{"X-API-Key": KEY, "Content-Type": "application/json"}}
# 1. List saved schemas
schemas = httpx.get(f"{{BASE}}/api/schema/saved", headers=HEADERS).json()
schema_id = schemas["schemas"][0]["id"]
# 2. Start enrichment
resp = httpx.post(f"{{BASE}}/api/single/enrich/stream", headers=HEADERS, json={{
"entity_data": {{"name": "Moderna Inc", "country": "US"}},
"schema_id": schema_id,
"models": ["anthropic::claude-sonnet-4-5-20250514"],
"strategy": "multi_expertise",
}})
job_id = resp.json()["job_id"]
# 3. Stream SSE events
record_id = None
with httpx.stream("GET", f"{{BASE}}/api/llm/stream/{{job_id}}", headers=HEADERS) as stream:
    for line in stream.iter_lines():
        if not line.startswith("data: "):
            continue
        event = json.loads(line[6:])
        if event["type"] == "model_completed" and event.get("record_id"):
            record_id = event["record_id"]
        elif event["type"] == "completed":
            break
# 4. Retrieve the enrichment record
if record_id:
    record = httpx.get(f"{{BASE}}/api/records/{{record_id}}", headers=HEADERS).json()
    print(json.dumps(record["structured_output"], indent=2))
"""
