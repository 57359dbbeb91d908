"""An age is the same wherever it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.model.wording import age, span
from app.report.lines import age_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@given(st.floats(min_value=0, max_value=10**8))
def test_a_sentence_and_a_column_tell_the_same_number(seconds: float) -> None:
    number, unit = span(seconds).split()
    column = age(seconds)
    if unit == "s" and int(number) >= 60:  # a sentence has room for seconds
        assert column == "1m"
    else:
        assert column == f"{number}{unit[0]}"


def test_no_part_of_a_unit_is_counted() -> None:
    assert (span(9.9), age(9.9)) == ("9 s", "9s")
    assert age_of(NOON - timedelta(seconds=9.9), NOON) == "9s"
    assert span(179.9) == "2 min"
    assert span(47.9 * 3600) == "47 h"
