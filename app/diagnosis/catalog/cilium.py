"""CS1: Cilium itself: its pods, its nodes, its versions."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

_PODS = "kubectl -n kube-system get pods -l app.kubernetes.io/part-of=cilium -o wide"

CODES: tuple[Code, ...] = (
    Code(
        code="CS101",
        title="Not all agents are ready",
        severities=(Severity.FAIL, Severity.INFO, Severity.UNKNOWN),
        meaning=(
            "Fewer agent pods are Ready than the DaemonSet wants. A node without a ready agent "
            "takes no change of services, policies or BGP configuration; what its agent last wrote "
            "into the API stays there as it was.\n\n"
            "Within the first two minutes of a pod this is only information: an agent needs some "
            "time to come up. Where a crashing container, a pod that cannot start or a node that "
            "is NotReady accounts for it, it follows from that."
        ),
        check=f"`{_PODS}` and `kubectl -n kube-system get daemonset cilium`.",
        fix=(
            "Look at the events and the log of the pods that are named: "
            "`kubectl -n kube-system describe pod POD`."
        ),
        source="Kubernetes apps/v1 DaemonSetStatus; the chart's templates/cilium-agent",
        follows_from=("CS102", "CS105", "CS112", "CS114"),
    ),
    Code(
        code="CS102",
        title="A container of Cilium crash-loops or was killed",
        severities=(Severity.FAIL, Severity.WARN),
        meaning=(
            "A container of a Cilium pod ended with an error and does not run, or runs again and "
            "is not ready yet. It is a warning where it is ready but has ended three times "
            "or more, the last time within ten minutes. The exit code says how it ended: 137 is "
            "SIGKILL, from outside; with the reason `OOMKilled` the kernel took it for its "
            "memory.\n\n"
            "A container that was restarted once and is ready is nothing to tell."
        ),
        check=(
            "`kubectl -n kube-system logs POD -c CONTAINER --previous --tail=50` for its last "
            "words, `kubectl -n kube-system describe pod POD` for how it ended."
        ),
        fix=(
            "Mend what its last words say: mostly a setting in `cilium-config`, a kernel feature "
            "that is missing, or an API server that it does not reach. For `OOMKilled` raise the "
            "memory limit."
        ),
        source="Kubernetes core/v1 ContainerStatus (state, lastState)",
        follows_from=("CS705",),
    ),
    Code(
        code="CS103",
        title="No operator is ready",
        severities=(Severity.FAIL, Severity.INFO),
        meaning=(
            "LB-IPAM and the rendering of BGP node configurations run in the operator alone. "
            "Without one no service gets an address, no change of a CiliumBGPClusterConfig reaches "
            "a node, and the conditions on services and pools are as old as its end. Sessions and "
            "announcements that exist go on."
        ),
        check="`kubectl -n kube-system get deployment,pods -l name=cilium-operator -o wide`.",
        fix="Look at the events and the log of its pods; scale it up where it has 0 replicas.",
        source="Cilium operator/cmd/root.go; the chart's templates/cilium-operator",
        follows_from=("CS102", "CS112", "CS114"),
    ),
    Code(
        code="CS104",
        title="No operator leads",
        severities=(Severity.FAIL,),
        meaning=(
            "The lease `cilium-operator-resource-lock` was not renewed for twice its duration. Of "
            "the operators only the one that holds it works: without it LB-IPAM and the BGP "
            "configuration of nodes stand still, even if pods are Ready."
        ),
        check="`kubectl -n kube-system get lease cilium-operator-resource-lock -o yaml`.",
        fix=(
            "See the operators' logs for errors of leader election: missing rights on leases, or "
            "an API server that answers too slowly."
        ),
        source="Cilium operator/cmd/root.go (leader election); coordination.k8s.io/v1 LeaseSpec",
        follows_from=("CS102", "CS103", "CS114"),
    ),
    Code(
        code="CS105",
        title="A node has no agent pod",
        severities=(Severity.FAIL,),
        meaning=(
            "The DaemonSet wants more agent pods than there are, so a node goes without. Only as "
            "many nodes are meant as it wants: one that its node selector or taints leave out is "
            "not missed."
        ),
        check=(
            "`kubectl -n kube-system get daemonset cilium` (DESIRED against CURRENT) and "
            "`kubectl -n kube-system get pods -l k8s-app=cilium -o wide`."
        ),
        fix=(
            "`kubectl -n kube-system describe daemonset cilium` tells why the pod is not made: a "
            "quota, an admission webhook; if it tells nothing, look at the controller manager."
        ),
        source="Kubernetes apps/v1 DaemonSetStatus.desiredNumberScheduled",
    ),
    Code(
        code="CS106",
        title="An agent does not answer though its pod is Ready",
        severities=(Severity.FAIL, Severity.WARN),
        meaning=(
            "The `cilium` command could not exec into the agent, or the agent's API did not "
            "respond. What the API says of this node's sessions may be old. It is a warning where "
            "the agent answers other commands. Where no agent at all answers, what they share is "
            "broken, and it is told once."
        ),
        check=("`kubectl -n kube-system exec POD -c cilium-agent -- cilium-dbg status --brief`."),
        fix=(
            "If exec itself fails, look at the node's kubelet and container runtime; if the "
            "command hangs, at the agent's log, and restart its pod."
        ),
        source="Cilium cilium-cli/bgp/peers.go, cilium-cli/status/k8s.go, 0.16 to 0.19",
    ),
    Code(
        code="CS107",
        title="Versions do not go together",
        severities=(Severity.WARN, Severity.INFO),
        meaning=(
            "Agents run in several versions, or the operator in another minor version than the "
            "agents. While the newest pod is younger than 15 minutes an upgrade is under way, and "
            "this is only information; after that nothing goes on, whatever the reason.\n\n"
            "The `cilium` command is named where it works but is so old that it tells less: before "
            "0.18.6 it prints nothing at all when one agent fails, before 0.16.17 no error texts."
        ),
        check=f"`{_PODS}`, with `-o jsonpath` of `.spec.containers[0].image`; `cilium version`.",
        fix=(
            "Finish the upgrade, or go back: `kubectl -n kube-system rollout status "
            "daemonset/cilium`. Upgrade by one minor version at a time."
        ),
        source="Cilium Documentation/operations/upgrade.rst; cilium-cli releases",
    ),
    Code(
        code="CS108",
        title="The Envoy DaemonSet is not ready",
        severities=(Severity.FAIL, Severity.INFO),
        meaning=(
            "Envoy runs in pods of its own here, and one is not Ready. On that node L7 policies, "
            "Ingress and Gateway API do not work; BGP and LB-IPAM do not depend on it."
        ),
        check="`kubectl -n kube-system get pods -l k8s-app=cilium-envoy -o wide`.",
        fix="Look at the events and the log of the pods that are named.",
        source="Cilium chart, templates/cilium-envoy/daemonset.yaml",
        follows_from=("CS102", "CS112", "CS114"),
    ),
    Code(
        code="CS109",
        title="Hubble relay or UI is not ready",
        severities=(Severity.WARN,),
        meaning="It is deployed and not ready: flows cannot be looked at. Nothing else suffers.",
        check="`kubectl -n kube-system get deployment hubble-relay hubble-ui`.",
        fix="Look at its log; the relay must reach every agent on TCP 4244.",
        source="Cilium chart, templates/hubble-relay, templates/hubble-ui",
        follows_from=("CS102", "CS106", "CS112", "CS114"),
    ),
    Code(
        code="CS110",
        title="A controller of an agent keeps failing",
        severities=(Severity.WARN,),
        meaning=(
            "An agent does its work in controllers that it runs again and again. This one failed "
            "five times in a row or more; the message is its last error."
        ),
        check=(
            "`kubectl -n kube-system exec POD -c cilium-agent -- cilium-dbg status "
            "--all-controllers`."
        ),
        fix="The message says what it cannot do; look for the same error in the agent's log.",
        source="Cilium api/v1/models/controller_status.go; pkg/controller",
        follows_from=("CS112",),
    ),
    Code(
        code="CS111",
        title="Pods are older than the configuration",
        severities=(Severity.WARN,),
        meaning=(
            "`cilium-config` was written after these pods started. Cilium reads most of it only "
            "when it starts, so what was changed then may not be in force. The time is that of "
            "`metadata.managedFields`; it does not say which key was changed."
        ),
        check=(
            "`kubectl -n kube-system get configmap cilium-config --show-managed-fields -o yaml` "
            "against the pods' start times."
        ),
        fix=(
            "`kubectl -n kube-system rollout restart daemonset/cilium` (and "
            "`deployment/cilium-operator`). Helm does it by itself with `rollOutCiliumPods: true` "
            "and `operator.rollOutPods: true`."
        ),
        source="Cilium chart, templates/cilium-configmap.yaml; Kubernetes ManagedFieldsEntry",
    ),
    Code(
        code="CS112",
        title="A node is NotReady",
        severities=(Severity.FAIL, Severity.INFO),
        meaning=(
            "The node's `Ready` condition is not True. If it is Unknown its kubelet is silent: the "
            "node is off, cut off or overloaded, and everything that it last reported, its BGP "
            "session too, may not exist any more. If it is False the kubelet speaks, and may be "
            "waiting for nothing but the agent. A node that joined within two minutes is only "
            "information."
        ),
        check="`kubectl describe node NODE`.",
        fix="Bring the node or its kubelet back; delete the Node object if it is gone for good.",
        source="Kubernetes core/v1 NodeCondition",
        follows_from=("CS102", "CS114"),
    ),
    Code(
        code="CS113",
        title="Pods are not managed by Cilium",
        severities=(Severity.INFO,),
        meaning=(
            "`cilium status` counts pods without a Cilium endpoint. Mostly they started before "
            "Cilium did; policies do not hold for them."
        ),
        check="`cilium status` (Cluster Pods).",
        fix="Restart those pods.",
        source="Cilium cilium-cli/status/k8s.go",
    ),
    Code(
        code="CS114",
        title="A Cilium pod cannot start",
        severities=(Severity.FAIL, Severity.INFO),
        meaning=(
            "The pod is not scheduled, its image cannot be had, or its containers cannot be made. "
            "For a second operator where one is ready it is only information: on a cluster of one "
            "node the chart's two operators cannot both run."
        ),
        check="`kubectl -n kube-system describe pod POD`: the events name the cause.",
        fix=(
            "Image: its name, and whether the node reaches the registry. Scheduling: taints, ports "
            "in use, resources. Containers: the ConfigMap, Secret or volume that is named."
        ),
        source="Kubernetes core/v1 ContainerStateWaiting, PodCondition PodScheduled",
    ),
)
"""Every code of the block."""
