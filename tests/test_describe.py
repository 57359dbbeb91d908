"""Objects in words, and the commands that show the same: pure, from what was recorded."""

from __future__ import annotations

import shlex

import pytest

from app.model.finding import Ref
from app.report.lines import text_of
from app.state.kinds import AGENT_LOGS, OF_OBJECT, PODS
from app.state.snapshot import Snapshot
from collectors.kubernetes.objects import KINDS
from screens.base.selection import Selection, equivalents_of
from screens.texts import describe
from tests.dashboards import NOON
from tests.recorded import NAMES, snapshot_of


async def told(recording: str, ref: Ref) -> str:
    snapshot = await snapshot_of(recording)
    return "\n".join(text_of(line) for line in describe(snapshot, ref))


async def test_a_pod_is_described_with_its_containers_and_how_they_last_ended() -> None:
    snapshot = await snapshot_of("agent-just-killed")
    pod = next(
        pod
        for pod in snapshot.records[PODS].values()
        for status in pod.status.container_statuses
        if status.restart_count
    )
    text = await told("agent-just-killed", Ref("Pod", pod.name, pod.namespace))
    for expected in (
        f"Pod {pod.namespace}/{pod.name}",
        f"node         {pod.spec.node_name}",
        " Containers",
        "cilium-agent",
        "restarts",
        " Conditions",
        "Ready ",
    ):
        assert expected in text, expected


async def test_what_is_not_there_is_told_from_what_was_not_read() -> None:
    ref = Ref("Service", "no", "home")
    assert "There is none." in await told("healthy", ref)
    unread = describe(Snapshot(taken_at=NOON), ref)
    assert "It was not read: off" in text_of(unread[-1])


@pytest.mark.parametrize("recording", NAMES)
async def test_everything_recorded_can_be_described(recording: str) -> None:
    snapshot = await snapshot_of(recording)
    for object_kind, kind in OF_OBJECT.items():
        for record in list(snapshot.records[kind].values())[:5]:
            ref = Ref(object_kind, record.name, record.namespace)
            lines = [text_of(line) for line in describe(snapshot, ref)]
            assert str(ref) in lines[0]
            assert not any("\n" in line or "\x1b" in line for line in lines)


def test_every_kind_that_is_described_can_be_read_as_yaml() -> None:
    assert set(OF_OBJECT) == set(KINDS)


async def test_commands_are_ready_to_be_copied_and_only_read() -> None:
    snapshot = await snapshot_of("healthy")
    kinds = [health.kind for health in snapshot.health.values()]
    node = next(iter(snapshot.agents_by_node))
    about = Selection(ref=Ref("Node", node), question=("session", node), node=node)
    commands = equivalents_of([*kinds, AGENT_LOGS], snapshot, about)
    assert any(" logs " in each.command and "cilium-agent" in each.command for each in commands)
    for each in commands:
        words = shlex.split(each.command)
        assert words[0] in ("kubectl", "cilium", "ciliscope")
        assert not {"delete", "edit", "apply", "patch", "exec"} & set(words)
        assert "--context" in words
        assert each.shows
