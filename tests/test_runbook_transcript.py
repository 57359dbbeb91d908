"""The record of a run: read again as the same run, whole at every moment, and never trusted."""

from __future__ import annotations

import asyncio
import copy
import json
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.report.lines import Pen
from app.runbooks import paper
from app.runbooks.engine import Ran, Run, answer, back, begin, follow, note, resume, skip
from app.runbooks.library import built_in
from app.runbooks.schema import StepVerdict
from app.runbooks.transcript import (
    LARGEST,
    BadTranscript,
    Recorder,
    changed,
    document,
    encoded,
    folder,
    hider,
    new_file,
    parse,
    read,
    run_of,
    whoever,
    write,
)
from collectors.sanitize import one_line
from tests.recorded import snapshot_of
from tests.runbook_files import EVER, HAND
from tests.runbook_runs import view_of
from tests.searching import examples


@pytest.fixture(scope="module")
def run() -> Run:
    """A run in which everything has happened that can."""
    view = view_of(asyncio.run(snapshot_of("router-killed")))
    told = begin(built_in("bgp-session-down"), {"session": "talos-cp-1/172.29.51.1"}, HAND)
    told = follow(told, view, {}, HAND)
    told = note(back(told, HAND), "the neighbor was shut", HAND)
    told = answer(told, told.runbook.step("router"), "shutdown", HAND)
    told = skip(told, "seen enough", HAND).add(
        Ran(EVER, "ann@desk", "state", "cilium x", StepVerdict.PASS, "it ended well", ("a", "b"))
    )
    return resume(told, HAND)


@pytest.fixture(scope="module")
def plain(run: Run) -> dict[str, Any]:
    """Its transcript, as JSON."""
    told: dict[str, Any] = json.loads(encoded(document(run, context="lab", program="1.0")))
    return told


def refused(told: object) -> str:
    """With which sentence a transcript is refused."""
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    with pytest.raises(BadTranscript) as problem:
        parse(text, "f.json")
    sentence = str(problem.value)
    assert sentence == one_line(sentence)
    return sentence


def test_what_is_written_is_read_again_as_the_same_run(run: Run, tmp_path: Path) -> None:
    told = document(run, context="lab", program="1.0")
    file = tmp_path / "state" / "runbooks" / "x.json"
    write(file, told)
    again = read(file)
    assert again == told
    assert run_of(again) == run
    assert run_of(again).way == run.way


