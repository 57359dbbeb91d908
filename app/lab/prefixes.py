"""Which prefixes a node's BGP speaker offers to which peer, and how BGP carries them.

The selection chain of `pkg/bgp/manager/reconciler/service.go`: advertisement, service selector,
address kinds, traffic policy, aggregation (`docs/cilium.md`, Selectors and Routes). Parts that are
the same on every node are worked out once per change and shared, so that a hundred nodes with
thousands of services stay cheap.

NLRI, path attributes and capabilities are given as on the wire, for the CLI to give in base64: RFC
4271 §4.3 (attributes, prefixes), 1997 (communities), 8092 (large communities), 4760
(MP_REACH_NLRI), 5492 (capabilities), 4724 (graceful restart), 6793 (four-octet AS numbers), 8950
(extended next hop encoding), draft-walton-bgp-hostname-capability (73).
"""

from __future__ import annotations

import ipaddress
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.lab.fields import (
    AnyAddress,
    annotation,
    data,
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
from app.lab.kinds import ADVERTISEMENTS, CILIUM_NODES, ENDPOINT_SLICES, SERVICES
from app.lab.plane import Plane
from app.lab.store import JsonObject, ObjectKey

AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_TRANSITIVE = 0x40
_OPTIONAL = 0x80
_EXTENDED = 0x10

WELL_KNOWN_COMMUNITIES = data("command", "communities", dict[str, int])
"""The names that `communities.wellKnown` takes (IANA, BGP Well-known Communities)."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a route carries, as an advertisement asks for it."""

    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    local_preference: int | None = None

    def joined(self, other: Attributes) -> Attributes:
        """Both: several advertisements may select one prefix."""
        preferences = [p for p in (self.local_preference, other.local_preference) if p is not None]
        return Attributes(
            tuple(sorted({*self.communities, *other.communities})),
            tuple(sorted({*self.large_communities, *other.large_communities})),
            max(preferences, default=None),
        )


def community(text: str) -> int:
    """A standard community from `64512:100` or a number. Raises ValueError."""
    high, colon, low = text.partition(":")
    return (int(high) << 16) + int(low) if colon else int(high)


def large_community(text: str) -> tuple[int, int, int]:
    """A large community from `64512:100:50`. Raises ValueError."""
    first, second, third = (int(part) for part in text.split(":"))
    return (first, second, third)


def nlri(prefix: AnyNetwork) -> bytes:
    """A prefix: its length in bits and as many bytes as that needs (RFC 4271 §4.3)."""
    octets = (prefix.prefixlen + 7) // 8
    return bytes([prefix.prefixlen]) + prefix.network_address.packed[:octets]


def attribute(flags: int, code: int, value: bytes) -> bytes:
    """One path attribute; the length takes two bytes when the value is longer than 255."""
    if len(value) > 255:
        return bytes([flags | _EXTENDED, code]) + len(value).to_bytes(2, "big") + value
    return bytes([flags, code, len(value)]) + value


def path_attributes(
    prefix: AnyNetwork,
    next_hop: AnyAddress | None,
    as_path: Sequence[int] | None,
    attributes: Attributes,
    *,
    legacy_origin: bool = False,
) -> list[bytes]:
    """The attributes of a route in ascending order of their type.

    `next_hop` None is "self" (0.0.0.0 or ::), as in the local RIB. `as_path` None leaves the
    attribute out, () is the empty path of a route sent to an internal peer.
    """
    listed = [attribute(_TRANSITIVE, 1, b"\x02" if legacy_origin else b"\x00")]
    if as_path is not None:
        hops = b"".join(asn.to_bytes(4, "big") for asn in as_path)
        listed.append(attribute(_TRANSITIVE, 2, bytes([2, len(as_path)]) + hops if hops else b""))
    plain = prefix.version == 4 and (next_hop is None or next_hop.version == 4)
    if plain:
        listed.append(attribute(_TRANSITIVE, 3, next_hop.packed if next_hop else bytes(4)))
    if attributes.local_preference is not None:
        value = attributes.local_preference.to_bytes(4, "big")
        listed.append(attribute(_TRANSITIVE, 5, value))
    if attributes.communities:
        value = b"".join(c.to_bytes(4, "big") for c in attributes.communities)
        listed.append(attribute(_OPTIONAL | _TRANSITIVE, 8, value))
    if not plain:
        listed.append(attribute(_OPTIONAL, 14, _mp_reach(prefix, next_hop)))
    if attributes.large_communities:
        value = b"".join(n.to_bytes(4, "big") for c in attributes.large_communities for n in c)
        listed.append(attribute(_OPTIONAL | _TRANSITIVE, 32, value))
    return listed


def _mp_reach(prefix: AnyNetwork, next_hop: AnyAddress | None) -> bytes:
    """RFC 4760 §3; an IPv4 next hop is written IPv4-mapped (::ffff:a.b.c.d)."""
    hop = bytes(16)
    if next_hop is not None:
        mapped = bytes(10) + b"\xff\xff" if next_hop.version == 4 else b""
        hop = mapped + next_hop.packed
    afi = 1 if prefix.version == 4 else 2
    return afi.to_bytes(2, "big") + bytes([1, len(hop)]) + hop + b"\x00" + nlri(prefix)


AFIS = {"ipv4": 1, "ipv6": 2}


def capabilities(
    hostname: str,
    asn: int,
    afis: Iterable[str],
    restart_seconds: int | None,
    *,
    cilium: bool,
    restarting: bool = False,
) -> list[bytes]:
    """What a speaker offers in its OPEN: route refresh, FQDN, families, four-octet AS number,
    graceful restart, extended next hop; Cilium also extended messages (RFC 8654) and, with
    graceful restart, notifications (RFC 8538). `restarting` sets the restart and forwarding bits
    that a speaker sends before its first session."""
    numbers = [AFIS[afi] for afi in afis]
    name = hostname.encode()[:64]
    offered = [_capability(2, b""), _capability(73, bytes([len(name)]) + name + b"\x00")]
    if cilium:
        offered.append(_capability(6, b""))
    offered += [_capability(1, bytes([0, afi, 0, 1])) for afi in numbers]
    offered.append(_capability(65, asn.to_bytes(4, "big")))
    if restart_seconds is not None:
        flags = (0x4000 if cilium else 0) | (0x8000 if restarting else 0)
        time = (restart_seconds & 0x0FFF) | flags
        kept = 0x80 if restarting else 0
        families = b"".join(bytes([0, afi, 1, kept]) for afi in numbers)
        offered.append(_capability(64, time.to_bytes(2, "big") + families))
    if 1 in numbers:
        offered.append(_capability(5, bytes([0, 1, 0, 1, 0, 2])))
    return offered


def _capability(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


def base64(octets: bytes) -> str:
    """Octets as the CLI prints them."""
    return b64encode(octets).decode()


def read(encoded: str) -> tuple[str, str]:
    """An attribute that was written here, as the CLI's table shows it: its name and value."""
    octets = b64decode(encoded)
    flags, code = octets[0], octets[1]
    value = octets[4:] if flags & _EXTENDED else octets[3:]
    match code:
        case 1:
            return ("Origin", "i" if value == b"\x00" else "?")
        case 2:
            numbers = [
                str(int.from_bytes(value[i : i + 4], "big")) for i in range(2, len(value), 4)
            ]
            return ("AsPath", " ".join(numbers))
        case 3:
            return ("Nexthop", str(ipaddress.IPv4Address(value)))
        case 5:
            return ("LocalPref", str(int.from_bytes(value, "big")))
        case 8:
            pairs = [value[i : i + 4] for i in range(0, len(value), 4)]
            shown = [
                f"{int.from_bytes(p[:2], 'big')}:{int.from_bytes(p[2:], 'big')}" for p in pairs
            ]
            return ("Communities", ", ".join(shown))
        case 14:
            hop = ipaddress.IPv6Address(value[4:20])
            return ("Nexthop", f"::ffff:{hop.ipv4_mapped}" if hop.ipv4_mapped else str(hop))
        case _:
            return ("Unknown", value.hex())


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
