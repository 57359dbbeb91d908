"""Logs: which lines are shown and how, what they name, and that folding loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from app.dashboard.app import CiliscopeApp
from app.diagnosis.explain import BadQuestion, question
from app.model.finding import Ref
from app.report.lines import text_of, to_ascii
from app.report.tables.logs import GAPS, IN_SHORT, POOL, SCREEN, LogRow, folds, named, names
from app.state.kinds import AGENT_LOGS, OPERATOR_LOG
from app.state.snapshot import Snapshot, SourceHealth, State
from collectors.logs.follow import ContainerLog
from collectors.logs.lines import LogEntry, LogLine, Marker, parse_line
from collectors.logs.targets import Target
from collectors.source import Appended
from screens.logs.picture import OPERATOR, TOGETHER, Choice, LogsPicture, picture
from screens.logs.screen import LogsScreen, selection_of
from tests.dashboards import (
    NOON,
    Script,
    log_entries,
    recorded_dashboard,
    screen_text,
    scripted_dashboard,
    until,
)
from tests.recorded import NAMES, RECORDINGS, changed, having, snapshot_of, with_logs

# --- folding

EVENT = [column.key for column in SCREEN.columns].index("event")


def line(number: object, log: str, message: str, level: str = "info") -> LogRow:
    """A line alone, said at this number of the clock."""
    said = LogLine(time=NOON, raw="", message=message, level=level)
    entry = LogEntry(f"{number} {log}".rstrip(), "pod", "cilium-agent", said)
    return LogRow((entry,), when=str(number))


def said(row: LogRow) -> tuple[str, str]:
    return (row.level, row.event)


@given(
    st.lists(
        st.builds(
            line,
            st.integers(0, 99),
            st.sampled_from(["a/pod/x", "b/pod/y", ""]),
            st.sampled_from(["peer down", "peer up", ""]),
            st.sampled_from(["", "warning"]),
        ),
        max_size=30,
    )
)
def test_folding_loses_no_line_and_keeps_the_order_of_each_log(rows: list[LogRow]) -> None:
    found = folds(rows)
    for log in {row.log for row in rows}:
        own = [fold for fold in found if fold.log == log]
        lines = [row.entries[0] for row in rows if row.log == log]
        assert [entry for fold in own for entry in fold.entries] == lines
        assert all(said(a) != said(b) for a, b in pairwise(own))
    assert sum(len(fold.entries) for fold in found) == len(rows)
    for fold, shown in zip(found, IN_SHORT.rows(found), strict=True):
        alike = [row for row in rows if row.entries[0] in fold.entries]
        assert len({said(row) for row in alike}) == 1
        assert shown.key == fold.entries[0].key
        last = next(row for row in rows if row.entries[0] is fold.entries[-1])
        assert shown.cells[0].text == last.when
        count = f"\u00d7{len(fold.entries)} "
        assert shown.cells[3].text.startswith(count) == (len(fold.entries) > 1)
        assert fold.event in shown.cells[3].text


def test_lines_of_other_logs_between_part_no_fold_and_it_stands_where_its_last_line_did() -> None:
    lines = ((1, "a", "x"), (2, "b", "x"), (3, "a", "x"), (4, "b", "y"), (5, "a", "x"))
    found = folds([line(*each) for each in lines])
    shown = [(row.key, row.cells[EVENT].text) for row in SCREEN.rows(found)]
    assert shown == [("2 b", "x"), ("4 b", "y"), ("1 a", "\u00d73 x (first 1)")]
    assert found[-1].when == "5"


def test_the_number_of_a_fold_is_no_sign_of_failure_in_ascii() -> None:
    (shown,) = SCREEN.rows(folds([line(1, "a", "up") for _ in range(40)]))
    assert to_ascii(shown.cells[EVENT].text) == "*40 up (first 1)"


# --- what a line names


def entry(raw: str, node: str = "talos-cp-1", marker: Marker = "") -> LogEntry:
    return LogEntry("1", "cilium-x", "cilium-agent", parse_line(raw, NOON), node, marker)


BGP = "module=agent.controlplane.bgp-control-plane"
IPAM = "module=operator.operator-controlplane.leader-lifecycle.lbipam"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            f'msg="Assigning Ingress IP" {IPAM} serviceName=home/grafana ipAddr=192.0.2.1',
            (Ref("Service", "grafana", "home"), Ref("Prefix", "192.0.2.1/32")),
        ),
        (
            f'msg="Removing Ingress IPs" {IPAM} serviceName=a/b ipAddrs="[192.0.2.1 2001:DB8::1]"',
            (
                Ref("Service", "b", "a"),
                Ref("Prefix", "192.0.2.1/32"),
                Ref("Prefix", "2001:db8::1/128"),
            ),
        ),
        (f'msg="Updated Pool spec" {IPAM} poolName=bgp-default', (Ref(POOL, "bgp-default"),)),
        (
            f"level=warn msg=\"Pool 'b' conflicts since range '1 - 2' overlaps range '1 - 3' "
            f"from IP Pool 'a'\" {IPAM} poolName1=b poolName2=1",
            (Ref(POOL, "b"), Ref(POOL, "1"), Ref(POOL, "a")),
        ),
        (f'msg="Peer Up" {BGP} Key=192.0.2.9', (Ref("Session", "talos-cp-1/192.0.2.9"),)),
        (f'msg="Adding peer" {BGP} peer=router', ()),
        ("msg=m module=agent.wireguard peer=192.0.2.9", ()),
        ("msg=m module=x serviceName=../../etc", ()),
        ("msg=m nodeName=talos-cp-3", (Ref("Node", "talos-cp-3"),)),
    ],
)
def test_what_a_line_names(raw: str, expected: tuple[Ref, ...]) -> None:
    assert named(entry(raw)) == expected


def test_a_marker_names_nothing_and_a_peer_has_sessions_on_every_node() -> None:
    up = f'msg="Peer Up" {BGP} Key=192.0.2.9'
    assert named(entry(up, marker="gap")) == ()
    assert named(entry(up, node="")) == (Ref("Peer", "192.0.2.9"),)
    assert names(entry(up), Ref("Peer", "192.0.2.9"))
    assert not names(entry(up), Ref("Peer", "192.0.2.90"))


_words = st.text(max_size=20)
_fields = st.tuples(
    st.sampled_from(
        [
            "serviceName",
            "k8sNamespace",
            "poolName",
            "pool1-name",
            "Key",
            "peer",
            "ipAddr",
            "ipAddrs",
            "nodeName",
        ]
    ),
    st.one_of(_words, st.ip_addresses().map(str), st.sampled_from(["a/b", "x", "[::1 ::2]"])),
)
_more = st.tuples(st.sampled_from(("ipAddr", "ipAddrs", "nodeName")), _words)


@given(st.lists(_fields | _more, max_size=6), _words, st.sampled_from([IPAM, BGP, ""]))
def test_nothing_that_a_log_says_is_asked_about_in_a_form_that_explain_refuses(
    fields: list[tuple[str, str]], message: str, module: str
) -> None:
    line = LogLine(NOON, "info", message, module.removeprefix("module="), fields=tuple(fields))
    for ref in named(LogEntry("1", "p", "cilium-agent", line, "node-1")):
        asked = selection_of(ref).question
        assert asked
        try:
            question(asked[0], asked[1:])
        except BadQuestion as problem:
            pytest.fail(f"{asked}: {problem}")


# --- which lines


def told(shown: LogsPicture) -> list[str]:
    return [row.cells[EVENT].text for row in shown.log.rows]


async def read(name: str) -> Snapshot:
    """A recording with the logs of its operator and its agents."""
    snapshot = with_logs(await snapshot_of(name), name)
    entries = {e.key: e for e in log_entries(name, "cilium-operator")}
    label, at = "operator log", snapshot.taken_at
    health = {**snapshot.health, label: SourceHealth(label, OPERATOR_LOG, State.FRESH, at, at)}
    return changed(
        snapshot, operator_log=MappingProxyType(entries), health=MappingProxyType(health)
    )


async def test_presets_divide_the_lines_by_topic_and_all_leaves_none_out() -> None:
    snapshot = await read("router-killed")
    whole = picture(snapshot, Choice(TOGETHER, preset="all", folds=False))
    assert len(whole.log.rows) == len(snapshot.records[OPERATOR_LOG]) + len(
        snapshot.records[AGENT_LOGS]
    )
    ipam = picture(snapshot, Choice(TOGETHER, preset="ipam"))
    assert {row.cells[3].text for row in ipam.log.rows} == {"IPAM"}
    bgp = picture(snapshot, Choice(TOGETHER, preset="bgp"))
    assert {row.cells[3].text for row in bgp.log.rows} == {"BGP"}
    events = picture(snapshot, Choice(TOGETHER, folds=False))
    parts = [picture(snapshot, Choice(TOGETHER, preset=p, folds=False)) for p in ("ipam", "bgp")]
    assert len(events.log.rows) == sum(len(part.log.rows) for part in parts)
    errors = picture(snapshot, Choice(TOGETHER, preset="errors"))
    assert any("172.29.51.1 down" in text for text in told(errors))
    assert {row.health for row in errors.log.rows} <= {"fail", "warn"}


async def test_a_window_of_time_ends_now_and_says_how_much_it_leaves_out() -> None:
    snapshot = await read("router-killed")
    everything = picture(snapshot, Choice(TOGETHER, preset="all", folds=False))
    last = max(e.line.time for e in snapshot.records[AGENT_LOGS].values())
    at = changed(snapshot, taken_at=last + timedelta(seconds=1))
    some = picture(at, Choice(TOGETHER, preset="all", window=timedelta(minutes=1), folds=False))
    assert 0 < len(some.log.rows) < len(everything.log.rows)
    later = changed(snapshot, taken_at=last + timedelta(hours=3))
    none = picture(later, Choice(TOGETHER, window=timedelta(minutes=1)))
    assert "(0: any time)" in text_of(none.log.absence)


async def test_all_logs_stand_in_one_order_of_time_with_who_wrote_each() -> None:
    shown = picture(await read("router-killed"), Choice(TOGETHER, folds=False))
    times = [row.cells[0].sort for row in shown.log.rows]
    assert times == sorted(times, key=lambda t: t if isinstance(t, float) else 0.0)
    assert {row.cells[2].text for row in shown.log.rows} >= {"operator", "talos-cp-1"}


async def test_lines_that_name_an_object_are_found_by_it() -> None:
    snapshot = await read("healthy")
    shown = picture(snapshot, Choice(about=Ref("Service", "grafana", "home"), preset="all"))
    assert told(shown)
    assert all("home/grafana" in text for text in told(shown))
    none = picture(snapshot, Choice(about=Ref("Service", "x", "home"), preset="all"))
    assert "names Service home/x" in text_of(none.log.absence)


async def test_where_no_allocation_is_logged_conditions_stand_in_wherever_they_belong() -> None:
    snapshot = await read("v1-typo-in-pool-label")
    shown = picture(snapshot, Choice())
    conditions = [row for row in shown.log.rows if row.cells[3].text == "condition"]
    assert {row.health for row in conditions} == {"ok", "warn"}
    pending = picture(snapshot, Choice(preset="errors"))
    assert [r.key for r in pending.log.rows if r.cells[3].text == "condition"] == [
        "condition:home/typo"
    ]
    bgp = picture(snapshot, Choice(preset="bgp"))
    assert not [row for row in bgp.log.rows if row.cells[3].text == "condition"]


@pytest.mark.parametrize("name", NAMES)
async def test_every_row_of_every_recording_stands_for_its_lines(name: str) -> None:
    snapshot = await read(name)
    for node in (OPERATOR, TOGETHER):
        flat = picture(snapshot, Choice(node, preset="all", folds=False))
        shown = picture(snapshot, Choice(node, preset="all"))
        assert set(shown.rows) == {row.key for row in shown.log.rows}
        lines = [e.key for row in shown.log.rows for e in shown.rows[row.key].entries]
        assert sorted(lines) == [e.key for row in flat.log.rows for e in flat.rows[row.key].entries]
        last = [float(str(row.cells[0].sort)) for row in shown.log.rows]
        assert last == sorted(last)


def formats(file: str) -> Snapshot:
    """The lines of a recorded file, which the kubelet did not stamp, as the log of an agent."""
    log = ContainerLog(Target("kube-system", "p", "cilium-agent", "n"))
    raw = (RECORDINGS / "log-formats" / file).read_bytes().splitlines()
    entries = log.read([log.stamped(line) for line in raw])
    found = {e.key: e for e in entries}
    empty = Snapshot(taken_at=entries[-1].line.time)
    return having(empty, AGENT_LOGS, MappingProxyType(found))


@pytest.mark.parametrize("file", ["agent-text.log", "agent-json.log", "agent-json-ts.log"])
def test_the_events_and_what_they_name_are_read_in_every_format(file: str) -> None:
    snapshot = formats(file)
    shown = picture(snapshot, Choice("n"))
    assert {row.cells[3].text for row in shown.log.rows} == {"BGP"}
    assert any("BGP instance instance-64512 is set up" in text for text in told(shown))
    things = {ref for e in snapshot.records[AGENT_LOGS].values() for ref in named(e)}
    assert Ref("Session", "n/172.29.51.1") in things


# --- the screen


def logs(app: CiliscopeApp) -> LogsScreen:
    screen = app.screen
    assert isinstance(screen, LogsScreen)
    return screen


async def shown(app: CiliscopeApp, pilot: Pilot[None], text: str) -> str:
    await until(pilot, lambda: text in screen_text(app))
    return screen_text(app)


async def test_enter_goes_to_what_a_line_names() -> None:
    app = recorded_dashboard("healthy")
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("f7")
        await shown(app, pilot, "home/grafana ←")
        screen = logs(app)
        row = next(r for r in screen.table.rows if "home/grafana ←" in r.cells[EVENT].text)
        screen.table.select(row.key)
        chosen = screen.selection()
        assert chosen is not None
        assert chosen.question == ("service", "home/grafana")
        await pilot.press("enter")
        await shown(app, pilot, "Services")
        await until(pilot, lambda: "hop" in screen_text(app) or "ANNOUNCED" in screen_text(app))
        assert app.screen is not screen
        await pilot.press("q")
        await app.run_action(("app", "open", ("logs", Ref("Service", "mosquitto", "home"))))
        text = await shown(app, pilot, "naming Service home/mosquitto")
        await until(
            pilot, lambda: all("mosquitto" in r.cells[EVENT].text for r in screen.view.rows)
        )
        assert "home/mosquitto ←" in text
        await pilot.press("r", "i")
        await shown(app, pilot, "home/grafana ←")


async def test_all_logs_together_are_read_while_they_are_shown_and_given_back() -> None:
    app = recorded_dashboard("router-killed")
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("f7")
        await shown(app, pilot, "Logs  operator")
        await until(pilot, lambda: len(app.loop.monitor.snapshot.agents_by_node) == 3)
        await pilot.press("a", "e")
        await shown(app, pilot, "peer 172.29.51.1 down")
        read = {label for label in app.loop.monitor.snapshot.health if "agent log" in label}
        assert len(read) == 3
        commands = [each.command for each in logs(app).equivalents()]
        assert sum("-c cilium-agent" in command for command in commands) == 3
        node = sorted(app.loop.monitor.snapshot.agents_by_node)[1]
        pod = app.loop.monitor.snapshot.agents_by_node[node]
        logs(app).select_object(Ref("Pod", pod.name, pod.namespace))
        await shown(app, pilot, f"agent on {node}")
        await until(pilot, lambda: len(app.loop.monitor.snapshot.health) >= 1)
        await pilot.press("B")
        await shown(app, pilot, "from before a restart")
        await pilot.press("o")
        await until(
            pilot,
            lambda: not [h for h in app.loop.monitor.snapshot.health if "agent log" in h],
        )


def line_at(second: int, text: str) -> LogEntry:
    log = ContainerLog(Target("kube-system", "op", "cilium-operator", "n"))
    at = (NOON - timedelta(minutes=5) + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (found,) = log.read([log.stamped(f'{at} level=info msg="{text}" {IPAM}'.encode())])
    return found


async def test_repeated_lines_are_one_with_their_number_and_count_each_while_paused() -> None:
    source = Script("operator_log", "operator log")
    app = scripted_dashboard([source])
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("f7")
        first = [line_at(n, f"LB-IPAM {n}") for n in range(40)]
        source.say(Appended("operator_log", tuple(first)))
        await shown(app, pilot, "LB-IPAM 39")
        await pilot.press("k")
        same = [line_at(50 + n, "LB-IPAM again") for n in range(12)]
        source.say(Appended("operator_log", tuple(same)))
        await shown(app, pilot, "paused, 12 new (G follows)")
        await pilot.press("G")
        text = await shown(app, pilot, "\u00d712 LB-IPAM again (first ")
        assert text.count("LB-IPAM again") >= 1
        assert "paused" not in text
        await pilot.press("enter")
        await until(pilot, lambda: logs(app).full)
        text = await shown(app, pilot, "12 times the same")
        await pilot.press("escape", "z")
        await until(
            pilot,
            lambda: sum("again" in r.cells[EVENT].text for r in logs(app).table.rows) == 12,
        )
        more = [line_at(70 + n, f"LB-IPAM more {n}") for n in range(3)]
        await pilot.press("s")
        source.say(Appended("operator_log", tuple(more)))
        await shown(app, pilot, "paused, 3 new")
        await pilot.press("i")
        await until(pilot, lambda: "paused" not in screen_text(app))


async def test_keys_for_the_end_the_beginning_wrapping_and_times() -> None:
    source = Script("operator_log", "operator log")
    app = scripted_dashboard([source])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f7")
        long = " ".join(["word"] * 40)
        entries = [line_at(n, f"LB-IPAM {n} {long}end{n}") for n in range(60)]
        source.say(Appended("operator_log", tuple(entries)))
        await shown(app, pilot, "LB-IPAM 59")
        await pilot.press("1")
        await until(pilot, lambda: logs(app).table.selected_line == 0)
        await pilot.press("w", "g")
        await shown(app, pilot, "end0")
        await pilot.press("G")
        await shown(app, pilot, "end59")
        await pilot.press("w", "0")
        await until(pilot, lambda: logs(app).view.follows)
        await pilot.press("t")
        zone = f"{NOON.astimezone():%Z}"
        await shown(app, pilot, f" {zone}")
        await pilot.press("t")
        await until(pilot, lambda: logs(app).table.rows[0].cells[0].text == "5m")
        await pilot.press("f")
        assert not app.screen.query_one("#header").display
        await pilot.press("f", "2")
        await shown(app, pilot, "(0: any time)")


def test_a_gap_is_marked_where_lines_are_missing() -> None:
    log = ContainerLog(Target("kube-system", "p", "cilium-agent", "n"))
    before = log.read([log.stamped(b'2026-11-23T11:00:00Z msg="Peer Up" ' + BGP.encode())])
    gap = log.marked("gap", int(datetime(2026, 11, 23, 11, 1, tzinfo=UTC).timestamp()) * 10**9)
    after = log.read([log.stamped(b'2026-11-23T11:02:00Z msg="Peer Up" ' + BGP.encode())])
    entries = {e.key: e for e in (*before, gap, *after)}
    snapshot = having(Snapshot(taken_at=NOON), AGENT_LOGS, MappingProxyType(entries))
    shown = picture(snapshot, Choice("n"))
    assert [row.cells[3].text for row in shown.log.rows] == ["BGP", "gap", "BGP"]
    assert shown.log.rows[1].health == "unknown"
    assert shown.rows[gap.key].entries[0].marker in GAPS
