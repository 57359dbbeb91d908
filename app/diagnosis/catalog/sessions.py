"""CS4: BGP sessions."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

_AGENT = ("CS101", "CS102", "CS103", "CS105", "CS106", "CS112", "CS114")
"""What silences an agent."""
_LOG = """```
kubectl -n kube-system logs POD -c cilium-agent --timestamps | grep -F PEER-ADDRESS
```"""

CODES: tuple[Code, ...] = (
    Code(
        code="CS401",
        title="BGP session not established; cause unknown or peer unreachable",
        severities=(Severity.FAIL, Severity.UNKNOWN, Severity.INFO),
        meaning="""The session is down and nothing tells why for certain: nothing is in the \
agent's log, only a line from before the outage, or that the connection broke without a word. What \
fits depends on the state, and the finding lists it, with what was ruled out:

* `active`: the agent tries to connect, and GoBGP tells of a failed attempt at debug level alone. \
A `peerAddress` that is not the router's (told first of a session that never came up; a node's own \
address is named as such), a dead or unreachable router, a filter on TCP port 179, a router \
without a neighbour entry for the node, a password on one side, more than one hop \
with `ebgpMultihop` 1, a source address that \
cannot be bound; from Cilium 1.20 on also a router that takes the connection and closes it.
* `idle`: the agent does not try. It waits 5 s after every loss or refusal; a session that is seen \
idle again and again is refused each time: the router expects another AS number than `localASN`, \
has no neighbour entry, or closes the connection at once (before 1.20). A neighbour that is \
administratively down inside GoBGP stays idle.
* `open_sent`, `open_confirm`: the peer took the connection and fell silent. Filter, route and \
password are right.

As *unknown* it says that nothing tells how the session is: the agent could not be asked, and the \
API has no status of it. As *info* it says that the session was configured only seconds ago.""",
        check=f"""```
cilium bgp peers
```

and what the agent says of the peer:

{_LOG}

On the router: `show bgp summary`, `show bgp neighbors NODE-ADDRESS`.""",
        fix="""In `active`: bring the router back, or open TCP port 179 between it and the nodes, \
or add the nodes as its neighbours. An attempt is made once per `connectRetryTimeSeconds` (120 s \
by default; up to twice that before Cilium 1.20), so give it minutes. In `idle`: see on the router \
why it refuses the node (last reset, its log).""",
        source="""GoBGP pkg/server/fsm.go (v3.35 to v4.7): a failed connection is a debug line, a \
notification before the session is up is none; RFC 4271 §8.2.2; measured on 1.17.10 and 1.21.""",
        follows_from=("CS306", "CS315", "CS301", *_AGENT, "CS801", "CS802", "CS803"),
    ),
    Code(
        code="CS402",
        title="AS number mismatch",
        severities=(Severity.FAIL,),
        meaning="""One side names another AS number in its OPEN message than the other side has \
configured, and that side ends the session with a notification (Code 2 Subcode 2). *Sent* means \
that the agent refused the peer: `peerASN` is wrong. *Received* means that the peer refused the \
agent: the router expects another AS number than `localASN`; GoBGP logs that only of a session \
that was up, else it is CS401 in state `idle`. Up to Cilium 1.19 the log names both \
numbers, from 1.20 on only the codes.""",
        check=f"""{_LOG}

On the router: `show bgp summary` (its own AS number, and the one it expects of each neighbour).""",
        fix="""Set `spec.bgpInstances[].peers[].peerASN` (or `localASN`) in the \
CiliumBGPClusterConfig, up to 1.18 with BGPv1 `spec.virtualRouters[].neighbors[].peerASN` in the \
CiliumBGPPeeringPolicy, to what the router has; or change the router.""",
        source="RFC 4271 §6.2; GoBGP pkg/packet/bgp/validate.go; measured on 1.17.10 and 1.21.",
    ),
    Code(
        code="CS403",
        title="Hold timer expired: the peer fell silent",
        severities=(Severity.FAIL,),
        meaning="""The session was up, and then nothing was heard of the peer for the negotiated \
hold time: the router hangs, is overloaded, or packets are lost. A router that ends a session \
says so, and one whose process ends closes the connection; here neither happened.""",
        check=f"""{_LOG}

