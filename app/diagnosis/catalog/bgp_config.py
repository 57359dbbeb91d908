"""CS3: the BGP configuration, v1 and v2."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

_FAIL, _WARN, _INFO = Severity.FAIL, Severity.WARN, Severity.INFO

_SWITCH = (
    Code(
        code="CS301",
        title="The BGP control plane is off, though BGP objects ask for it",
        severities=(_FAIL, _WARN),
        meaning="""\
There is a CiliumBGPClusterConfig (or, up to Cilium 1.18, a CiliumBGPPeeringPolicy), and no agent
runs BGP: nobody peers and nothing is announced. The status in CiliumBGPNodeConfig is not taken
back when BGP is switched off and may still say `established`.

What the agents say counts more than `cilium-config`: a change there needs a restart, and a
CiliumNodeConfig may decide otherwise for some nodes. It is a warning for a single node that runs
without BGP while `cilium-config` does not switch it on for all.
""",
        check="""\
```
kubectl -n kube-system get configmap cilium-config -o yaml | grep enable-bgp-control-plane
cilium bgp peers
```
""",
        fix="""\
Helm values of the cilium chart, then a restart of the operator and of the agents:

```yaml
bgpControlPlane:
  enabled: true
```

If BGP is not wanted any more, delete the BGP objects.
""",
        source="`enable-bgp-control-plane`: templates/cilium-configmap.yaml; status kept: measured",
        follows_from=("CS701",),
    ),
    Code(
        code="CS302",
        title="The BGP control plane is on and nothing configures it",
        severities=(_FAIL, _INFO),
        meaning="""\
Sessions come from a CiliumBGPClusterConfig (Cilium 1.16 and later) or a CiliumBGPPeeringPolicy
(BGPv1, up to 1.18); the finding names what this version reads, and there is none of it. A
CiliumBGPPeerConfig or CiliumBGPAdvertisement alone does nothing.

It is a failure where LoadBalancer services count on BGP or other BGP objects exist, and merely
worth knowing where nothing asks for BGP.
""",
        check="""\
```
kubectl get ciliumbgpclusterconfigs,ciliumbgpnodeconfigs
kubectl get ciliumbgppeeringpolicies     # Cilium up to 1.18
```
""",
        fix="""\
```yaml
apiVersion: cilium.io/v2          # v2alpha1 up to Cilium 1.17
kind: CiliumBGPClusterConfig
metadata: {name: main}
spec:
  nodeSelector: {matchLabels: {kubernetes.io/os: linux}}
  bgpInstances:
    - name: main
      localASN: 64512
      peers:
        - {name: router, peerASN: 64513, peerAddress: 192.0.2.1, peerConfigRef: {name: router}}
```
""",
        source="operator/pkg/bgp/cluster.go; Documentation/network/bgp-control-plane",
        follows_from=("CS318",),
    ),
    Code(
        code="CS318",
        title="BGP or pool CRDs are not installed",
        severities=(_FAIL,),
        meaning="""\
BGP is on, and the API server does not serve the kinds that it is configured with. Nothing can be
configured, and agents that wait for the definitions may not become ready.
""",
        check="""\
```
kubectl get crd | grep -E 'ciliumbgp|ciliumloadbalancerippool'
```
""",
        fix="""\
The operator installs the definitions when it starts. Look at its log for the reason, at its right
to create CustomResourceDefinitions, and whether `skip-crd-creation` is set; restart it.
""",
        source="pkg/k8s/apis/cilium.io/client/register.go",
    ),
)

_NODES = (
    Code(
        code="CS303",
        title="A ClusterConfig selects no node",
        severities=(_FAIL, _WARN),
        meaning="""\
`spec.nodeSelector` of a CiliumBGPClusterConfig (or of a CiliumBGPPeeringPolicy that is still
read) matches the labels of no **CiliumNode**. An absent or empty selector would match all. It is
a warning while every node has BGP from another object.

Up to Cilium 1.19 the condition `NoMatchingNode` carries the message "No node matches" also when
its status is False: only the status counts.
""",
        check="""\
