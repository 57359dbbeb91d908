"""Policies over HTTP: not asked for until somebody wants them, and no longer than he does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from app.config.settings import Settings
from app.pipeline.sources import Wiring
from app.state.kinds import (
    CILIUM_ENDPOINTS,
    CILIUM_POLICIES,
    CLUSTERWIDE_POLICIES,
    KINDS,
    NETWORK_POLICIES,
    OPTIONAL,
    POLICIES,
)
from app.state.monitor import Monitor
from app.state.snapshot import Snapshot, State
from collectors.kubernetes.resources import resources
from tests.api_server import Answer, ApiServer, serving
from tests.commands import ciliscope, pointing_at
from tests.lab_asked import asked_lab, asking
from tests.lab_reading import read_here
from tests.patience import PATIENCE
from tests.recorded import RECORDINGS
from tests.test_get import rows

DEADLINE = PATIENCE


@asynccontextmanager
async def following(kubeconfig: str, context: str | None = None) -> AsyncIterator[Monitor]:
    """A monitor of what the API tells, as the dashboard has one, and nobody who asks for more."""
    wiring = Wiring(Settings(kubeconfig=kubeconfig, context=context, cli=False))
    monitor = wiring.monitor()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(wiring.run(monitor))
        yield monitor
        reading.cancel()


def states(snapshot: Snapshot) -> set[State]:
    """How the sources that run on demand are."""
    return {snapshot.health_of(kind).state for kind in OPTIONAL}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as served:
        for resource in resources():
            for version in resource.versions:
                served.on(
                    resource.path(version),
                    Answer({"metadata": {"resourceVersion": "7"}, "items": []}),
                )
        yield served


async def test_nothing_of_a_kind_is_asked_for_before_somebody_wants_it(server: ApiServer) -> None:
    paths = {each.kind: each.path(each.versions[0]) for each in resources() if each.on_demand}
    others = [KINDS[each.kind] for each in resources() if not each.on_demand]
    async with following(str(server.kubeconfig())) as monitor:
        await monitor.settled(others, DEADLINE)
        assert states(monitor.snapshot) == {State.OFF}
        assert not any(server.asked_for(path) for path in paths.values())
        with monitor.demand(CILIUM_POLICIES):
            snapshot = await monitor.settled([CILIUM_POLICIES], DEADLINE)
            assert snapshot.health_of(CILIUM_POLICIES).state is State.FRESH
            watch = await server.watch(paths["cilium_policies"])
        await asyncio.wait_for(watch.closed.wait(), DEADLINE)
        async with asyncio.timeout(DEADLINE):
            async for snapshot in monitor.snapshots():
                if snapshot.health_of(CILIUM_POLICIES).state is State.OFF:
                    break
        with monitor.demand(CILIUM_POLICIES):
            async with asyncio.timeout(DEADLINE):
                async for snapshot in monitor.snapshots():
                    if snapshot.health_of(CILIUM_POLICIES).state is State.FRESH:
                        break
        others = [kind for kind in OPTIONAL if kind is not CILIUM_POLICIES]
        assert not any(server.asked_for(paths[kind.name]) for kind in others)


async def test_who_wants_them_sees_them_change(server: ApiServer) -> None:
    path = next(each.path("v2") for each in resources() if each.kind == "cilium_policies")
    async with following(str(server.kubeconfig())) as monitor:
        with monitor.demand(*POLICIES):
            await monitor.settled(POLICIES, DEADLINE)
            watch = await server.watch(path)
            watch.send(
                "ADDED",
                {
                    "metadata": {"name": "p", "namespace": "home", "resourceVersion": "8"},
                    "spec": {"endpointSelector": {}, "ingress": [{}]},
                },
            )
            async with asyncio.timeout(DEADLINE):
                async for snapshot in monitor.snapshots():
                    if snapshot.records[CILIUM_POLICIES]:
                        break
            (policy,) = snapshot.records[CILIUM_POLICIES].values()
            assert policy.rules[0].endpoint_selector is not None


async def test_a_check_reads_what_policies_are_enforced_on_only_where_there_are_some() -> None:
    snapshot = await read_here("healthy")
    assert snapshot.health_of(CILIUM_ENDPOINTS).state is State.OFF
    assert {snapshot.health_of(kind).state for kind in POLICIES} == {State.FRESH}
    snapshot = await read_here("policy-shuts-out")
    assert states(snapshot) == {State.FRESH}
    assert len(snapshot.records[CILIUM_POLICIES]) == 2
    assert len(snapshot.records[CILIUM_ENDPOINTS]) > 10


async def test_kinds_that_a_recording_lacks_are_not_there(tmp_path: Path) -> None:
    """One that was taken before anybody read them; every API server has NetworkPolicies."""
    folder = tmp_path / "healthy"
    shutil.copytree(RECORDINGS / "healthy", folder)
    for group in ("cilium.io/v2", "networking.k8s.io/v1"):
        for file in (folder / "api" / "apis" / group).glob("*.json"):
            if "policies" in file.name or file.name == "ciliumendpoints.json":
                file.unlink()
    with asked_lab(replay=folder) as lab, asking():
        async with following(str(lab.kubeconfig), lab.context) as monitor:
            with monitor.demand(*OPTIONAL):
                snapshot = await monitor.settled(OPTIONAL, DEADLINE)
                for kind in (CILIUM_POLICIES, CLUSTERWIDE_POLICIES, CILIUM_ENDPOINTS):
                    assert snapshot.health_of(kind).state is State.ABSENT
                assert snapshot.health_of(NETWORK_POLICIES).state is State.FAILING


def test_policies_and_endpoints_are_printed() -> None:
    with asked_lab("policy-shuts-out") as lab:
        where = pointing_at(lab)
        done = ciliscope("get", "policies", **where)
        assert (done.returncode, done.stderr) == (0, "")
        header, *found = rows(done.stdout)
        assert header[:5] == ["KIND", "NAMESPACE", "NAME", "VALID", "INGRESS"]
        assert [row[:4] for row in found] == [
            ["NetworkPolicy", "monitoring", "default-deny", "?"],
            ["CiliumNetworkPolicy", "monitoring", "grafana", "yes"],
            ["CiliumNetworkPolicy", "monitoring", "syslog", "yes"],
        ]
        told = json.loads(ciliscope("get", "endpoints", "-o", "json", **where).stdout)
        (grafana, *_) = [each for each in told["items"] if each["name"].startswith("grafana-")]
        assert grafana["policies"] == [
            "NetworkPolicy monitoring/default-deny",
            "CiliumNetworkPolicy monitoring/grafana",
        ]
        assert grafana["ingressEnforced"] is None
        assert "k8s:app.kubernetes.io/name=grafana" in grafana["labels"]
        assert grafana["addresses"]
        told = json.loads(ciliscope("get", "policies", "-o", "json", **where).stdout)
        assert {each["name"]: each["endpoints"] for each in told["items"]} == {
            "default-deny": 3,
            "grafana": 2,
            "syslog": 1,
        }
        done = ciliscope("explain", "service", "monitoring/grafana", **where)
        assert done.returncode == 0
        assert "CS603" in done.stdout
        done = ciliscope("check", "workload", **where)
        assert done.returncode == 0
        assert "· CS603 NetworkPolicy monitoring/default-deny" in done.stdout


def test_an_invalid_policy_is_a_warning_of_the_check() -> None:
    with asked_lab("policy-invalid") as lab:
        where = pointing_at(lab)
        assert ciliscope("check", "workload", "-o", "short", **where).returncode == 0
        done = ciliscope("check", "workload", "-o", "short", "--fail-on", "warn", **where)
        assert done.returncode == 1
        assert done.stdout.startswith("! CS602 CiliumNetworkPolicy storage/minio is invalid")


def test_who_does_not_grant_what_is_optional_is_told_so_and_judged(tmp_path: Path) -> None:
    scenario = tmp_path / "forbidden.yaml"
    paths = [each.path(each.versions[0]) for each in resources() if each.on_demand]
    scenario.write_text(
        yaml.safe_dump(
            {
                "extends": "healthy",
                "description": "d",
                "forbidden": paths,
                "expect": {"sentence": "s"},
            }
        )
    )
    told = "network policies, cilium policies, clusterwide policies"
    with asked_lab(str(scenario)) as lab:
        where = pointing_at(lab)
        done = ciliscope("check", **where)
        assert done.returncode == 0
        assert f"not read for want of an optional right: {told}" in " ".join(done.stdout.split())
        assert "· CS801 network policies: not allowed to get/list/watch" in done.stdout
        found = json.loads(ciliscope("check", "workload", "-o", "json", **where).stdout)
        assert found["notRead"] == told.split(", ")
        done = ciliscope("get", "policies", **where)
        assert done.returncode == 3
        assert "is forbidden" in done.stderr
        assert os.linesep.join(done.stdout.splitlines()[1:]) == ""


def test_a_cluster_without_the_kinds_of_cilium_has_none_of_them(tmp_path: Path) -> None:
    scenario = tmp_path / "absent.yaml"
    absent = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "CiliumEndpoint")
    scenario.write_text(
        yaml.safe_dump(
            {
                "extends": "healthy",
                "description": "d",
                "crds": dict.fromkeys(absent, False),
                "expect": {"sentence": "s"},
            }
        )
    )
    with asked_lab(str(scenario)) as lab:
        done = ciliscope("get", "policies", **pointing_at(lab))
        assert (done.returncode, done.stderr) == (0, "")
        assert ciliscope("check", **pointing_at(lab)).returncode == 0
