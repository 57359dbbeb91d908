"""A parameter that differs from what is expected is one finding, and the cause of what it does."""

from __future__ import annotations

import asyncio

import pytest

from app.config.expected_settings import ExpectedSetting, expectations
from app.diagnosis.diagnoser import diagnose
from app.model.case import Case
from app.model.finding import Finding
from app.state.snapshot import Snapshot
from tests.diagnosed import later, with_config
from tests.recorded import snapshot_of
from tests.verdicts import BAD

PROFILE = expectations("bgp-loadbalancer")


@pytest.fixture(scope="module")
def healthy() -> Snapshot:
    return later(asyncio.run(snapshot_of("healthy")), 60)


def bad(snapshot: Snapshot, expected: tuple[ExpectedSetting, ...] = PROFILE) -> list[Finding]:
    found = diagnose(Case(snapshot, expected=expected))
    return [finding for finding in found if finding.severity in BAD]


def roots(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings if finding.root]


def as_expected(snapshot: Snapshot, **settings: str | None) -> Snapshot:
    """The snapshot with all settings of the profile, but these."""
    wanted: dict[str, str | None] = {
        each.key.replace("-", "_"): "10.0.0.0/8" if each.value == "*" else each.value
        for each in PROFILE
    }
    return with_config(snapshot, **{**wanted, **settings})


def test_what_belongs_to_the_ipam_mode_is_told_under_it(healthy: Snapshot) -> None:
    other = as_expected(
        healthy, ipam="kubernetes", cluster_pool_ipv4_cidr=None, cluster_pool_ipv6_cidr=None
    )
    found = bad(other)
    (root,) = roots(found)
    assert root == "CS701/ConfigMap/kube-system/cilium-config/ipam"
    assert [f.caused_by for f in found if not f.root] == [(root,), (root,)]


def test_networks_that_are_missing_in_the_right_mode_are_told_themselves(healthy: Snapshot) -> None:
    assert len(roots(bad(as_expected(healthy, cluster_pool_ipv6_cidr=None)))) == 1
    wrong = as_expected(healthy, ipam="multi-pool", cluster_pool_ipv6_cidr="fd00::/104")
    given = (
        *PROFILE[:1],
        ExpectedSetting("cluster-pool-ipv6-cidr", "fd01::/104"),
        ExpectedSetting("ipam", "x"),
    )
    assert len([r for r in roots(bad(wrong, given)) if r.startswith("CS701")]) == 2


@pytest.mark.parametrize(
    ("key", "code"), [("enable_lb_ipam", "CS210"), ("enable_bgp_control_plane", "CS301")]
)
def test_a_switch_that_was_turned_explains_what_it_switched_off(key: str, code: str) -> None:
    recording = "bgp-disabled" if code == "CS301" else "healthy"
    snapshot = later(asyncio.run(snapshot_of(recording)), 60)
    found = bad(as_expected(snapshot, **{key: "false"}))
    (effect,) = [finding for finding in found if finding.code == code]
    assert effect.caused_by == (
        f"CS701/ConfigMap/kube-system/cilium-config/{key.replace('_', '-')}",
    )
    assert code in {finding.code for finding in bad(as_expected(snapshot, **{key: "false"}), ())}