def test_it_is_for_nobody_else(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "state" / "runbooks" / "x.json"
    write(file, document(run, context="", program=""))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [each.name for each in file.parent.iterdir()] == ["x.json"]


def test_every_run_has_a_file_of_its_own(tmp_path: Path) -> None:
    files = {new_file(tmp_path, "../evil name", EVER) for _ in range(20)}
    assert len(files) == 20
    assert {file.parent for file in files} == {tmp_path}
    assert min(files).name.startswith("..-evil-name-20261123-101530-")


def test_transcripts_lie_in_the_state_folder(tmp_path: Path) -> None:
    assert folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "ciliscope" / "runbooks"
    assert "@" in whoever()


# A disk that is full, a folder that is none


@contextmanager
def no_room() -> Iterator[None]:
    """No file can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_there_is_no_room_it_is_told_and_what_was_there_stays(
    run: Run, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path / "x.json", "lab")
    recorder.keep(run)
    assert recorder.problem == ""
    before = recorder.path.read_bytes()
    more = note(run, "more", HAND)
    with no_room():
        recorder.keep(more)
    assert recorder.problem == f"File too large ({recorder.path})"
    assert recorder.path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]
    recorder.keep(more)
    assert recorder.problem == ""
    assert run_of(read(recorder.path)) == more


def test_a_folder_that_is_none_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    recorder = Recorder(tmp_path / "state" / "x.json", "")
    recorder.keep(run)
    assert recorder.problem == f"File exists ({recorder.path})"


def test_nothing_is_written_where_nothing_has_happened(run: Run, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x.json", "")
    recorder.keep(run)
    written = recorder.path.stat()
    recorder.keep(run)
    assert recorder.path.stat().st_ino == written.st_ino


# Files that are none


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadTranscript, match=r"gone\.json: No such file"):
        read(tmp_path / "gone.json")
    with pytest.raises(BadTranscript, match="Is a directory"):
        read(tmp_path)
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(BadTranscript, match="is larger than 32 MiB"):
        read(large)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "f.json: is no JSON: "),
        (b"{", "f.json: is no JSON: "),
        (b'{"kind": "\xff"}', "f.json: is no JSON: "),
        (b"[" * 100_000, "f.json: is no JSON: "),
        (b"[]", "f.json: is no transcript of a runbook"),
        (b'{"kind": "Findings"}', "f.json: is no transcript of a runbook"),
        (b'{"kind": "RunbookTranscript"}', "f.json: its schemaVersion is None, this ciliscope"),
        (b'{"kind": "RunbookTranscript", "schemaVersion": 2}', "f.json: its schemaVersion is 2"),
        (b'{"kind": "RunbookTranscript", "schemaVersion": 1}', "f.json: Object missing required"),
        (
            b'{"kind": "RunbookTranscript", "schemaVersion": 1, "x": '
            + b"[" * 900
            + b"]" * 900
            + b"}",
            "f.json: ",
        ),
    ],
)
def test_what_is_no_transcript_is_refused_in_one_sentence(text: bytes, told: str) -> None:
    assert refused(text).startswith(told)


def entry(kind: str, **fields: object) -> dict[str, object]:
    """An entry of a transcript."""
    return {"entry": kind, "at": "2026-11-23T10:15:30Z", "by": "eve@x", **fields}


BEGUN = entry("begun")


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], "it does not tell how the run began"),
        ([entry("resumed")], "it does not tell how the run began"),
        ([BEGUN, entry("danced")], "Invalid value 'danced'"),
        (
            [BEGUN, entry("moved", step="state", verdict="pass", to="end")],
            "it leaves step 'state' while it stands at 'configured'",
        ),
        (
            [BEGUN, entry("moved", step="configured", verdict="pass", to="gone")],
            "it goes to 'gone', which is no step of its runbook",
        ),
        ([BEGUN, entry("noted", step="gone", text="x")], "it tells of 'gone', which is no step"),
        (
            [BEGUN, entry("back", step="configured", to="agent")],
            "it leaves step 'configured' while it stands at 'configured'",
        ),
        (
            [
                BEGUN,
                entry("moved", step="configured", verdict="pass", to="end"),
                entry("moved", step="end", verdict="pass", to="agent"),
            ],
            "it tells of 'end', which is no step of its runbook",
        ),
        ([{**BEGUN, "at": "2026-11-23T10:15:30"}], "Expected `datetime` with a timezone"),
        (
            [BEGUN, entry("judged", step="agent", verdict="pass", because="x", findings=[{}])],
            "Object missing required field `id`",
        ),
    ],
)
def test_entries_that_cannot_have_happened_are_refused(
    plain: dict[str, Any], entries: list[object], told: str
) -> None:
    assert told in refused({**plain, "entries": entries})


def test_parameters_and_runbook_are_judged_as_if_they_were_given_now(
    plain: dict[str, Any],
) -> None:
    assert "has no parameter 'x'; it has: session" in refused({**plain, "parameters": {"x": "y"}})
    named = refused({**plain, "parameters": {"session": "cp-1/nowhere"}})
    assert "session is 'cp-1/nowhere'; it must be NODE/PEER-ADDRESS" in named
    circle = copy.deepcopy(plain)
    circle["runbook"]["steps"][1]["next"]["pass"] = "configured"
    assert "its runbook cannot be followed: steps[1].next: leads in a circle" in refused(circle)


def test_nothing_unprintable_comes_in(plain: dict[str, Any]) -> None:
    told = copy.deepcopy(plain)
    told["context"] = "\x1b[31mred"
    told["runbook"]["title"] = "a‮b"
    found = parse(json.dumps(told).encode(), "f.json")
    assert found.context == "�[31mred"
    assert found.runbook.title == "a�b"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=examples(100))
@given(JSON | st.binary(max_size=80))
def test_any_json_is_refused_in_one_sentence(told: object) -> None:
    assert refused(told).startswith("f.json: ")


def places(told: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a document."""
    parts: Any = ()
    if isinstance(told, dict | list):
        parts = told.items() if isinstance(told, dict) else enumerate(told)
    for key, value in parts:
        yield (*way, key)
        yield from places(value, (*way, key))


@settings(max_examples=examples(150))
@given(data=st.data())
def test_a_transcript_in_which_anything_was_changed_is_told_or_refused(
    plain: dict[str, Any], data: st.DataObject
) -> None:
    told = copy.deepcopy(plain)
    *way, last = data.draw(st.sampled_from(list(places(plain))))
    inner = told
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(JSON | st.sampled_from(["pass", "end", "state", "cp/10.0.0.1"]))
    try:
        found = parse(json.dumps(told).encode(), "f.json")
    except BadTranscript as problem:
        sentence = str(problem)
    else:
        sentence = "f.json: "
        for each in (found, changed(found, hider(addresses=True))):
            assert paper.text(each, Pen())
            assert paper.markdown(each)
            assert encoded(each)
        assert run_of(found).result
    assert sentence.startswith("f.json: ")
    assert sentence == one_line(sentence) or sentence == "f.json: "


# On paper


def test_a_transcript_on_paper_has_everything_that_happened(run: Run) -> None:
    told = document(run, context="lab", program="1.0")
    markdown, text = paper.markdown(told), paper.text(told, Pen())
    for said in (markdown, text):
        assert "CS401" in said
        assert "the neighbor was shut" in said
        assert "it ended well" in said
        assert "seen enough" in said
    assert "# bgp-session-down · talos-cp-1/172.29.51.1 on lab" in markdown
    assert "Resumed 2026-11-23 10:15:30Z by ann\\@desk." in markdown
    assert text.splitlines()[-1] == "✗ a cause was found"


def test_hostile_text_stays_text_on_paper(run: Run) -> None:
    told = document(
        note(run, "</details>\n# x `y` [z](http://q) @all", HAND), context="", program=""
    )
    markdown = paper.markdown(told)
    assert "\n# x" not in markdown
    assert "[z](http://q)" not in markdown
    assert "@all" not in markdown.replace("\\@all", "")


def test_hidden_addresses_are_in_no_form_of_it(run: Run) -> None:
    told = changed(document(run, context="admin@10.9.8.7", program="1.0"), hider(addresses=True))
    for said in (paper.markdown(told), paper.text(told, Pen()), encoded(told).decode()):
        assert "172.29.51.1" not in said
        assert "10.9.8.7" not in said
        assert "(address 1)" in said.replace("\\", "")
    assert told.entries[0] == run.entries[0]
    assert told.runbook == run.runbook


def test_times_are_those_of_the_moment(run: Run) -> None:
    judged = run.judged["state"]
    seen = [each.at for finding in judged.findings for each in finding.evidence]
    assert all(at is None or at <= judged.at for at in seen)
    assert any(at is not None and judged.at - at < timedelta(minutes=30) for at in seen)
