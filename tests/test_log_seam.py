"""Streams of one log are joined without a gap or a duplicate, or the gap is seen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.logs.follow import NANOS, Join, Seam, StampedLine, moment, split_stamp

EPOCH = 1_790_000_000 * NANOS


def line(nanos: int, text: str = "x") -> StampedLine:
    return StampedLine(EPOCH + nanos, text.encode())


def seam_after(lines: list[StampedLine], depth: int = 4096) -> Seam:
    seam = Seam(depth)
    for each in lines:
        seam.note(each)
    return seam


def feed(join: Join, lines: list[StampedLine]) -> list[StampedLine]:
    return [new for each in lines for new in join.feed(each)] + join.settle()


def served(log: list[StampedLine], seam: Seam) -> list[StampedLine]:
    """What the kubelet gives for `sinceTime`: whole seconds, inclusive."""
    since = datetime.fromisoformat(seam.since).timestamp() if seam.since else 0
    return [each for each in log if each.nanos >= since * NANOS]


@pytest.mark.parametrize(
    ("raw", "nanos", "rest"),
    [
        (b"2026-11-23T04:15:41.345182840Z a b", 345_182_840, b"a b"),
        (b"2026-11-23T04:15:41Z a", 0, b"a"),
        (b"2026-11-23T04:15:41.5Z a", 500_000_000, b"a"),
        (b"2026-11-23T05:15:41.5+01:00 a", 500_000_000, b"a"),
        (b"2026-11-23T04:15:41.345182840Z ", 345_182_840, b""),
        (b"2026-11-23T04:15:41.345182840Z", 345_182_840, b""),
    ],
)
def test_the_kubelets_time_is_split_off(raw: bytes, nanos: int, rest: bytes) -> None:
    seconds = int(datetime(2026, 11, 23, 4, 15, 41, tzinfo=UTC).timestamp())
    assert split_stamp(raw) == (seconds * NANOS + nanos, rest)


@pytest.mark.parametrize(
    "raw",
    [
        b"unable to retrieve container logs for containerd://abc",
        b"2026-13-23T04:15:41Z a",
        b"2026-11-23T04:15:61Z a",
        b"1066-11-23T04:15:41Z a",
        b"9999-12-31T23:59:59-14:00 a",
        b"0001-01-01T00:00:00+14:00 a",
        b"2026-11-23T04:15:41+99:99 a",
        b"2026-11-23T04:15:41Zebra",
        b"",
    ],
)
def test_a_line_without_a_sensible_time_is_kept_whole(raw: bytes) -> None:
    assert split_stamp(raw) == (None, raw)


@given(
    st.one_of(
        st.binary(), st.from_regex(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d\d:\d\d) .*")
    )
)
def test_no_bytes_raise_and_every_time_is_a_date(raw: bytes) -> None:
    nanos, rest = split_stamp(raw)
    assert raw.endswith(rest)
    if nanos is not None:
        assert moment(nanos).tzinfo is UTC


@given(st.lists(st.tuples(st.integers(0, 5 * NANOS), st.sampled_from("ab"))), st.integers(0, 40))
def test_a_growing_log_is_read_once_and_whole(written: list[tuple[int, str]], at: int) -> None:
    """Wherever the stream breaks, and however many lines share a time and a text."""
    log = [line(nanos, text) for nanos, text in sorted(written)]
    read = log[:at]
    seam = seam_after(read)
    join = seam.join()
    assert read + feed(join, served(log, seam)) == log
    assert join.state == "joined"


@given(st.lists(st.integers(-3 * NANOS, 3 * NANOS), min_size=1, max_size=40), st.integers(1, 40))
def test_a_clock_that_jumps_loses_nothing(steps: list[int], at: int) -> None:
    log, now = [], 100 * NANOS
    for number, step in enumerate(steps):
        now += step
        log.append(line(now, str(number)))
    seam = seam_after(log[:at])
    new = feed(seam.join(), served(log, seam))
    last = log[:at][-1].nanos
    assert [each for each in log[at:] if each.nanos >= last] == [
        each for each in new if each.nanos >= last
    ]
    assert not set(new) & set(log[:at])


@given(
    st.integers(1, 6), st.lists(st.sampled_from("ab"), min_size=8, max_size=30), st.integers(7, 30)
)
def test_more_lines_in_one_second_than_are_remembered(
    depth: int, texts: list[str], at: int
) -> None:
    log = [line(number, text) for number, text in enumerate(texts)]
    read = log[:at]
    seam = seam_after(read, depth)
    assert read + feed(seam.join(), served(log, seam)) == log


def test_a_log_that_was_rotated_is_seen_to_be_broken() -> None:
    seam = seam_after([line(0), line(1)])
    join = seam.join()
    assert join.feed(line(5 * NANOS)) == [line(5 * NANOS)]
    assert join.state == "broken"
    assert join.feed(line(6 * NANOS)) == [line(6 * NANOS)]


def test_lines_of_the_last_second_are_held_back_until_it_is_known_whether_they_are_new() -> None:
    seam = seam_after([line(10, "a"), line(20, "b")])
    joined = seam.join()
    assert joined.feed(line(5, "old")) == []
    assert joined.feed(line(20, "b")) == []
    assert joined.settle() == []
    assert joined.state == "joined"
    broken = seam.join()
    assert broken.feed(line(15, "other")) == []
    assert broken.settle() == [line(15, "other")]
    assert broken.state == "broken"


def test_a_stream_that_brings_nothing_decides_nothing() -> None:
    join = seam_after([line(0)]).join()
    assert join.settle() == []
    assert join.state == "undecided"


def test_the_first_stream_has_nothing_to_join() -> None:
    seam = Seam()
    assert (seam.last, seam.since) == (None, "")
    join = seam.join()
    assert join.state == "joined"
    assert join.feed(line(0)) == [line(0)]


def test_since_is_the_whole_second_of_the_last_line() -> None:
    seam = Seam()
    seam.note(StampedLine(split_stamp(b"2026-11-23T04:15:41.999999999Z x")[0] or 0, b"x"))
    assert seam.since == "2026-11-23T04:15:41Z"
