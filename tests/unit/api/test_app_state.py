"""Inside of one transaction every service that a route calls takes part in it.

A route that works within one transaction replaces the database of the state. A service that had kept the
other database would ask the pool for a second connection, and two of them could wait for each other.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import get_type_hints

from towpath.api.http.state import AppState

KEEP_THEIR_OWN = {
    "gateway": "starts workflows after the commit",
    "events": "listens on a connection of its own",
    "search": "reads what is committed, and keeps an embedder and an index open",
    "probes": "asks Postgres whether it is there",
    "limiter": "counts requests, also those whose effect is undone",
    "key_uses": "counts in the background",
    "limits": "counts before an effect begins",
    "streams": "renews leases in the background",
}


def _has_database(kind: object) -> bool:
    if not inspect.isclass(kind):
        return False
    # As written: some signatures name types that are imported for the type checker alone.
    return "Database" in inspect.get_annotations(kind.__init__).values()


def test_no_service_keeps_a_database_of_its_own() -> None:
    hints = get_type_hints(AppState)

    kept = {member.name for member in fields(AppState) if _has_database(hints[member.name])}

    assert kept == set(KEEP_THEIR_OWN)
