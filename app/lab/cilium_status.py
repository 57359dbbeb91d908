"""The document of `cilium status -o json` and its summary, for a simulated cluster.

Shape and key order are those of a recorded run of cilium-cli v0.19.7; of the agents' own status
only what a reader uses is kept (`cilium-cli/status/status.go`).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import isqrt

from app.lab.agents import Agent, ExecFailure, Site
from app.lab.defaults import components
from app.lab.fields import data, integer, made, mapping, name_of, objects, text, texts
from app.lab.kinds import CILIUM_NODES, DAEMON_SETS, DEPLOYMENTS, NODES, PODS
from app.lab.plane import NAMESPACE, Plane
from app.lab.store import JsonObject, stamp
from app.lab.workloads import first_status, on_host_network

_COUNTED_ALWAYS = ("cilium", "cilium-operator", "clustermesh-apiserver", "hubble-relay")
_OPTIONAL = ("cilium-envoy", "hubble-ui")


FROZEN = 'command terminated with exit code 1: "Cilium API client timeout exceeded\\n"'
"""What an exec says whose agent hangs."""

_FROZEN_ENDPOINTS = (
    "command terminated with exit code 1: "
    '"Error: cannot get endpoint list: Cilium API client timeout exceeded\\n\\n"'
)

_FAILING_CONTROLLER = "cilium-health-ep"
"""The one that fails in scenarios with a failing controller."""
_CONTROLLERS = ("ipcache-inject-labels", "k8s-heartbeat", "endpoint-gc", _FAILING_CONTROLLER)

_GREEN, _RED, _CYAN, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[36m", "\x1b[0m"


def empty_report() -> JsonObject:
    """The document of a namespace without Cilium."""
    errors = {name: {name: _entry(disabled=True)} for name in (*_COUNTED_ALWAYS, *_OPTIONAL)}
    errors["cilium"] = {"cilium": _entry('daemonsets.apps "cilium" not found')}
    return {
        "image_count": {name: {} for name in _COUNTED_ALWAYS},
        "phase_count": {name: {} for name in _COUNTED_ALWAYS},
        "pods_count": {"all": 0, "by_cilium": 0},
        "errors": dict(sorted(errors.items())),
        "collection_errors": [made("NoDaemonSet"), {}],
    }


def report(site: Site, errors: Mapping[str, ExecFailure]) -> JsonObject:
    """The status document; `errors` holds, by pod, why its agent could not be asked."""
    plane = site.plane
    images: dict[str, object] = {name: {} for name in _COUNTED_ALWAYS}
    phases: dict[str, object] = {name: {} for name in _COUNTED_ALWAYS}
    states: JsonObject = {}
    for name, kind, label, value in _workloads(plane):
        owner = _owner(plane, kind, name)
        if owner is None:
            continue
        pods = site.workloads.pods(label, value)
        listed = [each for pod in pods for each in objects(pod, "spec", "containers")]
        images[name] = dict(sorted(Counter(text(each, "image") for each in listed).items()))
        phases[name] = dict(Counter(text(pod, "status", "phase") for pod in pods))
        states[name] = _state(kind, owner)
    statuses: JsonObject = {}
    endpoints: JsonObject = {}
    for agent in sorted(site.agents.values(), key=lambda agent: agent.pod):
        asked = agent.pod not in errors
        statuses[agent.pod] = _agent(plane, agent) if asked else None
        endpoints[agent.pod] = _endpoints(plane, agent) if asked else None
    pods = [pod for pod in plane.all(PODS) if not on_host_network(pod)]
    return {
        "image_count": dict(sorted(images.items())),
        "phase_count": dict(sorted(phases.items())),
        "pod_state": states,
        "pods_count": {"all": len(pods), "by_cilium": sum(_managed(plane, pod) for pod in pods)},
        "cilium_status": statuses,
        "cilium_endpoints": endpoints,
        "errors": _errors(site, errors),
        "helm_chart_version": plane.cilium,
    }


def _workloads(plane: Plane) -> Iterator[tuple[str, str, str, str]]:
    """Those of Cilium: name, kind, and the label of their pods."""
    for each in components(plane.cilium):
        if each.name.startswith(("cilium", "hubble")):
            yield each.name, each.kind, *next(iter(each.selector.items()))


def _owner(plane: Plane, kind: str, name: str) -> JsonObject | None:
    return plane.get(DAEMON_SETS if kind == "DaemonSet" else DEPLOYMENTS, name, NAMESPACE)


def _managed(plane: Plane, pod: JsonObject) -> bool:
    """Whether Cilium gave the pod its network: its address, if any, is one of the node's."""
    address = text(pod, "status", "podIP")
    node = plane.get(CILIUM_NODES, text(pod, "spec", "nodeName"))
    networks = map(ipaddress.ip_network, texts(node, "spec", "ipam", "podCIDRs"))
    return not address or any(ipaddress.ip_address(address) in each for each in networks)


