"""The kinds of objects that the parts of the simulated control plane read and write."""

from __future__ import annotations

from app.lab.store import ResourceKey

NODES: ResourceKey = ("", "nodes")
NAMESPACES: ResourceKey = ("", "namespaces")
PODS: ResourceKey = ("", "pods")
SERVICES: ResourceKey = ("", "services")
SECRETS: ResourceKey = ("", "secrets")
EVENTS: ResourceKey = ("", "events")
CONFIG_MAPS: ResourceKey = ("", "configmaps")
ENDPOINT_SLICES: ResourceKey = ("discovery.k8s.io", "endpointslices")
LEASES: ResourceKey = ("coordination.k8s.io", "leases")
DAEMON_SETS: ResourceKey = ("apps", "daemonsets")
DEPLOYMENTS: ResourceKey = ("apps", "deployments")
CILIUM_NODES: ResourceKey = ("cilium.io", "ciliumnodes")
CILIUM_ENDPOINTS: ResourceKey = ("cilium.io", "ciliumendpoints")
CILIUM_POLICIES: ResourceKey = ("cilium.io", "ciliumnetworkpolicies")
CLUSTERWIDE_POLICIES: ResourceKey = ("cilium.io", "ciliumclusterwidenetworkpolicies")
POOLS: ResourceKey = ("cilium.io", "ciliumloadbalancerippools")
CLUSTER_CONFIGS: ResourceKey = ("cilium.io", "ciliumbgpclusterconfigs")
PEER_CONFIGS: ResourceKey = ("cilium.io", "ciliumbgppeerconfigs")
ADVERTISEMENTS: ResourceKey = ("cilium.io", "ciliumbgpadvertisements")
NODE_CONFIGS: ResourceKey = ("cilium.io", "ciliumbgpnodeconfigs")
OVERRIDES: ResourceKey = ("cilium.io", "ciliumbgpnodeconfigoverrides")
PEERING_POLICIES: ResourceKey = ("cilium.io", "ciliumbgppeeringpolicies")
