"""What is taken out of the terminal: the clipboard's sequences, and files nobody else can read."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.state_dir import keep, state_folder
from app.dashboard.actions import CAP, sequences

NOW = datetime(2026, 11, 25, 2, 13, 40, tzinfo=UTC)
XTERM = {"TERM": "xterm-256color"}


def test_a_text_is_one_osc_52() -> None:
    (only,) = sequences("kubectl get svc", XTERM)
    assert only == f"\x1b]52;c;{base64.b64encode(b'kubectl get svc').decode()}\x07"


def test_in_tmux_it_is_also_passed_through() -> None:
    plain_one, passed = sequences("x", {**XTERM, "TMUX": "socket,1,0"})
    assert passed == f"\x1bPtmux;\x1b{plain_one}\x1b\\"


def test_in_screen_it_goes_in_pieces_that_screen_takes() -> None:
    pieces = sequences("y" * 5_000, {"TERM": "screen", "STY": "1.pts"})
    assert len(pieces) > 1
    assert all(len(piece) < 768 for piece in pieces)
    whole = "".join(piece.removeprefix("\x1bP").removesuffix("\x1b\\") for piece in pieces)
    assert (whole,) == sequences("y" * 5_000, XTERM)


@pytest.mark.parametrize(("length", "fits"), [(CAP // 4 * 3, True), (CAP // 4 * 3 + 3, False)])
def test_what_is_longer_than_the_cap_is_not_sent(length: int, fits: bool) -> None:
    assert bool(sequences("z" * length, XTERM)) == fits


@pytest.mark.parametrize("term", ["linux", "dumb"])
def test_a_terminal_without_a_clipboard_gets_nothing(term: str) -> None:
    assert sequences("x", {"TERM": term}) == ()


@given(st.text(max_size=200))
def test_whatever_is_copied_the_sequence_holds_nothing_but_base64(text: str) -> None:
    (only,) = sequences(text, XTERM)
    assert only[7:-1].isascii()
    assert "\x1b" not in only[1:]


def test_a_file_is_the_operators_alone_and_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "ciliscope"
    first = keep(folder, "one\n", "home/grafana: why", "txt", NOW)
    second = keep(folder, "two\n", "home/grafana: why", "txt", NOW)
    assert first.name == "home-grafana-why-20261125-021340.txt"
    assert second.name == "home-grafana-why-20261125-021340-2.txt"
    assert (first.read_text(), second.read_text()) == ("one\n", "two\n")
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@given(st.text(max_size=300))
def test_no_name_leads_out_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("state")
    path = keep(folder, "", name, "csv", NOW)
    assert path.parent == folder
    assert path.name.isascii()
    assert len(path.name) < 120


def test_a_link_that_waits_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "x-20261125-021340.txt").symlink_to(target)
    assert keep(folder, "new", "x", "txt", NOW).name == "x-20261125-021340-2.txt"
    assert target.read_text() == "mine"


def test_the_folder_is_where_the_desktop_wants_it(tmp_path: Path) -> None:
    assert state_folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "ciliscope"
    default = Path.home() / ".local" / "state" / "ciliscope"
    assert state_folder({}) == default
    assert state_folder({"XDG_STATE_HOME": "relative"}) == default