def _state(kind: str, owner: JsonObject) -> JsonObject:
    names = data("command", "pod_states", dict[str, dict[str, str]])[kind]
    counts = {shown: integer(owner, "status", name) for shown, name in names.items()}
    return {"Type": kind, **counts}


def _errors(site: Site, errors: Mapping[str, ExecFailure]) -> JsonObject:
    listed: dict[str, dict[str, JsonObject]] = {}
    for name, kind, label, value in _workloads(site.plane):
        owner = _owner(site.plane, kind, name)
        if name != "cilium" or owner is None:
            listed[name] = {name: _entry(disabled=owner is None)}
        lacking = integer(_state(kind, owner or {}), "Unavailable")
        if lacking:
            words = f"{lacking} pods of {kind} {name} are not ready"
            listed.setdefault(name, {})[name] = _entry(words)
        for pod in site.workloads.pods(label, value):
            found = _pod_errors(site.plane, name, pod, errors)
            if found:
                listed.setdefault(name, {})[name_of(pod)] = _entry(*found)
    listed["clustermesh-apiserver"] = {"clustermesh-apiserver": _entry(disabled=True)}
    return {name: dict(sorted(listed[name].items())) for name in sorted(listed)}


def _pod_errors(
    plane: Plane, component: str, pod: JsonObject, errors: Mapping[str, ExecFailure]
) -> list[str]:
    name = name_of(pod)
    container = first_status(pod)
    held = text(container, "state", "waiting", "reason") == "CrashLoopBackOff"
    if component == "cilium" and held:
        code = integer(container, "lastState", "terminated", "exitCode")
        look = f"try 'kubectl -n {NAMESPACE} logs -c cilium-agent {name}'"
        where = f"container cilium-agent is in CrashLoopBackOff, exited with code {code}: {look}"
        return [f"unable to retrieve cilium status: {where}"]
    if component == "cilium-operator" and held:
        log = plane.logs.of(NAMESPACE, name, "cilium-operator")
        last = log.lines[-1:] if log is not None else []
        said = "".join(f"{stamp(at, 9)} {line}" for at, line in last)
        where = "container cilium-operator is in CrashLoopBackOff"
        return [f"{where}, pulling previous Pod logs for further investigation:\n{said}"]
    if component == "cilium" and name in errors:
        failed = errors[name]
        second = ExecFailure(name, _FROZEN_ENDPOINTS, 0.0) if failed.error == FROZEN else failed
        return [
            f"unable to retrieve cilium status: {failed}",
            f"unable to retrieve cilium endpoint information: {second}",
        ]
    return []


def _entry(*errors: str, disabled: bool = False) -> JsonObject:
    return {"Errors": list(errors), "Warnings": [], "Disabled": disabled}


def _endpoints(plane: Plane, agent: Agent) -> list[object]:
    """The endpoints of an agent: one for each pod of its node that has a network of its own."""
    return [
        {"id": 100 + number, "status": {"state": "ready", "policy": {}}}
        for number, _ in enumerate(_local_pods(plane, agent))
    ]


def _local_pods(plane: Plane, agent: Agent) -> list[JsonObject]:
    return [
        pod
        for pod in plane.all(PODS)
        if text(pod, "spec", "nodeName") == agent.node
        and not on_host_network(pod)
        and _managed(plane, pod)
    ]


def _agent(plane: Plane, agent: Agent) -> JsonObject:
    """An agent's own status (`cilium-dbg status -o json`)."""
    config, enabled = plane.configuration(), plane.enabled
    cluster = config.get("cluster-name", "default")
    release = text(plane.get(NODES, agent.node), "status", "nodeInfo", "kubeletVersion")
    return made(
        "AgentStatus",
        attach_mode="tcx" if enabled("enable-tcx") else "tc",
        version=plane.cilium,
        cluster=cluster,
        node=agent.node,
        nodes=[{"name": f"{cluster}/{name_of(each)}"} for each in plane.all(NODES)],
        controllers=[_controller(plane, agent, name) for name in _CONTROLLERS],
        datapath_mode=config.get("datapath-mode", "veth"),
        hubble="Ok" if enabled("enable-hubble") else "Disabled",
        ipam=_ipam(plane, agent),
        acceleration=text(config, "bpf-lb-acceleration").capitalize(),
        algorithm=(text(config, "bpf-lb-algorithm") or "random").capitalize(),
        lb_mode=(text(config, "bpf-lb-mode") or "snat").upper(),
        replacement="True" if enabled("kube-proxy-replacement") else "False",
        minor=".".join(release.removeprefix("v").split(".")[:2]),
        release=release,
        masquerades_ipv4=enabled("enable-ipv4-masquerade"),
        masquerades_ipv6=enabled("enable-ipv6-masquerade"),
        masquerading="BPF" if enabled("enable-bpf-masquerade") else "iptables",
        routing=text(config, "routing-mode").capitalize(),
    )


