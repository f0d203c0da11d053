"""What schemathesis found, read from its report, and which of it is explained."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

SERVER_ERROR = "not_a_server_error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check that an answer did not pass."""

    check: str
    operation: str
    message: str
    request: str
    answer: str


@dataclass(slots=True)
class Explanation:
    """Why some findings are as they should be.

    Attributes:
        check: The check's name.
        operation: The operation, `*` stands for anything.
        answer: A regular expression that is found in the answer's status and body, or in the message.
        reason: For the reader.
        used: How many findings of this run it explains.
    """

    check: str
    operation: str
    answer: str
    reason: str
    used: int = 0

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is of this kind. A fault of ours never is."""
        return (
            finding.check == self.check
            and not finding.answer.startswith("500")
            and fnmatchcase(finding.operation, self.operation)
            and re.search(self.answer, f"{finding.answer}\n{finding.message}") is not None
        )


def explanations(path: Path) -> list[Explanation]:
    """The table of what is explained; each entry has all four fields."""
    return [Explanation(**one) for one in tomllib.loads(path.read_text())["explained"]]


def findings(report: Path) -> Iterator[Finding]:
    """The findings in a report of schemathesis, one an operation and kind of answer."""
    seen: set[tuple[str, str, str]] = set()
    for line in report.read_text().splitlines():
        event = json.loads(line)
        if error := event.get("NonFatalError"):
            # What the tool could not try is not as it should be either.
            told = f"{error['phase']}: {error['value'].get('type')}: {error['value'].get('message', '')[:300]}"
            yield Finding("not_tried", error.get("label") or "", told, "", "")
        recorder = event.get("ScenarioFinished", {}).get("recorder") or {}
        for case, checks in recorder.get("checks", {}).items():
            for check in checks:
                if check["status"] == "success":
                    continue
                found = _finding(check, recorder["interactions"].get(case) or {})
                kind = (found.check, found.operation, re.sub(r'"request_id":"[^"]*"|\d+', "", found.answer)[:120])
                if kind not in seen:
                    seen.add(kind)
                    yield found


def _finding(check: dict[str, Any], interaction: dict[str, Any]) -> Finding:
    failure = check["failure_info"]["failure"]
    request, answer = interaction.get("request") or {}, interaction.get("response") or {}
    sent = f"{request.get('method')} {request.get('uri')} {_text(request.get('body'))}"
    message = f"{failure.get('title')}: {failure.get('message')}"
    return Finding(
        check["name"],
        failure.get("operation") or "",
        message,
        sent,
        f"{answer.get('status_code')} {_text(answer.get('content'))}",
    )


def _text(content: Any) -> str:
    raw = content.get("$base64", "") if isinstance(content, dict) else ""
    return base64.b64decode(raw).decode(errors="replace")
