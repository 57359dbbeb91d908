"""What is ignored, for how long, and what a file that cannot be used is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diagnosis.catalog import code
from app.diagnosis.ignore_file import (
    FILE,
    IgnoreEntry,
    IgnoreError,
    expired_entries,
    given_entries,
    read_entries,
    without,
)
from app.model.finding import Finding, Ref, Severity

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
KNOWN = frozenset({"CS201", "CS216", "CS401"})


def finding(
    code: str, name: str, *, kind: str = "Service", causes: tuple[str, ...] = ()
) -> Finding:
    return Finding(
        code=code,
        severity=Severity.FAIL,
        subject=Ref(kind, name, "home" if kind == "Service" else ""),
        summary="it is broken",
        caused_by=causes,
    )


def entries(tmp_path: Path, text: str) -> tuple[IgnoreEntry, ...]:
    file = tmp_path / FILE
    file.write_text(text)
    return read_entries(file, KNOWN)


def test_no_file_means_nothing_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_entries(None, KNOWN) == ()


def test_the_file_in_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(FILE).write_text("- {code: CS201, reason: known}\n")
    (entry,) = read_entries(None, KNOWN)
    assert (entry.code, entry.reason, entry.subject, entry.expires) == (
        "CS201",
        "known",
        "*",
        None,
    )
    assert entry.place == f"{FILE}, entry 1"


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]\n"])
def test_an_empty_file_ignores_nothing(tmp_path: Path, text: str) -> None:
    assert entries(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("code: CS201\n", "must be a list"),
        ("- CS201\n", "entry 1 must have the fields"),
        ("- {code: CS201}\n", "reason is None"),
        ("- {code: CS201, reason: ''}\n", "reason is ''"),
        ("- {reason: known}\n", "code is None"),
        ("- {code: CS999, reason: known}\n", "code is 'CS999'"),
        ("- {code: cs999, reason: known}\n", "code is 'cs999'"),
        ("- {code: ' ', reason: known}\n", "code is ' '"),
        ("- {code: CS201, reason: known, until: 2026-01-01}\n", "unknown field until"),
        ("- {code: CS201, reason: known, expires: soon}\n", "expires is 'soon'"),
        ("- {code: CS201, reason: known, expires: 9999-12-31}\n", "expires is"),
        ("- {code: CS201, reason: known, subject: 7}\n", "subject is 7"),
        ("- {code: CS201\n", "is not YAML"),
        ("- {code: CS201, reason: known}\n- 7\n", "entry 2"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(IgnoreError) as problem:
        entries(tmp_path, text)
    assert told in str(problem.value)
    assert FILE in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(IgnoreError, match="does not exist"):
        read_entries(tmp_path / "other.yaml", KNOWN)
    with pytest.raises(IgnoreError, match="cannot be read"):
        read_entries(tmp_path, KNOWN)


@given(st.binary(max_size=200))
def test_any_file_is_used_or_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("hostile") / FILE
    file.write_bytes(content)
    told = ""
    try:
        read_entries(file, KNOWN)
    except IgnoreError as problem:
        told = str(problem)
    assert "\n" not in told


@pytest.mark.parametrize(
    ("subject", "covered"),
    [
        ("*", True),
        ("Service home/grafana", True),
        ("home/grafana", True),
        ("home/*", True),
        ("Service */graf?na", True),
        ("grafana", False),
        ("Service home/other", False),
        ("CiliumLoadBalancerIPPool *", False),
    ],
)
def test_the_pattern_is_for_the_subject_with_or_without_its_kind(
    subject: str, covered: bool
) -> None:
    entry = IgnoreEntry("CS201", "known", "here", subject)
    assert entry.covers(finding("CS201", "grafana")) is covered
    assert not entry.covers(finding("CS216", "grafana"))


def test_a_day_counts_to_its_end(tmp_path: Path) -> None:
    (entry,) = entries(tmp_path, "- {code: CS201, reason: known, expires: 2026-11-23}\n")
    assert not entry.expired(NOON)
    assert not entry.expired(datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC))
    assert entry.expired(datetime(2026, 11, 24, tzinfo=UTC))
    (warning,) = expired_entries([entry], datetime(2026, 11, 24, tzinfo=UTC))
    assert (warning.code, warning.severity) == ("CS805", Severity.WARN)
    assert "until 2026-11-23" in warning.summary
    assert code("CS805").severities == (Severity.WARN,)


def test_a_moment_counts_to_itself(tmp_path: Path) -> None:
    (entry,) = entries(tmp_path, "- {code: CS201, reason: known, expires: 2026-11-23T12:00:00}\n")
    assert entry.expired(NOON)
    assert not entry.expired(NOON.replace(hour=11))


def test_an_entry_that_has_expired_ignores_nothing() -> None:
    old = IgnoreEntry("CS201", "known", "here", expires=NOON)
    left, ignored = without([finding("CS201", "grafana")], [old], NOON)
    assert len(left) == 1
    assert ignored == ()
    assert list(expired_entries([IgnoreEntry("CS201", "known", "here")], NOON)) == []


def test_what_follows_only_from_what_is_ignored_is_ignored_too() -> None:
    router = finding("CS401", "172.29.51.1", kind="Peer")
    pool = finding("CS216", "bgp-ingress", kind="CiliumLoadBalancerIPPool")
    service = finding("CS201", "grafana", causes=(router.id,))
    deeper = finding("CS201", "loki", causes=(service.id,))
    both = finding("CS201", "tempo", causes=(router.id, pool.id))
    entry = IgnoreEntry("CS401", "being replaced", "here", "Peer 172.29.*")
    left, ignored = without([router, pool, service, deeper, both], [entry], NOON)
    assert left == (pool, both)
    assert [each.finding for each in ignored] == [router, service, deeper]
    assert {each.entry for each in ignored} == {entry}


@pytest.mark.parametrize("word", ["CS401", "cs401", " Cs401 "])
def test_a_code_may_be_written_in_small_letters(tmp_path: Path, word: str) -> None:
    (given,) = given_entries([word], KNOWN)
    (entry,) = entries(tmp_path, f"- {{code: '{word}', reason: known}}\n")
    assert given.code == entry.code == "CS401"
    assert entry.covers(finding("CS401", "grafana"))


def test_codes_on_the_command_line_must_be_known() -> None:
    with pytest.raises(IgnoreError, match=r"--ignore is 'CS4O1'"):
        given_entries(["CS4O1"], KNOWN)