def _controller(plane: Plane, agent: Agent, name: str) -> JsonObject:
    now = stamp(plane.time).replace("Z", ".000Z")
    since = agent.failing_since
    if since is None or name != _FAILING_CONTROLLER:
        return made("Controller", name=name, succeeded=now)
    # It tries again after 1 s, 2 s, 3 s … (pkg/controller/controller.go).
    failures = isqrt(2 * int((plane.time - since).total_seconds())) + 1
    succeeded = stamp(since).replace("Z", ".000Z")
    return made("FailingController", name=name, failures=failures, now=now, succeeded=succeeded)


def _ipam(plane: Plane, agent: Agent) -> JsonObject:
    cidrs = texts(plane.get(CILIUM_NODES, agent.node), "spec", "ipam", "podCIDRs")
    local = [text(pod, "status", "podIP") for pod in _local_pods(plane, agent)]
    words = [f"IPv{6 if ':' in c else 4}: {len(local)}/254 allocated from {c}" for c in cidrs]
    return {"ipv4": list(local), "status": ", ".join(words)}


def summary(document: JsonObject) -> bytes:
    """The default output, in colors whether or not a terminal reads it."""
    parts = ("cilium", "cilium-operator", "cilium-envoy", "hubble-relay", "clustermesh-apiserver")
    verdicts = [_verdict(mapping(document, "errors", name)) for name in parts]
    verdicts[2] = verdicts[2].replace("disabled", "disabled (using embedded mode)")
    lines = [line.format(*verdicts) for line in data("command", "drawing", list[str])]
    for name in mapping(document, "pod_state"):
        state = mapping(document, "pod_state", name)
        lines.append(f"{text(state, 'Type'):<23}{name:<25}{_readiness(state)}")
    containers = (
        f"{name:<25}{_phases(mapping(document, 'phase_count', name))}"
        for name in mapping(document, "phase_count")
    )
    lines += _titled("Containers:", containers)
    counted = mapping(document, "pods_count")
    managed = f"{counted['by_cilium']}/{counted['all']} managed by Cilium"
    lines.append(f"{'Cluster Pods:':<23}{managed}")
    lines.append(f"{'Helm chart version:':<23}{text(document, 'helm_chart_version')}")
    images = (
        f"{name:<19}{image}: {count}"
        for name in mapping(document, "image_count")
        for image, count in mapping(document, "image_count", name).items()
    )
    errors = (
        f"{component:<19}{pod:<36}{error}"
        for component in mapping(document, "errors")
        for pod in mapping(document, "errors", component)
        for error in texts(document, "errors", component, pod, "Errors")
    )
    lines += [*_titled("Image versions", images), *_titled("Errors:", errors)]
    return ("\n".join(lines) + "\n").encode()


def _titled(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Lines beside a title, which stands on the first."""
    for line in lines:
        yield f"{title:<23}{line}"
        title = ""


def _verdict(component: JsonObject) -> str:
    """A component in a word: how many errors, disabled, or OK."""
    entries = [mapping(component, name) for name in component]
    errors = sum(len(texts(entry, "Errors")) for entry in entries)
    if errors:
        return f"{_RED}{errors} errors{_PLAIN}"
    if any(entry.get("Disabled") is True for entry in entries):
        return f"{_CYAN}disabled{_PLAIN}"
    return f"{_GREEN}OK{_PLAIN}"


def _phases(counts: JsonObject) -> str:
    return ", ".join(f"{phase}: {_GREEN}{count}{_PLAIN}" for phase, count in counts.items())


def _readiness(state: JsonObject) -> str:
    desired = state["Desired"]
    shown = [f"Desired: {desired}"]
    for word, color in (("Ready", _GREEN), ("Available", _GREEN), ("Unavailable", _RED)):
        if state[word]:
            shown.append(f"{word}: {color}{state[word]}/{desired}{_PLAIN}")
    return ", ".join(shown)