```
kubectl get ciliumbgpclusterconfigs -o yaml
kubectl get ciliumnodes --show-labels
```
""",
        fix="""\
Correct `spec.nodeSelector`, or label the nodes. A label set on a Node is copied to its CiliumNode
by the agent.
""",
        source="operator/pkg/bgp/cluster.go; pkg/k8s/apis/cilium.io/v2/bgp_cluster_types.go",
    ),
    Code(
        code="CS304",
        title="Two ClusterConfigs select the same node",
        severities=(_FAIL,),
        meaning="""\
A node gets its BGP from one CiliumBGPClusterConfig. When a second one selects it too, the node
keeps the CiliumBGPNodeConfig of the first, and the second has no effect there, silently but for
the condition `cilium.io/ConflictingClusterConfig`.
""",
        check="""\
```
kubectl get ciliumbgpclusterconfigs -o yaml
kubectl get ciliumbgpnodeconfigs -o yaml | grep -A4 ownerReferences
```
""",
        fix="""\
Narrow one `spec.nodeSelector`, or put all `bgpInstances` into one ClusterConfig and delete the
other.
""",
        source="operator/pkg/bgp/cluster.go (1.17 to 1.21)",
    ),
    Code(
        code="CS307",
        title="A node runs without BGP",
        severities=(_INFO,),
        meaning="""\
No ClusterConfig or policy selects the node, while others run BGP. That may be what is wanted.
With `externalTrafficPolicy: Local`, backends on such a node are not reachable from outside.
""",
        check="""\
```
kubectl get ciliumbgpnodeconfigs
kubectl get ciliumnodes --show-labels
```
""",
        fix="Nothing, or: label the node as `spec.nodeSelector` wants it, or widen the selector.\n",
        source="operator/pkg/bgp/cluster.go",
        follows_from=("CS303",),
    ),
)

_PEERS = (
    Code(
        code="CS305",
        title="`peerConfigRef` names nothing",
        severities=(_FAIL, _WARN),
        meaning="""\
A peer refers to a CiliumBGPPeerConfig that does not exist. The agents leave the peer out without
a line in their log; an existing session with it is closed. It is a warning where no node obeys
that ClusterConfig.
""",
        check="""\
```
kubectl get ciliumbgpclusterconfigs -o yaml      # peers[].peerConfigRef.name, MissingPeerConfigs
kubectl get ciliumbgppeerconfigs
```
""",
        fix="Create the CiliumBGPPeerConfig, or correct `peers[].peerConfigRef.name`.\n",
        source="pkg/bgp/manager/reconciler/neighbor.go; operator/pkg/bgp/cluster.go",
    ),
    Code(
        code="CS306",
        title="The auth secret is missing, or has no `password`",
        severities=(_FAIL,),
        meaning="""\
The Secret is looked for in `bgp-secrets-namespace`. When it does not exist the agent goes on with
an **empty** password: the session comes up only if the router wants none. When it has no key
`password` the agent sets up no peer at all. Secrets are never read here: this is what the
operator's condition `cilium.io/MissingAuthSecret`, the agents' `BGPReconcileError` or, for BGPv1,
the running session says.
""",
        check="""\
```
kubectl get ciliumbgppeerconfigs -o yaml
kubectl -n <bgp-secrets-namespace> describe secret <name>
```
""",
        fix="""\
Create the Secret with the key `password` in `bgp-secrets-namespace`, with the password that the
router has for these neighbours, or remove `authSecretRef`.
""",
        source="operator/pkg/bgp/peer.go; pkg/bgp/manager/reconciler/neighbor.go; measured",
    ),
    Code(
        code="CS315",
        title="The agent reports a reconcile error",
        severities=(_FAIL,),
        meaning="""\
The agent could not apply its CiliumBGPNodeConfig (Cilium 1.18 and later say so in the condition
`cilium.io/BGPReconcileError`). What it ran before may go on. An agent that is not Ready is not
believed here: nobody takes its condition back.
""",
        check="""\