On the router: does `show bgp summary` answer? Is its processor or memory exhausted?""",
        fix="""Mend the router or the path to it. A hold time that is too short for a busy router \
is `spec.timers.holdTimeSeconds` of the CiliumBGPPeerConfig (`holdTimeSeconds` of the neighbour in \
BGPv1); a change resets the session.""",
        source="RFC 4271 §6.5; GoBGP pkg/server/fsm.go; measured on 1.21.",
    ),
    Code(
        code="CS404",
        title="The peer closed the session",
        severities=(Severity.FAIL,),
        meaning="""The router ended the session, or refuses to open it, and said why in a \
notification: an administrative shutdown or reset, a neighbour that was de-configured, a rejected \
connection, too many prefixes, an OPEN it does not accept, its hold timer. The last one counts.""",
        check=f"""{_LOG}

On the router: `show bgp neighbors NODE-ADDRESS` (last reset, due to …).""",
        fix="""On the router: enable the neighbour again (`no neighbor … shutdown`), add it \
(`neighbor … remote-as …`), or raise its limit of prefixes.""",
        source="RFC 4271 §4.5 and §6, RFC 4486, RFC 8203; `collectors/cilium/bgp_messages.py`.",
    ),
    Code(
        code="CS405",
        title="Nobody answers, in a way that fits a password mismatch or a filter",
        severities=(Severity.FAIL,),
        meaning="""The session uses a TCP MD5 password, the peer does not answer, and no log says \
why. The kernel drops packets whose signature is wrong before any program sees them, so a mismatch \
leaves no trace in Cilium. A filter, or a dead router, looks the same; it cannot be told for \
certain from here.""",
        check="""```
cilium bgp peers -o json    # tcp-password-enabled
kubectl -n kube-system get secret NAME -o jsonpath='{.data.password}' | wc -c
```

On the node the counters TcpExtTCPMD5Failure and TcpExtTCPMD5NotFound (`nstat -az`) rise while \
packets with a wrong or missing signature arrive.""",
        fix="""Set the same password in the Secret that `authSecretRef` names (key `password`, in \
the namespace `bgp-secrets-namespace`) and for the neighbours on the router, without a line break \
at its end.""",
        source="RFC 2385; Cilium pkg/bgp/manager/reconciler/neighbor.go; seen on 1.17 and 1.21.",
        follows_from=("CS306", "CS315"),
    ),
    Code(
        code="CS406",
        title="BGP session flaps",
        severities=(Severity.WARN, Severity.FAIL),
        meaning="""The session was lost at least four times within twenty minutes, and the router \
did not announce it. With every loss routes are withdrawn or, with graceful restart, kept though \
nobody may answer; traffic to addresses suffers each time.

In the moment after a loss, and until a session that is back has announced all, what its node does \
not announce follows from this. It is a failure while a service is announced by nobody for it. A \
session that stays down is told by the code of what keeps it down.""",
        check=_LOG,
        fix="""Find what breaks the connection at those moments: the link, the router's load, the \
node's load. Timers that are shorter than the network is slow make it worse.""",
        source="GoBGP pkg/server/fsm.go (`Peer Down`, its reasons).",
    ),
    Code(
        code="CS407",
        title="A session that should exist on a node does not",
        severities=(Severity.FAIL,),
        meaning="""The configuration asks for a session on the node, and its agent has no such \
