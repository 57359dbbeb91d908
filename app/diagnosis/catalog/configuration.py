"""CS7: the key parameters of the running Cilium."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

_SHOW = "`kubectl -n kube-system get configmap cilium-config -o yaml`"

CODES: tuple[Code, ...] = (
    Code(
        code="CS701",
        title="A setting differs from what is expected",
        severities=(Severity.FAIL, Severity.WARN, Severity.UNKNOWN),
        meaning=(
            "The running `cilium-config` has another value than `[expect]` in the config file, or "
            "`--expect`, says. A key that is absent counts with its default. Without an "
            "expectation no setting is called wrong.\n\n"
            "The networks of the cluster pool belong to the IPAM mode: where that one differs and "
            "they are not set, they follow from it."
        ),
        check=f"{_SHOW}.",
        fix=(
            "Set the Helm value that the key comes from, let it be applied, and roll the pods; or "
            "correct the expectation."
        ),
        source="Cilium chart, templates/cilium-configmap.yaml, 1.17 to 1.19",
        follows_from=("CS701", "CS801", "CS802"),
    ),
    Code(
        code="CS705",
        title="A combination of settings cannot start",
        severities=(Severity.FAIL,),
        meaning=(
            "Agents refuse to start with these settings together. Those that run since before the "
            "change go on until they are restarted: then the node is without an agent.\n\n"
            "* `enable-bbr` without BPF host routing (kube-proxy replacement off, or legacy host "
            "routing on)\n"
            "* `bpf-lb-mode` dsr or hybrid over a vxlan tunnel\n"
            "* the same over any tunnel without geneve dispatch, or geneve dispatch without the "
            "geneve tunnel protocol\n"
            "* `install-no-conntrack-iptables-rules` without kube-proxy replacement\n"
            "* neither IPv4 nor IPv6\n\n"
            "Nothing is said where an agent that started with the settings is Ready."
        ),
        check=f"{_SHOW}, and the last lines of an agent that does not start.",
        fix="Change one of the Helm values that the finding names.",
        source=(
            "Cilium pkg/kpr/initializer/kube_proxy_replacement.go, "
            "pkg/datapath/linux/bandwidth/bandwidth.go, pkg/option/config.go, 1.17 to 1.21"
        ),
    ),
    Code(
        code="CS706",
        title="L2 announcements and BGP announce the same services",
        severities=(Severity.WARN,),
        meaning=(
            "Both are on, a CiliumL2AnnouncementPolicy selects load-balancer services, and an "
            "advertisement that a peer takes up selects them as well. Clients in the nodes' own "
            "network then reach an address by ARP or NDP through one node, others through the "
            "router by all: two ways that fail differently, and replies that take another way than "
            "the requests did. Some do it on purpose."
        ),
        check=("`kubectl get ciliuml2announcementpolicies,ciliumbgpadvertisements -o yaml`."),
        fix=(
            "Let one of the two announce each service: narrow the policy's `serviceSelector`, set "
            "`loadBalancerClass` (`io.cilium/bgp-control-plane` or `io.cilium/l2-announcer`) when "
            "a service is created, or switch one off (`l2announcements.enabled: false`)."
        ),
        source="Cilium Documentation/network/l2-announcements.rst; pkg/bgp/manager/reconciler",
    ),
)
"""Every code of the block that is judged today."""
