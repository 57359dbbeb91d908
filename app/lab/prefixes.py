"""Which prefixes a node's BGP speaker offers to which peer, worked out from the objects.

The selection chain of `pkg/bgp/manager/reconciler/service.go`: advertisement, service selector,
address kinds, traffic policy, aggregation (`docs/cilium.md`, Selectors and Routes). Parts that are
the same on every node are worked out once per change and shared, so that a hundred nodes with
thousands of services stay cheap.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from app.lab.fields import (
    AnyAddress,
    annotation,
    integer,
    ip_address,
    key_of,
    labels_of,
    mapping,
    objects,
    present,
    selects,
    service_labels,
    text,
    texts,
    truth,
)
from app.lab.plane import ADVERTISEMENTS, CILIUM_NODES, ENDPOINT_SLICES, SERVICES, Plane
from app.lab.store import JsonObject, ObjectKey
from app.lab.wire import (
    WELL_KNOWN_COMMUNITIES,
    AnyNetwork,
    Attributes,
    community,
    large_community,
)

Routes = dict[str, Attributes]
"""Prefixes, as text, with what they carry."""


_ADDRESS_KINDS = ("LoadBalancerIP", "ClusterIP", "ExternalIP")
_BGP_CLASS = "io.cilium/bgp-control-plane"


@dataclass(frozen=True, slots=True)
class Selected:
    """What a set of advertisement entries selects in one family, whatever the node."""

    shared: Routes = field(default_factory=dict)
    """What every node offers."""
    local: tuple[tuple[ServiceOffer, Attributes], ...] = ()
    """Services that only some nodes may offer."""
    since: dict[str, datetime] = field(default_factory=dict)
    """When each shared prefix was first offered."""
    pod_cidrs: tuple[Attributes, ...] = ()
    """One for each entry that offers the node's pod networks."""
    revision: int = 0
    """Differs when the shared part does."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one node offers: the shared part of what is selected, and its own."""

    selected: Selected
    own: Routes

    def __len__(self) -> int:
        shared = self.selected.shared
        return len(shared) + sum(prefix not in shared for prefix in self.own)

    def __iter__(self) -> Iterator[str]:
        shared = self.selected.shared
        yield from shared
        yield from (prefix for prefix in self.own if prefix not in shared)

    def items(self) -> Iterator[tuple[str, Attributes]]:
        """All prefixes with their attributes."""
        shared = self.selected.shared
        for prefix, attributes in shared.items():
            other = self.own.get(prefix)
            yield prefix, attributes if other is None else attributes.joined(other)
        for prefix, attributes in self.own.items():
            if prefix not in shared:
                yield prefix, attributes


NOTHING = Offer(Selected(), {})
"""An offer without prefixes."""


@dataclass(frozen=True, slots=True)
class ServiceOffer:
    """The prefixes of one service under one advertisement."""

    prefixes: tuple[AnyNetwork, ...]
    nodes: frozenset[str] | None
    """The only nodes that may offer them (traffic policy Local); None is all."""


@dataclass(frozen=True, slots=True)
class Selection:
    """One way of choosing services: an advertisement's, or a BGPv1 virtual router's."""

    selector: JsonObject | None
    """None selects nothing, {} everything."""
    kinds: tuple[str, ...]
    attributes: Attributes
    aggregation: tuple[int, int]
    """Prefix lengths for IPv4 and IPv6."""


