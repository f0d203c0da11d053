"""Values that clients give are bounded in one place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from towpath.core.errors import JobFaultError
from towpath.core.values import MAX_OFFSET, Moment, Offset, is_port, make_storable

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2026-03-02T08:00:00Z", datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ("2026-03-02T08:00:00+02:00", datetime(2026, 3, 2, 6, tzinfo=UTC)),
        ("2026-03-02T08:00:00", datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        (datetime(2026, 3, 2, 8, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 3, 2, 7, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("8999-12-31T23:59:59Z", datetime(8999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_in_utc(given: object, moment: datetime) -> None:
    found = MOMENT.validate_python(given)

    assert (found, found.utcoffset()) == (moment, timedelta(0))


@pytest.mark.parametrize(
    "given",
    [
        "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "9000-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
        "", "soon", "0", "0.5", "1700000000", "-1", 1700000000, 0.5, True, None,
    ],
)  # fmt: skip
def test_a_time_out_of_range_or_as_a_number_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(given)


@pytest.mark.parametrize(("given", "good"), [(0, True), (MAX_OFFSET, True), (MAX_OFFSET + 1, False), (-1, False)])
def test_an_offset_is_bounded(given: int, good: bool) -> None:
    offset: TypeAdapter[int] = TypeAdapter(Offset)

    assert offset.validator.isinstance_python(given) is good


def test_a_port_is_one() -> None:
    assert [is_port(port) for port in (None, 1, 65_535, 0, 65_536, -1)] == [True, True, True, False, False, False]


def test_text_of_others_can_be_stored() -> None:
    assert make_storable("a\0b \ud800 ü😀") == "a\ufffdb ? ü😀"
    assert JobFaultError("broken\0").detail == "broken\ufffd"
