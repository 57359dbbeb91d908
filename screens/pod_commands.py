"""The commands that show pods of Cilium by hand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from screens.base.equivalents import kubectl
from screens.base.selection import Equivalent
from screens.container_lines import container_health

if TYPE_CHECKING:
    from app.state.snapshot import Snapshot
    from collectors.kubernetes.records import ContainerStatus, Pod
    from screens.pod_status import PodTold


def pod_commands(told: PodTold | None, snapshot: Snapshot) -> tuple[Equivalent, ...]:
    """What shows a pod, or what is missing, then all pods."""
    where = f"-n {shlex.quote(snapshot.cilium_namespace)}"
    found: list[Equivalent] = []
    if told is not None and told.pod is not None:
        found += _of_pod(told.pod.pod, snapshot)
    elif told is not None:
        kind, name = told.workload.kind.lower(), shlex.quote(told.workload.name)
        found.append(
            Equivalent(
                f"the {told.workload.kind} that should make it, with its events",
                kubectl(snapshot, f"describe {kind} {name} {where}"),
            )
        )
    if told is not None and told.node:
        node = shlex.quote(told.node)
        found.append(Equivalent("its node", kubectl(snapshot, f"describe node {node}")))
    if told is not None and told.component == "operator":
        lease = kubectl(snapshot, f"get lease cilium-operator-resource-lock {where} -o yaml")
        found.append(Equivalent("who leads", lease))
    listed = f"get pods {where} -l app.kubernetes.io/part-of=cilium -o wide"
    found.append(Equivalent("all pods of Cilium", kubectl(snapshot, listed)))
    return tuple(found)


def _of_pod(pod: Pod, snapshot: Snapshot) -> Iterator[Equivalent]:
    name, where = shlex.quote(pod.name), f"-n {shlex.quote(pod.namespace)}"
    yield Equivalent("the pod", kubectl(snapshot, f"get pod {name} {where} -o wide"))
    described = kubectl(snapshot, f"describe pod {name} {where}")
    yield Equivalent("its conditions, containers and events", described)
    told = _telling(pod)
    if told is None:
        return
    log = f"logs {name} {where} -c {shlex.quote(told.name)} --tail=100"
    if told.restart_count:
        words = f"the last words of container {told.name} before it ended"
        yield Equivalent(words, kubectl(snapshot, f"{log} --previous"))
    if told.state.running is not None or told.state.terminated is not None:
        yield Equivalent(f"the log of container {told.name}", kubectl(snapshot, log))


def _telling(pod: Pod) -> ContainerStatus | None:
    """The container whose log tells most: the first that is not well, else one that has ended."""
    status = pod.status
    checked = [(each, container_health(each, ends=True)) for each in status.init_container_statuses]
    checked += [(each, container_health(each)) for each in status.container_statuses]
    bad = (each for each, health in checked if health not in ("ok", "none"))
    ended = (each for each in status.container_statuses if each.restart_count)
    return next(chain(bad, ended, status.container_statuses), None)
