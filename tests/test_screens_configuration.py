"""Configuration: what its four parts say of recorded clusters, and getting about in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import msgspec
import pytest
from textual.pilot import Pilot

from app.config.expected_settings import ExpectedSetting
from app.dashboard.app import CiliscopeApp
from app.diagnosis.diagnoser import Diagnoser
from app.model.finding import Ref
from app.report.columns import Row
from app.report.lines import text_of
from app.state.kinds import CONFIG_MAPS, PODS
from app.state.snapshot import Snapshot
from collectors.kubernetes.records import ManagedField
from screens.configuration.bgp import BGP
from screens.configuration.parts import ACCESS, PARAMETERS, VERSIONS, Section, detail_lines
from screens.configuration.screen import ConfigurationScreen
from tests.dashboards import recorded_dashboard, screen_text, until
from tests.recorded import NAMES, changed, snapshot_of, taken_at

PROFILE = (
    ExpectedSetting("enable-lb-ipam", "true", place="profile x"),
    ExpectedSetting("bpf-lb-acceleration", "native", place="profile x"),
    ExpectedSetting("ipam", "cluster-pool", warn=True, place="profile x"),
    ExpectedSetting("not-a-key-parameter", "*", place="profile x"),
)


def row(section: Section, key: str) -> Row:
    return next(row for row in section.content.rows if row.key == key)


def cells(section: Section, key: str) -> list[str]:
    return [cell.text for cell in row(section, key).cells]


def detail(section: Section, key: str) -> str:
    return "\n".join(text_of(line) for line in detail_lines(section.entries[key], 200))


# --- parameters


async def test_what_is_expected_stands_beside_what_is_in_force() -> None:
    section = PARAMETERS.make(await snapshot_of("healthy"), Diagnoser(PROFILE))
    told = cells(section, "enable-lb-ipam")
    assert told[:5] == ["LB-IPAM", "true", "true", "cilium-config", "✓ as expected"]
    told = cells(section, "bpf-lb-acceleration")
    assert told[:5] == ["XDP acceleration", "native", "disabled", "cilium-config", "✗ differs"]
    assert row(section, "bpf-lb-acceleration").health == "fail"
    assert row(section, "ipam").health == "warn"
    assert cells(section, "not-a-key-parameter")[1:3] == ["any value", "-"]
    assert cells(section, "enable-hubble")[1] == "-"
    assert text_of(section.headline) == "1 of 4 as expected · 2 differ"
    assert "CS701" in detail(section, "bpf-lb-acceleration")
    assert "native (profile x)" in detail(section, "bpf-lb-acceleration")
    assert "agents say" in detail(section, "bpf-lb-acceleration")


async def test_without_expectations_nothing_is_called_right_or_wrong() -> None:
    section = PARAMETERS.make(await snapshot_of("healthy"), Diagnoser())
    assert {row.health for row in section.content.rows} == {"none"}
    assert text_of(section.headline) == "23, nothing expected of them"


async def test_a_setting_that_something_was_found_about_says_so() -> None:
    section = PARAMETERS.make(await snapshot_of("bgp-disabled"), Diagnoser())
    assert cells(section, "enable-bgp-control-plane")[4].startswith("✗ CS301")
    broken = [row.key for row in section.content.rows if row.health == "fail"]
    assert broken == ["enable-bgp-control-plane"]


async def test_a_setting_that_is_only_a_witness_is_not_blamed() -> None:
    section = PARAMETERS.make(await snapshot_of("peer-config-missing"), Diagnoser())
    assert row(section, "enable-bgp-control-plane").health == "none"


def rewritten(snapshot: Snapshot, name: str) -> Snapshot:
    """The cluster as if its configuration had been written after all its pods had started."""
    (key, found), *_ = [
        (k, m) for k, m in snapshot.records[CONFIG_MAPS].items() if "cilium-config" in k
    ]
    moment = taken_at(name).replace(microsecond=0)
    written = (ManagedField("helm", "", moment),)
    metadata = msgspec.structs.replace(found.metadata, managed_fields=written)
    maps = {key: msgspec.structs.replace(found, metadata=metadata)}
    later = moment + timedelta(hours=1)
    health = {
        label: replace(told, read_at=told.read_at and later)
        for label, told in snapshot.health.items()
    }
    return changed(
        snapshot,
        config_maps=MappingProxyType(maps),
        taken_at=later,
        health=MappingProxyType(health),
    )


async def test_pods_older_than_the_configuration_are_told_by_who_reads_the_key() -> None:
    section = PARAMETERS.make(rewritten(await snapshot_of("healthy"), "healthy"), Diagnoser())
    assert cells(section, "enable-lb-ipam")[5] == "operator"
    assert cells(section, "bpf-lb-acceleration")[5] == "agents, operator"
    assert row(section, "bpf-lb-acceleration").health == "warn"
    assert any("started before cilium-config" in text_of(line) for line in section.content.notice)
    assert "rollout restart" in detail(section, "enable-lb-ipam")


# --- versions


async def test_versions_of_each_part_stand_together() -> None:
    section = VERSIONS.make(await snapshot_of("healthy"), Diagnoser())
    told = {
        row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in section.content.rows
    }
    assert told["agents"] == ["v1.21.0-dev", "3 pods", "✓"]
    assert told["operator"] == ["v1.21.0-dev", "1 pod", "✓"]
    assert told["kubelet"][1] == "3 nodes"
    assert text_of(section.headline) == "versions go together"


async def test_an_agent_of_another_version_is_a_row_of_its_own() -> None:
    snapshot = await snapshot_of("healthy")
    pod = snapshot.agents_by_node["talos-cp-2"]
    first, *rest = pod.spec.containers
    first = msgspec.structs.replace(first, image="quay.io/cilium/cilium:v1.19.1")
    spec = msgspec.structs.replace(pod.spec, containers=(first, *rest))
    pods = {**snapshot.records[PODS], pod.key: msgspec.structs.replace(pod, spec=spec)}
    section = VERSIONS.make(changed(snapshot, pods=MappingProxyType(pods)), Diagnoser())
    assert cells(section, "agent v1.19.1")[2] == "talos-cp-2"
    assert row(section, "agent v1.19.1").health in ("warn", "none")
    assert "CS107" in detail(section, "agent v1.19.1")
    assert "do not go together" in text_of(section.headline)


# --- BGP objects


async def test_what_selects_what_is_a_tree() -> None:
    section = BGP.make(await snapshot_of("healthy"), Diagnoser())
    names = [row.cells[0].text for row in section.content.rows]
    assert names[:4] == [
        "ClusterConfig talos-bgp",
        "  instance instance-64512 AS 64512",
        "    peer router 172.29.51.1 AS 64513",
        "      ipv4/unicast",
    ]
    assert any(name == "        → bgp: Service LoadBalancerIP" for name in names)
    assert section.content.rows[0].cells[2].text == "3 of 3 nodes"
    assert {row.health for row in section.content.rows} == {"ok"}
    services = next(row for row in section.content.rows if ": Service" in row.cells[0].text)
    assert services.cells[2].text == "4 services"


async def test_a_reference_that_leads_nowhere_is_marked_where_it_stands() -> None:
    section = BGP.make(await snapshot_of("peer-config-missing"), Diagnoser())
    (peer,) = [row for row in section.content.rows if "peer router" in row.cells[0].text]
    assert [cell.text for cell in peer.cells[1:]] == ["PeerConfig router", "-", "✗ does not exist"]
    left = next(row for row in section.content.rows if row.cells[0].text == "Advertisement bgp")
    assert (left.health, left.cells[3].text) == ("warn", "! nothing selects it")
    assert section.content.rows[0].cells[3].text == "✗ CS305"


async def test_a_family_that_selects_no_advertisement_is_broken() -> None:
    snapshot = await snapshot_of("healthy")
    section = BGP.make(changed(snapshot, advertisements=MappingProxyType({})), Diagnoser())
    families = [row for row in section.content.rows if "/unicast" in row.cells[0].text]
    assert [row.cells[3].text for row in families] == ["✗ selects no advertisement"] * 2


async def test_the_older_control_plane_has_its_own_tree() -> None:
    section = BGP.make(await snapshot_of("v1-healthy"), Diagnoser())
    names = [row.cells[0].text for row in section.content.rows]
    assert names[:3] == [
        "PeeringPolicy bgp-peering-policy",
        "  router AS 64512",
        "    neighbour 172.29.51.1/32 AS 64513",
    ]
    assert "    → Service LoadBalancerIP" in names
    section = BGP.make(await snapshot_of("v1-no-service-selector"), Diagnoser())
    (services,) = [row for row in section.content.rows if "→ Service" in row.cells[0].text]
    assert services.cells[1].text == "no service"
    assert services.cells[3].text == "✗ selects no service"


async def test_what_nothing_refers_to_and_nothing_at_all_are_told_apart() -> None:
    snapshot = await snapshot_of("no-bgp-config")
    section = BGP.make(snapshot, Diagnoser())
    told = [[row.cells[0].text, row.cells[3].text] for row in section.content.rows]
    assert told == [
        ["PeerConfig router", "! nothing selects it"],
        ["Advertisement bgp", "! nothing selects it"],
    ]
    none: dict[str, MappingProxyType[str, object]] = {
        kind: MappingProxyType({}) for kind in ("peer_configs", "advertisements")
    }
    section = BGP.make(changed(snapshot, **none), Diagnoser())
    assert section.content.rows == ()
    assert "no BGP objects" in text_of(section.content.absence)


# --- what is read


async def test_a_missing_right_is_there_as_yaml() -> None:
    section = ACCESS.make(await snapshot_of("rights-no-exec"), Diagnoser())
    refused = [row for row in section.content.rows if row.health == "fail"]
    assert len(refused) == 5
    told = detail(section, refused[0].key)
    assert "CS801" in told
    assert "resources: [pods/exec]" in told
    assert "verbs: [create, get]" in told


async def test_everything_that_is_read_has_its_state_and_its_right() -> None:
    snapshot = await snapshot_of("healthy")
    section = ACCESS.make(snapshot, Diagnoser())
    assert [row.key for row in section.content.rows] == list(snapshot.health)
    assert cells(section, "pods")[1] == "✓ fresh"
    assert "resources: [pods]" in detail(section, "pods")


@pytest.mark.parametrize("name", NAMES)
async def test_every_recording_has_all_four_parts(name: str) -> None:
    snapshot, judge = await snapshot_of(name), Diagnoser(PROFILE)
    for part in (PARAMETERS, VERSIONS, BGP, ACCESS):
        section = part.make(snapshot, judge)
        keys = [row.key for row in section.content.rows]
        assert len(keys) == len(set(keys))
        assert set(keys) == set(section.entries)
        assert all(len(row.cells) == len(section.columns) for row in section.content.rows)
        assert all(row.key and row.cells[0].text.strip() for row in section.content.rows)


# --- the screen


def configuration(app: CiliscopeApp) -> ConfigurationScreen:
    screen = app.screen
    assert isinstance(screen, ConfigurationScreen)
    return screen


async def shown(app: CiliscopeApp, pilot: Pilot[None], text: str) -> str:
    await until(pilot, lambda: text in screen_text(app))
    return screen_text(app)


async def test_its_parts_have_keys_and_an_object_leads_to_its_row() -> None:
    app = recorded_dashboard("rights-no-exec")
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("f8")
        await shown(app, pilot, "kube-proxy replacement")
        await pilot.press("3")
        text = await shown(app, pilot, "ClusterConfig talos-bgp")
        assert "CiliumBGPClusterConfig talos-bgp" in text
        screen = configuration(app)
        chosen = screen.selection()
        assert chosen is not None
        assert chosen.ref == Ref("CiliumBGPClusterConfig", "talos-bgp")
        assert screen.equivalents()[0].command.endswith(
            "get ciliumbgpclusterconfigs talos-bgp -o yaml"
        )
        await app.run_action(("app", "open", ("configuration", Ref("Source", "operator log"))))
        await until(pilot, lambda: screen.table.selected == "operator log")
        await pilot.press("4")
        await app.run_action(("app", "open", ("configuration", Ref("Setting", "enable-ipv6"))))
        await until(pilot, lambda: screen.table.selected == "enable-ipv6")
        await pilot.press("enter")
        await until(pilot, lambda: screen.full)
        await pilot.press("escape")
        assert not screen.full


async def test_the_verdict_of_a_parameter_is_not_lost_in_the_smallest_terminal() -> None:
    app = recorded_dashboard("bgp-disabled")
    async with app.run_test(size=(60, 15)) as pilot:
        await pilot.press("f8")
        text = await shown(app, pilot, "BGP control plane")
        line = next(line for line in text.split("\n") if "BGP control plane" in line)
        assert "false" in line
        assert "✗ CS301" in line
