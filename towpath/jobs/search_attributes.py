"""The search attributes that every job workflow carries, for operators who filter in the Temporal UI."""

from __future__ import annotations

from temporalio.common import SearchAttributeKey

ORGANIZATION = SearchAttributeKey.for_keyword("TowpathOrg")
KIND = SearchAttributeKey.for_keyword("TowpathKind")
STATE = SearchAttributeKey.for_keyword("TowpathState")
