"""Every kind the simulated cluster serves, so that discovery, the store and the API agree.

Names, scopes, short names and categories are those of a Kubernetes 1.36 API server and of the
CustomResourceDefinitions of Cilium 1.17 and 1.21 (their recorded discovery documents).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from app.lab.store import Resource

_CORE = ("v1",)
_ALL = ("all",)

STANDARD = (
    Resource("", _CORE, "namespaces", "Namespace", False, ("ns",)),
    Resource("", _CORE, "nodes", "Node", False, ("no",)),
    Resource("", _CORE, "pods", "Pod", True, ("po",), _ALL),
    Resource("", _CORE, "services", "Service", True, ("svc",), _ALL),
    Resource("", _CORE, "configmaps", "ConfigMap", True, ("cm",)),
    Resource("", _CORE, "events", "Event", True, ("ev",)),
    Resource("", _CORE, "secrets", "Secret", True),
    Resource("apps", _CORE, "daemonsets", "DaemonSet", True, ("ds",), _ALL),
    Resource("apps", _CORE, "deployments", "Deployment", True, ("deploy",), _ALL),
    Resource("apps", _CORE, "replicasets", "ReplicaSet", True, ("rs",), _ALL),
    Resource("coordination.k8s.io", _CORE, "leases", "Lease", True),
    Resource("discovery.k8s.io", _CORE, "endpointslices", "EndpointSlice", True),
    Resource("networking.k8s.io", _CORE, "networkpolicies", "NetworkPolicy", True, ("netpol",)),
)
"""The kinds of the API server itself that the lab serves."""

_CILIUM = ("cilium",)
_POLICY = ("cilium", "ciliumpolicy")
_BGP = ("cilium", "ciliumbgp")
_POOL = ("ippools", "ippool", "lbippool", "lbippools")
_STABLE = ("v2",)
_OLDEST = 17
"""The oldest minor version that is known."""
_ALPHA = ("v2alpha1",)


def cilium_resources(minor: int = 21) -> tuple[Resource, ...]:
    """The kinds that Cilium 1.`minor` registers, with the versions it serves each under.

    Pools and the BGP kinds are v2alpha1 alone up to 1.17 and both from 1.18 (`docs/cilium.md`);
    CiliumBGPPeeringPolicy left with BGPv1 in 1.19.
    """
    graduated = (*_STABLE, *_ALPHA) if minor >= 18 else _ALPHA
    kinds = (
        _cilium(_STABLE, "CiliumNode", ("cn", "ciliumn")),
        _cilium(_STABLE, "CiliumEndpoint", ("cep", "ciliumep"), namespaced=True),
        _cilium(_STABLE, "CiliumNetworkPolicy", ("cnp", "ciliumnp"), _POLICY, namespaced=True),
        _cilium(_STABLE, "CiliumClusterwideNetworkPolicy", ("ccnp",), _POLICY),
        _cilium(graduated, "CiliumLoadBalancerIPPool", _POOL),
        _cilium(graduated, "CiliumBGPClusterConfig", ("cbgpcluster",), _BGP),
        _cilium(graduated, "CiliumBGPPeerConfig", ("cbgppeer",), _BGP),
        _cilium(graduated, "CiliumBGPAdvertisement", ("cbgpadvert",), _BGP),
        _cilium(graduated, "CiliumBGPNodeConfig", ("cbgpnode",), _BGP),
        _cilium(graduated, "CiliumBGPNodeConfigOverride", ("cbgpnodeoverride",), _BGP),
        _cilium(_ALPHA, "CiliumL2AnnouncementPolicy", ("l2announcement",)),
    )
    if minor >= 19:
        return kinds
    return (*kinds, _cilium(_ALPHA, "CiliumBGPPeeringPolicy", ("bgpp",), _BGP))


def resources(
    cilium_version: str, crds: Mapping[str, bool] = MappingProxyType({})
) -> tuple[Resource, ...]:
    """Everything a cluster with this Cilium serves; the version as in `1.19.1` or an image tag.

    `crds` names kinds that are served although this version does not bring them, or are not
    although it does. Raises ValueError when it is no version, or no such kind.
    """
    found = re.match(r"v?1\.(\d+)", cilium_version)
    if found is None:
        raise ValueError(f"{cilium_version!r} is not a Cilium version such as 1.19.1")
    kinds = {each.kind: each for each in cilium_resources(int(found[1]))}
    earlier = {each.kind: each for each in cilium_resources(_OLDEST)}
    for kind, served in crds.items():
        if kind not in kinds | earlier:
            raise ValueError(f"crds: {kind!r} is no kind of Cilium's")
        found_kind = kinds.pop(kind, earlier[kind])
        if served:
            kinds[kind] = found_kind
    return (*STANDARD, *kinds.values())


def _cilium(
    versions: tuple[str, ...],
    kind: str,
    short: tuple[str, ...],
    categories: tuple[str, ...] = _CILIUM,
    namespaced: bool = False,
) -> Resource:
    singular = kind.lower()
    plural = f"{singular[:-1]}ies" if singular.endswith("y") else f"{singular}s"
    return Resource("cilium.io", versions, plural, kind, namespaced, short, categories)


RESOURCES = resources("1.21.0")
"""What a cluster with the newest known Cilium serves."""