```
kubectl get ciliumbgpnodeconfigs -o yaml
kubectl -n kube-system logs ds/cilium -c cilium-agent | grep 'Reconciliation with retries failed'
```
""",
        fix="The message names the cause. Correct it; the agent tries again by itself.\n",
        source="pkg/bgp/manager/reconciler/crd_status.go (1.18 and later)",
        follows_from=("CS306",),
    ),
    Code(
        code="CS316",
        title="A NodeConfigOverride names an instance or peer that does not exist",
        severities=(_WARN,),
        meaning="""\
Names in a CiliumBGPNodeConfigOverride must be those of the ClusterConfig that selects the node.
What does not match is ignored without a word: the router ID, port or address meant for it is not
used.
""",
        check="""\
```
kubectl get ciliumbgpnodeconfigoverrides,ciliumbgpnodeconfigs -o yaml
```
""",
        fix="Correct `spec.bgpInstances[].name` and `.peers[].name`.\n",
        source="operator/pkg/bgp/cluster.go; pkg/k8s/apis/cilium.io/v2/bgp_node_types.go",
    ),
)

_POLICIES = (
    Code(
        code="CS308",
        title="CiliumBGPPeeringPolicy objects on a Cilium that no longer reads them",
        severities=(_FAIL, _WARN),
        meaning="""\
Cilium 1.19 removed BGPv1. The objects and their definition stay in the API server after the
upgrade, and nothing reads them. It is a failure where the nodes they select have no other BGP
configuration, and a warning where BGPv2 has taken over and the policies only mislead.
""",
        check="""\
```
kubectl get ciliumbgppeeringpolicies,ciliumbgpclusterconfigs,ciliumbgpnodeconfigs
```
""",
        fix="""\
Write the same as CiliumBGPClusterConfig (who peers with whom), CiliumBGPPeerConfig (timers,
families) and CiliumBGPAdvertisement (`exportPodCIDR`, `serviceSelector`), then delete the
policies. A peer's address has no mask there.
""",
        source="Documentation/operations/upgrade.rst (1.19); b74e51b715",
    ),
    Code(
        code="CS309",
        title="A PeeringPolicy shadows the v2 configuration of a node",
        severities=(_WARN,),
        meaning="""\
Up to Cilium 1.18 a CiliumBGPPeeringPolicy that selects a node wins: the node's
CiliumBGPNodeConfig is not obeyed, though the conditions of the v2 objects look healthy.
""",
        check="""\
```
kubectl get ciliumbgppeeringpolicies,ciliumbgpclusterconfigs -o yaml
```
""",
        fix="""\
When the v2 objects say all that the policy says, delete the policy. The sessions are set up anew
at that moment.
""",
        source="[1.17] pkg/bgpv1/agent/controller.go",
    ),
    Code(
        code="CS310",
        title="Two PeeringPolicies select the same node",
        severities=(_FAIL,),
        meaning="""\
An agent accepts one CiliumBGPPeeringPolicy. With two it logs `bgp peering policy selection
failed` and stops before touching what runs: sessions go on, no change is applied any more, and
after a restart of the agent there is no session at all.
""",
        check="""\
```
kubectl get ciliumbgppeeringpolicies -o yaml
kubectl -n kube-system logs ds/cilium -c cilium-agent | grep 'policy selection failed'
```
""",
        fix="Put all virtual routers of a node into one policy, or narrow the `nodeSelector`s.\n",
        source="[1.17] pkg/bgpv1/agent/controller.go; measured on 1.17.10",
    ),
    Code(
        code="CS317",
        title="Objects in a deprecated API version",
        severities=(_INFO,),
        meaning="""\
CiliumBGPPeeringPolicy (BGPv1) is deprecated in Cilium 1.18 and removed in 1.19: it works now and
stops to with that upgrade.
""",
        check="""\
```
kubectl get ciliumbgppeeringpolicies
```
""",
        fix="""\