peer: the CiliumBGPPeerConfig it refers to is missing, the instance could not be set up, the \
operator has not rendered the node's configuration, or the control plane is off.""",
        check="""```
cilium bgp peers
kubectl get ciliumbgpnodeconfig NODE -o yaml
```""",
        fix="""Mend what the agent or the operator complains about: `peerConfigRef`, the key \
`password` of the Secret, the peer's AS number and address. Not rendered: see that an operator \
leads, and its log. Control plane off on the node: switch it on and restart the agent.""",
        source="Cilium operator/pkg/bgp/cluster.go, pkg/bgp/manager/reconciler/neighbor.go.",
        follows_from=(
            *_AGENT,
            "CS104",
            "CS301",
            "CS304",
            "CS305",
            "CS306",
            "CS308",
            "CS309",
            "CS310",
            "CS315",
            "CS316",
        ),
    ),
    Code(
        code="CS408",
        title="The status in the API is a dead agent's last word",
        severities=(Severity.FAIL,),
        meaning="""The status of CiliumBGPNodeConfig is written by the agent of the node, and \
nobody corrects it when that agent is gone, hangs, or lost its BGP control plane: it goes on to \
say `established`. The session does not exist any more, or nobody knows. Where BGP was switched \
off the agent is well, and the status is only left over.""",
        check="""```
kubectl -n kube-system get pods -l k8s-app=cilium -o wide
kubectl get ciliumbgpnodeconfig NODE -o yaml
```

On the router: `show bgp summary`.""",
        fix="""A dead agent: bring it back, it writes its status anew. BGP switched off: switch it \
on again (`bgpControlPlane.enabled`), or delete the CiliumBGPClusterConfig, and the \
CiliumBGPNodeConfigs go with it. A node that is gone: see that an operator leads, which removes \
what is left of it.""",
        source="Cilium pkg/bgp/manager/reconciler/crd_status.go; measured on 1.17.10 and 1.21.",
        follows_from=("CS301", *_AGENT),
    ),
    Code(
        code="CS409",
        title="API status and CLI disagree for longer than the reporting lag",
        severities=(Severity.WARN,),
        meaning="""The agent writes its sessions into CiliumBGPNodeConfig within seconds. Here its \
log tells that the session has been what `cilium bgp peers` says for longer than that, and the \
status still says otherwise: whoever reads the API alone is misled.""",
        check="""```
cilium bgp peers --node NODE
kubectl get ciliumbgpnodeconfig NODE -o yaml
```""",
        fix="""See in the agent's log why it cannot write (`Failed to update CiliumBGPNodeConfig \
status after retries`: rights, API server), or switch status reporting on \
(`enable-bgp-control-plane-status-report`).""",
        source="Cilium pkg/bgp/manager/reconciler/crd_status.go; measured lag up to 5.2 s.",
        follows_from=("CS106", "CS110", "CS301"),
    ),
    Code(
        code="CS410",
        title="A configured address family was not negotiated",
        severities=(Severity.WARN,),
        meaning="""Both sides must offer an address family in their OPEN messages; the peer did \
not offer one that is configured here and that services have addresses of. The session is up, and \
the prefixes of that family are not exchanged. Known from Cilium 1.19 on: the agent tells the \
peer's capabilities.""",
        check="""```
cilium bgp peers --capabilities
```

On the router: `show bgp neighbors NODE-ADDRESS` (address families).""",
        fix="""Activate the family for the neighbours on the router (FRR: `address-family ipv6 \
unicast`, `neighbor … activate`), or take it out of `spec.families`.""",
        source="RFC 4760 §8, RFC 5492 §3; Cilium api/v1/models/bgp_peer.go (1.19).",
    ),
    Code(
        code="CS411",
        title="The session of one node is unlike those of its siblings",
        severities=(Severity.WARN,),
        meaning="""Sessions that are configured alike have negotiated another hold time or other \
families on one node than on all others: the router treats that neighbour differently.""",
        check="""```
cilium bgp peers -o json
```""",
        fix="Make the router's neighbours alike, for instance with a peer group.",
        source="RFC 4271 §4.2 (the smaller hold time counts), RFC 5492.",
    ),
    Code(
        code="CS412",
        title="The peer seems to be more than one hop away, and one hop is allowed",
        severities=(Severity.FAIL,),
        meaning="""Packets of an external session leave with a TTL of `ebgpMultihop`, 1 by \
default. The node's addresses and the peer's are in networks that hardly share a link, the session \
is down and nothing is in the log: that fits. The API tells no prefix lengths, nor the addresses \
of every interface, so it is not certain.""",
        check="""```
cilium bgp peers -o json    # ebgp-multihop-ttl
```

On the node: `ip route get PEER-ADDRESS` (a `via` means another hop).""",
        fix="""Set `spec.ebgpMultihop` of the CiliumBGPPeerConfig (`eBGPMultihopTTL` of the \
neighbour in BGPv1) to the number of hops, and the same on the router.""",
        source="GoBGP pkg/server/fsm.go (TTL of the connection); Cilium bgp_peer_types.go.",
        follows_from=("CS306", "CS315"),
    ),
)
