"""CS5: why an address is not announced by BGP, or wrongly."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

_SESSION_CAUSES = (
    "CS401",
    "CS402",
    "CS403",
    "CS404",
    "CS405",
    "CS406",
    "CS407",
    "CS408",
    "CS410",
    "CS412",
)
_AGENT_CAUSES = ("CS101", "CS102", "CS105", "CS106", "CS112", "CS114")
_CONFIG_CAUSES = (
    "CS301",
    "CS302",
    "CS303",
    "CS304",
    "CS305",
    "CS306",
    "CS308",
    "CS309",
    "CS310",
    "CS315",
    "CS318",
)
_SELECTION_CAUSES = ("CS311", "CS312", "CS313", "CS314")

_RECONCILER = (
    "Cilium pkg/bgp/manager/reconciler/service.go (1.19 and later), "
    "pkg/bgpv1/manager/reconcilerv2/service.go (1.17, 1.18)"
)
_SHOW = "`cilium bgp routes advertised ipv4 unicast`"

CODES: tuple[Code, ...] = (
    Code(
        code="CS501",
        title="A service's address is announced by no node",
        severities=(Severity.FAIL, Severity.UNKNOWN),
        meaning=(
            "The service has an address, and no node tells it to any router over a session that "
            "is up. Whoever relies on the router to find the service does not reach it. The "
            "finding names the first hop of the way that is broken: the control plane, the "
            "sessions, or the routes themselves.\n\n"
            "A prefix in a node's adj-rib-out reaches nobody while its session is down, and "
            "counts as not announced.\n\n"
            "With `externalTrafficPolicy: Local` only nodes with a ready endpoint announce it. "
            "Where all of these run without BGP, nobody does, though every session is up.\n\n"
            "It is unknown where that cannot be told though all was read: for half a minute after "
            "a change, while no living witness tells of the sessions, or while nobody knows what "
            "BGP should announce."
        ),
        check=(
            f"{_SHOW} shows what goes to each router, `cilium bgp peers` whether the session is "
            "`established`. A prefix in `cilium bgp routes available ipv4 unicast` that is not "
            "in `advertised` is held back by that peer's policy."
        ),
        fix=(
            "Repair what the finding blames first. A service of policy Local needs an endpoint on "
            "a node that runs BGP: widen `spec.nodeSelector` of the CiliumBGPClusterConfig, move "
            "the pods, or set `externalTrafficPolicy: Cluster`. Where the sessions are up and "
            "nothing is blamed, look for `Reconciliation with retries failed` in the log of an "
            "agent that lacks the prefix."
        ),
        source=f"{_RECONCILER}; RFC 4271 §3.2 (Adj-RIBs-Out)",
        follows_from=(*_AGENT_CAUSES, *_CONFIG_CAUSES, *_SELECTION_CAUSES, *_SESSION_CAUSES),
    ),
    Code(
        code="CS502",
        title="A service's address is announced by fewer nodes than expected",
        severities=(Severity.WARN, Severity.UNKNOWN),
        meaning=(
            "Some nodes that should announce the address do not, though others do: the service "
            "is reached, over fewer paths than it should be. With `externalTrafficPolicy: "
            "Local` its endpoints on those nodes get no traffic.\n\n"
            "A node whose agent could not be asked is not counted as missing. It is unknown for "
            "half a minute after a change."
        ),
        check=f"{_SHOW} and compare the nodes that list the prefix with those named here.",
        fix=(
            "Look at the session and the agent of the nodes that lack the prefix: `cilium bgp "
            "peers --node NODE`, and the agent's log."
        ),
        source=_RECONCILER,
        follows_from=(*_AGENT_CAUSES, *_CONFIG_CAUSES, *_SELECTION_CAUSES, *_SESSION_CAUSES),
    ),
    Code(
        code="CS503",
        title="A node without a local endpoint announces a service with policy Local",
        severities=(Severity.FAIL,),
        meaning=(
            "With `externalTrafficPolicy: Local` a node answers only with endpoints of its own. "
            "The router spreads the traffic over all announcers, so what it sends to this node "
            "is dropped: some connections fail, others work.\n\n"
            "Cilium up to 1.18 announces from every node with an endpoint that is not "
            "terminating, even if that endpoint is not ready."
        ),
        check=(
            "Compare `cilium bgp routes advertised ipv4 unicast` with the nodes of the ready "
            "endpoints in `kubectl get endpointslices -l kubernetes.io/service-name=NAME`."
        ),
        fix=(
            "Make the pod on that node ready or remove it. If the node has no pod of the service "
            "at all, restart its agent, and look for cilium/cilium#44803."
        ),
        source="Kubernetes Service.spec.externalTrafficPolicy; cilium/cilium#44803",
        follows_from=("CS601",),
    ),
    Code(
        code="CS504",
        title="An address is announced though no endpoint is ready",
        severities=(Severity.WARN,),
        meaning=(
            "The router sends traffic to the nodes, and nothing there answers. Cilium keeps the "
            "address announced by default (`enable-no-service-endpoints-routable: true`), so a "
            "route on the router does not prove that the service works."
        ),
        check="`kubectl get endpointslices -l kubernetes.io/service-name=NAME -o wide`.",
        fix=(
            "Bring the service's pods up. To have such addresses withdrawn, set "
            '`enable-no-service-endpoints-routable: "false"` in `cilium-config` (1.19 and later '
            "obey it for BGP)."
        ),
        source=f"{_RECONCILER}; option enable-no-service-endpoints-routable",
        follows_from=("CS601",),
    ),
    Code(
        code="CS505",
        title="No advertisement selects a service that has an address",
        severities=(Severity.FAIL,),
        meaning=(
            "LB-IPAM gave the service an address, sessions carry the address's family, and no "
            "Service advertisement that a peer carries selects the service's labels. For each "
            "one the finding names the requirement that fails and what the service has instead.\n\n"
            "An advertisement without `selector` selects nothing; an empty one (`{}`) selects "
            "everything. The virtual labels `io.kubernetes.service.name` and "
            "`io.kubernetes.service.namespace` can be selected too."
        ),
        check=(
            "`kubectl get svc -A --show-labels` and `kubectl get ciliumbgpadvertisements -o yaml` "
            "(BGPv1: `kubectl get ciliumbgppeeringpolicies -o yaml`)."
        ),
        fix=(
            "An entry without `selector`: add one (CS313). One that selects the service and does "
            "not announce `LoadBalancerIP`: add that (CS314). Else add the label to the service's "
            "manifest, or widen the entry's `selector`."
        ),
        source=f"{_RECONCILER}; pkg/k8s/slim/k8s/apis/meta/v1/helpers.go",
        follows_from=("CS304", "CS305", "CS310", *_SELECTION_CAUSES),
    ),
    Code(
        code="CS506",
        title="The service's loadBalancerClass keeps it out of BGP",
        severities=(Severity.INFO,),
        meaning=(
            "BGP announces services without `loadBalancerClass` and those of "
            "`io.cilium/bgp-control-plane`. This one belongs to somebody else, who has to make "
            "its address reachable."
        ),
        check="`kubectl get svc -n NAMESPACE NAME -o jsonpath={.spec.loadBalancerClass}`.",
        fix=(
            "Nothing, if that is meant. The class of a service cannot be changed: to announce it "
            "by BGP, delete it and create it again without one."
        ),
        source=_RECONCILER,
    ),
    Code(
        code="CS507",
        title="Policy Local, and no node has a ready endpoint",
        severities=(Severity.FAIL,),
        meaning=(
            "With `externalTrafficPolicy: Local` only nodes with an endpoint of the service "
            "announce it. None has one, so nobody does: the address vanishes from the router."
        ),
        check="`kubectl get endpointslices -l kubernetes.io/service-name=NAME -o wide`.",
        fix=(
            "Bring the service's pods up. Endpoints without `nodeName` (made by hand) are on no "
            "node; such a service needs `externalTrafficPolicy: Cluster`. Services of Cilium's "
            "own Ingress or Gateway are announced with `Local` from 1.20 on only."
        ),
        source=f"{_RECONCILER}; cilium/cilium#36816",
        follows_from=("CS601",),
    ),
    Code(
        code="CS508",
        title="No session carries the address's family",
        severities=(Severity.FAIL,),
        meaning=(
            "The service has an address of a family that none of the peers is configured for. Its "
            "other address may work, this one is announced to nobody. (Where it is the router that "
            "did not agree to a family, CS410 says so, and CS501 follows from it.)"
        ),
        check=(
            "`cilium bgp peers` lists the families of each session; `kubectl get "
            "ciliumbgppeerconfigs -o yaml` shows `spec.families`."
        ),
        fix=(
            "Add the family, with its `advertisements` selector, to `spec.families` of the "
            "CiliumBGPPeerConfig, and activate it on the router (FRR: `address-family ipv6 "
            "unicast`, `neighbor … activate`). If the address is not needed, ask for one family "
            "(`spec.ipFamilyPolicy: SingleStack`)."
        ),
        source=f"{_RECONCILER}; RFC 4760 §8",
        follows_from=("CS304", "CS305", "CS310"),
    ),
    Code(
        code="CS509",
        title="A prefix is announced that nothing asks for",
        severities=(Severity.WARN,),
        meaning=(
            "A node announces a prefix that is no address of a service which an advertisement "
            "selects, and no pod network. Traffic for it is drawn to the cluster and dropped, or "
            "answered by what should not be public. It is left over from an object that is gone, "
            "or the agent no longer follows the configuration."
        ),
        check=f"{_SHOW} and `kubectl get svc -A | grep ADDRESS`.",
        fix=(
            "Look for errors in the log of the agent that announces it; restarting that agent "
            "makes it build its table anew. Cilium 1.17 applies a changed "
            "`serviceAdvertisements` only when the CiliumBGPPeeringPolicy is created anew."
        ),
        source=_RECONCILER,
        follows_from=("CS310", "CS304", "CS315"),
    ),
    Code(
        code="CS510",
        title="IPv6 prefixes are announced with an IPv4-mapped next hop",
        severities=(Severity.INFO, Severity.WARN),
        meaning=(
            "The session runs over IPv4, so the next hop of IPv6 prefixes is the node's IPv4 "
            "address written as `::ffff:a.b.c.d`. Some routers resolve that, others drop the "
            "prefix or cannot forward to it. Seen from here it can only be said that it is so; it "
            "is a warning when a probe of such an address failed."
        ),
        check=(
            "`cilium bgp routes advertised ipv6 unicast` shows the next hop. On the router: "
            "`vtysh -c 'show bgp ipv6 unicast PREFIX'`; is it valid there?"
        ),
        fix=(
            "Peer over IPv6 for the IPv6 family (a second peer with an IPv6 `peerAddress`), or "
            "set the next hop in the router's import policy (FRR: `set ipv6 next-hop "
            "prefer-global` or an explicit address)."
        ),
        source="RFC 4760 §3, RFC 4291 §2.5.5.2; cilium/cilium#37831",
    ),
)