Before upgrading to 1.19, write the v2 objects and delete the policy last. While it selects a node
it wins, so the order is safe.
""",
        source="b6010cd83d (1.18); Documentation/operations/upgrade.rst (1.19)",
    ),
)

_ADVERTISEMENTS = (
    Code(
        code="CS311",
        title="A peer's family selects no advertisement",
        severities=(_FAIL, _WARN, _INFO),
        meaning="""\
`families[].advertisements` of a CiliumBGPPeerConfig selects CiliumBGPAdvertisements by their
labels. **Absent selects none**, `{}` selects all. A PeerConfig without families, and a peer
without `peerConfigRef`, have IPv4 and IPv6 without advertisements. The session comes up and
nothing is announced on it.

It is a warning where only one family's selector finds nothing and no service has an address of
that family, and worth knowing where there is nothing to announce.
""",
        check="""\
```
kubectl get ciliumbgpadvertisements --show-labels
kubectl get ciliumbgppeerconfigs -o yaml
```
""",
        fix="""\
```yaml
kind: CiliumBGPPeerConfig
spec:
  families:
    - {afi: ipv4, safi: unicast, advertisements: {matchLabels: {advertise: bgp}}}
---
kind: CiliumBGPAdvertisement
metadata: {name: services, labels: {advertise: bgp}}
```
""",
        source="pkg/bgp/manager/reconciler/peer_advertisements.go; "
        "pkg/k8s/slim/k8s/apis/meta/v1/helpers.go",
    ),
    Code(
        code="CS312",
        title="An advertisement that no peer selects",
        severities=(_WARN,),
        meaning="""\
No family of any peer selects the CiliumBGPAdvertisement by its labels, so nothing in it is
announced. The object has no status that would say so.
""",
        check="""\
```
kubectl get ciliumbgpadvertisements --show-labels
kubectl get ciliumbgppeerconfigs -o yaml
```
""",
        fix="Give it the labels that `families[].advertisements` wants, or delete it.\n",
        source="pkg/bgp/manager/reconciler/peer_advertisements.go",
        follows_from=("CS305", "CS311"),
    ),
    Code(
        code="CS313",
        title="An advertisement (or v1 virtual router) without selector matches nothing",
        severities=(_FAIL, _WARN),
        meaning="""\
An entry of type Service or CiliumPodIPPool without `selector`, and a BGPv1 virtual router without
`serviceSelector`, selects **nothing**; an empty selector would select all. A `selector` nested
under `service` is an unknown field and dropped.

It is a failure where services count on BGP and nothing else advertises them. A virtual router
without `serviceSelector` that only exports pod CIDRs is in order.
""",
        check="""\
```
kubectl get ciliumbgpadvertisements -o yaml
kubectl get ciliumbgppeeringpolicies -o yaml     # BGPv1
```
""",
        fix="""\
```yaml
advertisements:
  - advertisementType: Service
    service: {addresses: [LoadBalancerIP]}
    selector:                                    # beside service, not inside it
      matchExpressions: [{key: never, operator: NotIn, values: [used]}]     # every service
```
""",
        source="pkg/bgp/manager/reconciler/service.go; "
        "[1.17] pkg/bgpv1/manager/reconciler/service.go",
    ),
    Code(
        code="CS314",
        title="A Service advertisement without `LoadBalancerIP` while LoadBalancer services match",
        severities=(_FAIL,),
        meaning="""\
The entry selects LoadBalancer services that count on BGP, and announces only other addresses of
them (`ClusterIP`, `ExternalIP`). Nothing else advertises what LB-IPAM gave them.
""",
        check="""\
```
kubectl get ciliumbgpadvertisements -o yaml
```
""",
        fix="""\
Add `LoadBalancerIP` to `service.addresses` (BGPv1: `serviceAdvertisements`; Cilium 1.17 applies
that to a running policy only when it is created anew).
""",
        source="pkg/bgp/manager/reconciler/service.go; v1: measured on 1.17.10",
    ),
)

CODES: tuple[Code, ...] = tuple(
    sorted((*_SWITCH, *_NODES, *_PEERS, *_POLICIES, *_ADVERTISEMENTS), key=lambda entry: entry.code)
)
