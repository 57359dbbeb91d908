"""`get agents`: what each agent says of itself, and which did not answer."""

from __future__ import annotations

from app.report.tables import table
from app.report.tables.agents import agent_items
from tests.recorded import snapshot_of


async def test_each_agent_tells_of_hubble_and_the_replacement_of_kube_proxy() -> None:
    items = agent_items(await snapshot_of("healthy"))
    assert [item.node for item in items] == ["talos-cp-1", "talos-cp-2", "talos-cp-3"]
    assert {(item.answered, item.state) for item in items} == {(True, "Ok")}
    assert {item.kube_proxy_replacement for item in items} == {"True"}
    assert {item.acceleration for item in items} == {"Disabled"}
    assert all(item.ipam and item.controllers for item in items)
    assert all(not item.failing_controllers for item in items)


async def test_one_that_does_not_answer_is_not_well_nor_ill() -> None:
    snapshot = await snapshot_of("exec-fails-one-node")
    items = {item.node: item for item in agent_items(snapshot)}
    silent = items["talos-cp-2"]
    assert not silent.answered
    assert silent.error
    assert (silent.state, silent.hubble, silent.controllers) == (None, None, None)
    (line,) = (
        line
        for line in table("agents").text(snapshot, False).splitlines()
        if line.startswith("talos-cp-2")
    )
    assert line.split()[1:4] == ["?", "?", "?"]
