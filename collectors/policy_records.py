"""The part of network policies, and of what they are enforced on, that ciliscope reads.

Who may come in is read of the rules for ingress; of those for egress, and of what is denied, only
that they are there. The members of a rule are those of Cilium 1.17 to 1.21 (pkg/policy/api,
pkg/k8s/apis/cilium.io/v2/types.go; the API server prunes what its CRD does not know) and of
networking.k8s.io/v1. The status of an endpoint has no `policy` and no `health` in these versions:
an older agent, or one that is told to, writes them.
"""

from __future__ import annotations

import msgspec

from collectors.cilium_records import ConditionsStatus
from collectors.records import LabelSelector, Object, Opaque, Part


class CiliumIngress(Part, frozen=True):
    """One entry of `ingress`. Without any member it opens nothing; without a `from`, its ports."""

    from_endpoints: tuple[LabelSelector, ...] | None = None
    from_requires: tuple[Opaque, ...] = ()
    from_cidr: tuple[str, ...] = msgspec.field(default=(), name="fromCIDR")
    from_cidr_set: tuple[Opaque, ...] = msgspec.field(default=(), name="fromCIDRSet")
    from_entities: tuple[str, ...] = ()
    from_groups: tuple[Opaque, ...] = ()
    from_nodes: tuple[Opaque, ...] = ()
    to_ports: tuple[Opaque, ...] = ()
    icmps: tuple[Opaque, ...] = ()


class DefaultDeny(Part, frozen=True):
    """`enableDefaultDeny`; None: what the rule has rules for."""

    ingress: bool | None = None
    egress: bool | None = None


class CiliumRule(Part, frozen=True):
    """`spec`, or one of `specs`."""

    endpoint_selector: LabelSelector | None = None
    node_selector: LabelSelector | None = None
    """Only a clusterwide policy may have one; it is about nodes then, not about pods."""
    ingress: tuple[CiliumIngress, ...] = ()
    ingress_deny: tuple[Opaque, ...] = ()
    egress: tuple[Opaque, ...] = ()
    egress_deny: tuple[Opaque, ...] = ()
    enable_default_deny: DefaultDeny = DefaultDeny()


class CiliumPolicy(Object, frozen=True):
    """CiliumNetworkPolicy: for endpoints of its own namespace."""

    spec: CiliumRule | None = None
    specs: tuple[CiliumRule, ...] = ()
    status: ConditionsStatus = ConditionsStatus()

    @property
    def rules(self) -> tuple[CiliumRule, ...]:
        """All of them, whether there is one or a list."""
        return self.specs if self.spec is None else (self.spec, *self.specs)


class ClusterwidePolicy(CiliumPolicy, frozen=True):
    """CiliumClusterwideNetworkPolicy: for endpoints of every namespace, or for nodes."""


# --- CiliumEndpoint


class EndpointIdentity(Part, frozen=True):
    """Who an endpoint is to policies."""

    id: int = 0
    labels: tuple[str, ...] = ()
    """`SOURCE:KEY=VALUE`, such as `k8s:app=web`."""


class EndpointAddress(Part, frozen=True):
    """Addresses of one interface."""

    ipv4: str = ""
    ipv6: str = ""


class EndpointNetworking(Part, frozen=True):
    """`status.networking` of a CiliumEndpoint."""

    addressing: tuple[EndpointAddress, ...] = ()
    node: str = ""
    """Address of the node."""


class Enforcement(Part, frozen=True):
    """What is enforced in one direction, where the agent tells it."""

    enforcing: bool = False
    state: str = ""


class EndpointPolicy(Part, frozen=True):
    """`status.policy` of a CiliumEndpoint."""

    ingress: Enforcement | None = None
    egress: Enforcement | None = None


class EndpointHealth(Part, frozen=True):
    """`status.health` of a CiliumEndpoint."""

    overall_health: str = ""


class EndpointStatus(Part, frozen=True):
    """`status` of a CiliumEndpoint."""

    id: int = 0
    """Number of the endpoint on its node."""
    state: str = ""
    """`ready`, `waiting-for-identity`, `not-ready` …"""
    identity: EndpointIdentity = EndpointIdentity()
    networking: EndpointNetworking = EndpointNetworking()
    policy: EndpointPolicy | None = None
    health: EndpointHealth | None = None


class CiliumEndpoint(Object, frozen=True):
    """CiliumEndpoint: a pod as the agent of its node has it, under the pod's name."""

    status: EndpointStatus = EndpointStatus()
