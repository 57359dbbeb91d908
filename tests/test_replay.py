"""Every recording, replayed by the lab and read as a real cluster is, tells what was recorded.

What is expected is taken from the recorded files by plain means, not by our collectors. Three are
read the whole way, from a server's process with TLS and by the `cilium` command as a subprocess.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.lab.launch import start_lab
from app.pipeline.sources import Wiring
from app.report.tables import WORDS, table
from app.report.tables.pools import pool_items
from app.report.tables.services import service_items
from app.report.tables.sessions import session_items
from app.state.snapshot import Snapshot, State
from tests.lab_asked import Lab, asked_lab, asking
from tests.lab_reading import settings_of
from tests.patience import PATIENCE
from tests.recorded import NAMES, RECORDINGS, taken_at


def body(name: str, path: str) -> Any:
    """A recorded API answer as plain JSON, None where there is none."""
    file = RECORDINGS / name / "api" / f"{path}.json"
    return json.loads(file.read_text()) if file.exists() else None


async def read(lab: Lab) -> Snapshot:
    """Everything there is to read of a recording, through the lab."""
    wiring = Wiring(settings_of(lab))
    monitor = wiring.monitor()
    kinds = {health.kind for health in monitor.snapshot.health.values()}
    running = asyncio.create_task(wiring.run(monitor))
    try:
        with monitor.demand(*kinds):
            return await monitor.settled(kinds, PATIENCE)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("name", NAMES)
async def test_a_replayed_recording_tells_what_was_recorded(name: str) -> None:
    with asked_lab(replay=RECORDINGS / name) as lab, asking():
        check(name, await read(lab))


OFTEN = ("exec-fails-one-node", "rights-no-exec", "v1-router-killed")


@pytest.mark.parametrize(
    "name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.live) for n in NAMES]
)
async def test_so_does_one_that_a_process_serves(name: str) -> None:
    with start_lab(replay=RECORDINGS / name) as lab:
        check(name, await read(lab))


def check(name: str, snapshot: Snapshot) -> None:
    """Hold what was read to the recorded files."""
    assert snapshot.taken_at == taken_at(name)
    check_services(name, snapshot)
    check_pools(name, snapshot)
    check_sessions(name, snapshot)
    check_sources(name, snapshot)
    for word in WORDS:
        assert table(word).text(snapshot, True)
        json.loads(table(word).json(snapshot))


def check_services(name: str, snapshot: Snapshot) -> None:
    expected = {}
    for service in body(name, "api/v1/services")["items"]:
        if service["spec"].get("type") == "LoadBalancer":
            status = service.get("status", {})
            ingress = status.get("loadBalancer", {}).get("ingress", [])
            verdict = next(
                (
                    (c["status"], c["reason"], c["message"])
                    for c in status.get("conditions", [])
                    if c["type"] == "cilium.io/IPAMRequestSatisfied"
                ),
                None,
            )
            key = (service["metadata"]["namespace"], service["metadata"]["name"])
            expected[key] = ([entry["ip"] for entry in ingress], verdict)
    told = {
        (item.namespace, item.name): (
            [address.ip for address in item.addresses],
            (item.condition.status, item.condition.reason, item.condition.message)
            if item.condition
            else None,
        )
        for item in service_items(snapshot)
    }
    assert told == expected
    assert expected


def check_pools(name: str, snapshot: Snapshot) -> None:
    found = body(name, "apis/cilium.io/v2/ciliumloadbalancerippools") or body(
        name, "apis/cilium.io/v2alpha1/ciliumloadbalancerippools"
    )
    expected = {}
    for pool in found["items"]:
        counts = {c["type"]: c for c in pool.get("status", {}).get("conditions", [])}
        expected[pool["metadata"]["name"]] = (
            *(int(counts[f"cilium.io/IPs{what}"]["message"]) for what in ("Total", "Used")),
            counts["cilium.io/PoolConflict"]["status"] == "True",
        )
    told = {
        item.name: (item.total, item.used, bool(item.conflict)) for item in pool_items(snapshot)
    }
    assert told == expected


def check_sessions(name: str, snapshot: Snapshot) -> None:
    """The state is that of the command's answer, and of the API where an agent gave none."""
    recorded = json.loads((RECORDINGS / name / "cli" / "index.json").read_text())
    entry = next(e for e in recorded if e["argv"][:2] == ["bgp", "peers"])
    output = (RECORDINGS / name / "cli" / entry["stdout"]).read_text()
    by_command = {
        (node, peer["peer-address"]): peer["session-state"]
        for node, peers in (json.loads(output) if output.strip() else {}).items()
        for peer in peers or []
    }
    told = {(item.node, item.peer_address): item for item in session_items(snapshot)}
    for key, state in by_command.items():
        assert told[key].state == state
        assert told[key].source == "cilium bgp peers"
        assert (told[key].uptime is not None) == (state == "established")
    for key, item in told.items():
        if key not in by_command:
            assert item.source != "cilium bgp peers"
            assert item.note or item.source.startswith("CiliumBGPNodeConfig")


def check_sources(name: str, snapshot: Snapshot) -> None:
    recording = yaml.safe_load((RECORDINGS / name / "recording.yaml").read_text())
    refused = {Path(path).name for path in recording["not_served"]}
    states = {health.kind.name: health.state for health in snapshot.health.values()}
    assert State.LOADING not in states.values()
    for kind, plural in (("leases", "leases"), ("peering_policies", "ciliumbgppeeringpolicies")):
        if plural not in refused:
            assert states[kind] is State.FRESH
    always = ("nodes", "namespaces", "pods", "services", "endpoint_slices", "events", "version")
    assert {states[kind] for kind in always} == {State.FRESH}
    for health in snapshot.health.values():
        if health.state is State.FRESH:
            assert health.read_at == snapshot.taken_at
        else:
            assert health.error
    if name == "rights-no-exec":
        assert states["leases"] is State.FORBIDDEN
        assert states["bgp_peers"] is State.FORBIDDEN
        assert states["operator_log"] is State.FORBIDDEN
    else:
        assert states["leases"] is State.FRESH
    if "ciliumbgppeeringpolicies" in refused:
        assert states["peering_policies"] is State.ABSENT
