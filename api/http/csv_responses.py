"""The rows of a query as a CSV response."""

from __future__ import annotations

from fastapi import Response

from towpath.ai.types import StoredAction
from towpath.core.spreadsheets import escape_csv


def csv_response(action: StoredAction, name: str | None = None) -> Response:
    """Respond with the rows of a step as CSV, which a spreadsheet can open safely.

    Args:
        action: The step.
        name: The file's, where it is to be saved.
    """
    # What a CSV cannot say of itself: how many rows there are, and whether it has them all.
    headers = {
        "Towpath-Total-Rows": str(action.rows),
        "Towpath-Total-Rows-Exact": str(action.exact).lower(),
        "Towpath-Truncated": str(action.truncated).lower(),
    }
    if name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(escape_csv(action.csv or ""), media_type="text/csv; charset=utf-8", headers=headers)
