"""The commands of findings, for the cluster that they were found in."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diagnosis.diagnoser import diagnose
from app.model.case import Case
from app.model.finding import in_context
from tests.recorded import NAMES, snapshot_of

FLAG = "--context admin@home"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("kubectl get nodes", f"kubectl {FLAG} get nodes"),
        ("cilium bgp peers", f"cilium {FLAG} bgp peers"),
        ("ciliscope get sources", f"ciliscope {FLAG} get sources"),
        (
            "kubectl -n a logs b | grep -F 'x|cilium y'",
            f"kubectl {FLAG} -n a logs b | grep -F 'x|cilium y'",
        ),
        ("kubectl get a; kubectl get b", f"kubectl {FLAG} get a; kubectl {FLAG} get b"),
        ("date -u; kubectl get --raw /", f"date -u; kubectl {FLAG} get --raw /"),
        ("kubectl get crd | grep cilium.io", f"kubectl {FLAG} get crd | grep cilium.io"),
        ("kubectl exec a -- cilium bgp", f"kubectl {FLAG} exec a -- cilium bgp"),
        ("kubectl get a\ncilium status", f"kubectl {FLAG} get a\ncilium {FLAG} status"),
        ("kubectl --context b get a", "kubectl --context b get a"),
        ("vtysh -c 'show bgp; kubectl get a'", "vtysh -c 'show bgp; kubectl get a'"),
        ("curl -v telnet://a:1", "curl -v telnet://a:1"),
        ("cilium-dbg status", "cilium-dbg status"),
        ("", ""),
    ],
)
def test_every_program_that_asks_the_cluster_is_told_which(command: str, told: str) -> None:
    assert in_context(command, "admin@home") == told
    assert in_context(told, "admin@home") == told, "never twice"
    assert in_context(command, "") == command


@given(st.text(min_size=1))
def test_a_context_is_one_word_of_the_shell_whatever_it_is_called(context: str) -> None:
    told = in_context("kubectl get nodes", context)
    assert shlex.split(told) == ["kubectl", "--context", context, "get", "nodes"]


@pytest.mark.parametrize("name", NAMES)
async def test_every_finding_of_a_cluster_asks_that_cluster(name: str) -> None:
    snapshot = replace(await snapshot_of(name), context="there")
    for finding in diagnose(Case(snapshot)):
        for words in finding.command.split("; "):
            if words.startswith(("kubectl ", "cilium ", "ciliscope ")):
                assert words.split()[1:3] == ["--context", "there"], finding.id
