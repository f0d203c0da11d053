"""A model over lamps, for each test's organization."""

from __future__ import annotations

import pytest

from tests.support.ai import lamps_model
from tests.support.builders import Organization


@pytest.fixture
def lamps(org: Organization) -> dict[str, str]:
    """Ids of a connection, a schema model and a shared model."""
    return lamps_model(org)
