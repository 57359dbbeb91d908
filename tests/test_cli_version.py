"""The version of the `cilium` command: read from what it prints, and shown with what it lacks."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.settings import Settings
from app.diagnosis.diagnoser import Diagnoser
from app.diagnosis.rules.visibility import failing
from app.lab.launch import RunningLab, start_lab
from app.model.case import Case
from app.pipeline.sources import Wiring
from app.state.kinds import CLI_VERSION
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.cilium.answer import Reading
from collectors.cilium.cli import CiliumCli, PolledCommand
from collectors.cilium.command_records import CliVersion
from collectors.cilium.commands import LONGEST, VERSION_COMMAND, parse_version
from collectors.process import Completed
from collectors.sanitize import one_line
from collectors.source import Failed, ReadError, Reason, Replaced, Update
from screens.base.header import tiers
from screens.configuration.parts import VERSIONS
from tests.cilium_runs import answer_of, completed_runs, refused
from tests.recorded import RECORDINGS, changed, snapshot_of


def completed(out: str, err: str = "", code: int = 0) -> Completed:
    """A run that printed this."""
    return Completed(code, out.encode(), err, 0.1)


def version_in(out: str) -> str:
    """The version that is read from this."""
    (record,) = parse_version(completed(out)).records
    assert isinstance(record, CliVersion)
    return record.version


@pytest.mark.parametrize(
    ("out", "version"),
    [
        (
            "cilium-cli: v0.19.7 compiled with go1.27.3 on linux/amd64\n"
            "cilium image (default): v1.19.5\ncilium image (stable): unknown\n",
            "v0.19.7",
        ),
        ("cilium-cli: v0.15.20 compiled with go1.21.6 on darwin/arm64\n", "v0.15.20"),
        ("cilium-cli: 0.16.0-dev+g1234 compiled with go1.22 on linux/amd64", "0.16.0-dev+g1234"),
        ("cilium-cli:  compiled with go1.22.1 on linux/amd64\n", ""),
    ],
)
def test_the_first_line_has_the_version(out: str, version: str) -> None:
    assert version_in(out) == version


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("v0.19.7", (0, 19, 7)),
        ("0.16.0-dev", (0, 16, 0)),
        ("v0.18", None),
        ("", None),
        ("(devel)", None),
        ("v0.18.99999999", None),
    ],
)
def test_a_release_is_told_as_numbers(version: str, release: tuple[int, int, int] | None) -> None:
    assert CliVersion(version).release == release


def test_what_is_no_version_is_refused_in_one_sentence() -> None:
    strange = refused(parse_version, completed("hello\n"))
    assert strange.reason is Reason.UNREADABLE
    assert strange.message == "cilium version --client printed what is no version"
    unknown = refused(parse_version, completed("", "Error: unknown flag: --client\n", 1))
    assert "does not know `cilium version --client`" in unknown.message
    assert "\n" not in unknown.message


@given(completed_runs(st.binary(max_size=200)))
def test_whatever_is_printed_becomes_an_answer(run: Completed) -> None:
    assert isinstance(answer_of(parse_version, run), Reading | ReadError)


@given(st.text(max_size=200))
def test_a_version_is_short_and_printable(text: str) -> None:
    answer = answer_of(parse_version, completed(f"cilium-cli: {text}"))
    for record in answer.records if isinstance(answer, Reading) else ():
        assert isinstance(record, CliVersion)
        assert len(record.version) <= LONGEST
        assert record.version == one_line(record.version)


async def first(source: PolledCommand) -> Update:
    """The first thing that a source tells."""
    async with aclosing(source.updates()) as updates:  # type: ignore[type-var]
        return await anext(updates)


async def test_its_request_to_the_internet_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    program = tmp_path / "cilium"
    told = 'cilium-cli: v$(echo "$HTTPS_PROXY|$https_proxy|$NO_PROXY|$no_proxy" | tr -d "\\n")'
    program.write_text(f'#!/bin/sh\necho "{told}"\n')
    program.chmod(0o700)
    update = await first(PolledCommand(CiliumCli(str(program)), VERSION_COMMAND))
    assert isinstance(update, Replaced)
    assert update.records == (CliVersion("vhttp://127.0.0.1:0|http://127.0.0.1:0||"),)


def of_lab(lab: RunningLab) -> PolledCommand:
    """The source in a lab, as the dashboard has it."""
    settings = Settings(kubeconfig=str(lab.kubeconfig), context=lab.context, cilium=str(lab.cilium))
    (feed,) = Wiring(settings).own_version()
    assert isinstance(feed.source, PolledCommand)
    return feed.source


@pytest.mark.parametrize(
    ("replay", "scenario", "version"),
    [("healthy", None, "v0.19.7"), (None, "old-cilium-cli", "v0.15.19")],
)
async def test_the_lab_answers_as_the_command_does(
    replay: str | None, scenario: str | None, version: str
) -> None:
    cluster = start_lab(scenario, replay=RECORDINGS / replay if replay else None)
    with cluster as lab:
        update = await first(of_lab(lab))
    assert isinstance(update, Replaced), update
    assert update.records == (CliVersion(version),)


async def test_without_the_command_nothing_is_run() -> None:
    assert list(Wiring(Settings(cli=False)).own_version()) == []


async def test_a_program_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    update = await first(PolledCommand(CiliumCli(str(tmp_path / "cilium")), VERSION_COMMAND))
    assert isinstance(update, Failed)
    assert update.reason is Reason.ABSENT
    assert "install cilium-cli" in update.message


# --- on the screen


async def shown(version: str | None, state: State, error: str = "", **more: object) -> list[str]:
    """The cells of its row; none where there is no row."""
    return cells(await with_version(version, state, error, **more))


async def with_version(
    version: str | None, state: State, error: str = "", **more: object
) -> Snapshot:
    """A healthy cluster, and this said of the command."""
    snapshot = await snapshot_of("healthy")
    now = snapshot.taken_at
    health = SourceHealth(
        VERSION_COMMAND.label,
        CLI_VERSION,
        state,
        now,
        now if version is not None else None,
        error=error,
    )
    known = {} if version is None else {"version": CliVersion(version)}
    return changed(
        snapshot,
        cli_version=MappingProxyType(known),
        health=MappingProxyType({**snapshot.health, VERSION_COMMAND.label: health}),
        **more,
    )


def cells(snapshot: Snapshot) -> list[str]:
    """The cells of the row of the command."""
    rows = VERSIONS.make(snapshot, Diagnoser()).content.rows
    return [cell.text for row in rows if row.key == "cilium command" for cell in row.cells]


async def test_the_row_tells_the_version_and_what_it_lacks() -> None:
    assert await shown("v0.19.7", State.FRESH) == ["cilium command", "v0.19.7", "here", "✓"]
    assert await shown("v0.18.6", State.FRESH) == ["cilium command", "v0.18.6", "here", "✓"]
    old = await shown("v0.18.5", State.FRESH)
    assert old[1:] == ["v0.18.5", "here", "! older than 0.18.6"]
    entry = VERSIONS.make(await with_version("v0.15.0", State.FRESH), Diagnoser()).entries
    told = "".join(s.text for line in entry["cilium command"].lines for s in line)
    assert "0.16.0 or later is needed for `bgp routes`" in told
    assert (await shown(None, State.LOADING))[3] == "? still being read"
    missing = await shown(None, State.ABSENT, "cilium is not installed")
    assert missing[1:] == ["-", "here", "? cilium is not installed"]
    assert (await shown("", State.FRESH))[1] == "not told"


async def test_the_row_says_that_the_command_is_switched_off() -> None:
    off = await snapshot_of("healthy", cli=False)
    assert cells(off) == ["cilium command", "-", "here", "· off (--no-cli)"]
    assert cells(await snapshot_of("healthy")) == [], "of what is not asked nothing is told"


async def test_nothing_is_judged_by_it_and_its_age_is_not_that_of_the_sessions() -> None:
    broken = await with_version(None, State.FAILING, "it was ended")
    assert list(failing(Case(broken))) == []
    old = await with_version("v0.19.7", State.FRESH)
    source = old.health[VERSION_COMMAND.label]
    assert source.read_at is not None
    aged = replace(source, read_at=source.read_at.replace(year=2020))
    aside = changed(old, health=MappingProxyType({**old.health, VERSION_COMMAND.label: aged}))
    assert tiers(aside) == tiers(old)