@dataclass(slots=True)
class Prefixes:
    """The offers of every node, as of the store's present content."""

    plane: Plane
    _selected: dict[tuple[str, int], Selected] = field(default_factory=dict)
    _before: dict[tuple[str, int], Selected] = field(default_factory=dict)
    _endpoints: dict[ObjectKey, frozenset[str]] | None = None
    _config: JsonObject | None = None
    _steady: dict[str, dict[ObjectKey, tuple[JsonObject, tuple[ServiceOffer, ...]]]] = field(
        default_factory=dict
    )
    """By selection and service: the object that was looked at, and what came of it."""

    def forget(self) -> None:
        """Something that offers depend on changed."""
        self._before |= self._selected
        self._selected.clear()
        self._endpoints = None

    def of_family(self, node: str, advertisements: JsonObject | None, version: int) -> Offer:
        """What a peer with this advertisement selector (None: nothing) is offered by a node."""
        if advertisements is None:
            return NOTHING
        key = (repr(advertisements), version)
        selected = self._selected.get(key)
        if selected is None:
            entries = [
                entry
                for advertisement in self.plane.all(ADVERTISEMENTS)
                if selects(advertisements, labels_of(advertisement))
                for entry in objects(advertisement, "spec", "advertisements")
            ]
            selected = self._select(key, entries)
        return self._offer(node, selected, version)

    def of_virtual_router(self, node: str, router: JsonObject, version: int) -> Offer:
        """What a BGPv1 virtual router offers all its neighbors."""
        key = (f"v1 {router!r}", version)
        selected = self._selected.get(key)
        if selected is None:
            selected = self._select(key, _virtual_router_entries(router))
        return self._offer(node, selected, version)

    def _select(self, key: tuple[str, int], entries: list[JsonObject]) -> Selected:
        version = key[1]
        shared: Routes = {}
        local: list[tuple[ServiceOffer, Attributes]] = []
        for selection in filter(None, map(_selection, entries)):
            for offer in self._services(selection):
                if offer.nodes is None:
                    _add(shared, offer.prefixes, selection.attributes, version)
                else:
                    local.append((offer, selection.attributes))
        before = self._before.get(key, Selected())
        since = {prefix: before.since.get(prefix, self.plane.time) for prefix in shared}
        pod_cidrs = tuple(
            _attributes(entry) for entry in entries if text(entry, "advertisementType") == "PodCIDR"
        )
        revision = before.revision + (before.revision == 0 or before.shared != shared)
        selected = Selected(shared, tuple(local), since, pod_cidrs, revision)
        self._selected[key] = selected
        return selected

    def _offer(self, node: str, selected: Selected, version: int) -> Offer:
        """A node's own prefixes added to those which every node offers alike."""
        own: Routes = {}
        for offer, attributes in selected.local:
            if offer.nodes is not None and node in offer.nodes:
                _add(own, offer.prefixes, attributes, version)
        for attributes in selected.pod_cidrs:
            _add(own, self._pod_cidrs(node), attributes, version)
        return Offer(selected, own)

    def _pod_cidrs(self, node: str) -> list[AnyNetwork]:
        if text(self.plane.configuration(), "ipam") not in ("kubernetes", "cluster-pool"):
            return []
        cidrs = texts(self.plane.get(CILIUM_NODES, node), "spec", "ipam", "podCIDRs")
        return [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]

    def _services(self, selection: Selection) -> Iterator[ServiceOffer]:
        if selection.selector is None:
            return
        config = self.plane.configuration()
        if config is not self._config:
            self._config = config
            self._steady.clear()
        steady = self._steady.setdefault(repr(selection), {})
        for service in self.plane.all(SERVICES):
            key = key_of(service)
            known = steady.get(key)
            if known is not None and known[0] is service:
                yield from known[1]
                continue
            offers = tuple(self._offers(service, selection))
            if self._is_steady(offers, config):
                steady[key] = (service, offers)
            yield from offers

    def _is_steady(self, offers: tuple[ServiceOffer, ...], config: JsonObject) -> bool:
        """Whether the offers of a service depend on nothing but the service."""
        routable = config.get("enable-no-service-endpoints-routable", "true") != "false"
        return routable and all(offer.nodes is None for offer in offers)

    def _offers(self, service: JsonObject, selection: Selection) -> Iterator[ServiceOffer]:
        labels = service_labels(service)
        if selects(selection.selector or {}, labels) and self._offered(service):
            for kind in selection.kinds:
                yield self._service(service, kind, selection.aggregation)

    def _offered(self, service: JsonObject) -> bool:
        """Whether the class lets BGP have it, and (1.19+) the datapath has a frontend for it."""
        if text(service, "spec", "loadBalancerClass") not in ("", _BGP_CLASS):
            return False
        if self.plane.version < (1, 19):
            return True
        routable = self.plane.configuration().get("enable-no-service-endpoints-routable", "true")
        if routable == "false" and not self._local_nodes(service):
            return False
        exposed = annotation(service, "service.cilium.io/type") in ("", "LoadBalancer")
        return bool(objects(service, "spec", "ports")) and exposed

    def _service(
        self, service: JsonObject, kind: str, aggregation: tuple[int, int]
    ) -> ServiceOffer:
        policy = "internalTrafficPolicy" if kind == "ClusterIP" else "externalTrafficPolicy"
        local = text(service, "spec", policy) == "Local"
        lengths = (32, 128) if local else aggregation
        prefixes = tuple(
            ipaddress.ip_network(f"{a}/{lengths[a.version == 6]}", strict=False)
            for a in self._addresses(service, kind)
        )
        return ServiceOffer(prefixes, self._local_nodes(service) if local else None)

    def _addresses(self, service: JsonObject, kind: str) -> list[AnyAddress]:
        match kind:
            case "LoadBalancerIP":
                entries = objects(service, "status", "loadBalancer", "ingress")
                proxied = self.plane.version >= (1, 19)
                words = [
                    text(e, "ip") for e in entries if not (proxied and e.get("ipMode") == "Proxy")
                ]
            case "ClusterIP":
                words = texts(service, "spec", "clusterIPs")
            case _:
                words = texts(service, "spec", "externalIPs")
        return [address for word in words if (address := ip_address(word)) is not None]

    def _local_nodes(self, service: JsonObject) -> frozenset[str]:
        """Nodes with a backend that counts: a ready one; up to 1.18 any that is not terminating."""
        if self._endpoints is None:
            by_service: dict[ObjectKey, set[str]] = {}
            for slice_ in self.plane.all(ENDPOINT_SLICES):
                namespace, _ = key_of(slice_)
                name = text(slice_, "metadata", "labels", "kubernetes.io/service-name")
                by_service.setdefault((namespace, name), set()).update(self._backends(slice_))
            self._endpoints = {key: frozenset(nodes) for key, nodes in by_service.items()}
        return self._endpoints.get(key_of(service), frozenset())

    def _backends(self, slice_: JsonObject) -> Iterable[str]:
        for endpoint in objects(slice_, "endpoints"):
            conditions = mapping(endpoint, "conditions")
            if self.plane.version >= (1, 19):
                counts = conditions.get("ready", True) is not False
            else:
                counts = conditions.get("terminating") is not True
            if counts and text(endpoint, "nodeName"):
                yield text(endpoint, "nodeName")


def _selection(entry: JsonObject) -> Selection | None:
    if text(entry, "advertisementType") != "Service" or not present(entry, "service"):
        return None
    if not present(entry, "selector"):
        return None
    return Selection(
        selector=mapping(entry, "selector"),
        kinds=tuple(k for k in texts(entry, "service", "addresses") if k in _ADDRESS_KINDS),
        attributes=_attributes(entry),
        aggregation=(
            integer(entry, "service", "aggregationLengthIPv4", default=32),
            integer(entry, "service", "aggregationLengthIPv6", default=128),
        ),
    )


def check_advertisement(obj: JsonObject) -> None:
    """Raises ValueError when an advertisement's communities cannot be read, as its schema does."""
    if text(obj, "kind") == "CiliumBGPAdvertisement":
        for entry in objects(obj, "spec", "advertisements"):
            _attributes(entry)


def _attributes(entry: JsonObject) -> Attributes:
    wanted = mapping(entry, "attributes")
    communities = mapping(wanted, "communities")
    names = texts(communities, "wellKnown")
    standard = [community(word) for word in texts(communities, "standard")]
    standard += [WELL_KNOWN_COMMUNITIES[name] for name in names if name in WELL_KNOWN_COMMUNITIES]
    preference = wanted.get("localPreference")
    return Attributes(
        tuple(sorted(standard)),
        tuple(sorted(large_community(word) for word in texts(communities, "large"))),
        preference if isinstance(preference, int) else None,
    )


def _add(
    routes: Routes, prefixes: Iterable[AnyNetwork], attributes: Attributes, version: int
) -> None:
    for prefix in prefixes:
        if prefix.version == version:
            known = routes.get(str(prefix))
            routes[str(prefix)] = attributes if known is None else known.joined(attributes)


def _virtual_router_entries(router: JsonObject) -> list[JsonObject]:
    """A BGPv1 virtual router as the advertisement entries that mean the same."""
    kinds = texts(router, "serviceAdvertisements") or ["LoadBalancerIP"]
    services: JsonObject = {
        "advertisementType": "Service",
        "service": {"addresses": list[object](kinds)},
        "selector": router.get("serviceSelector"),
    }
    pods: list[JsonObject] = [{"advertisementType": "PodCIDR"}]
    return [services, *(pods if truth(router, "exportPodCIDR") else [])]
