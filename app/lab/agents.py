"""The Cilium agents: their BGP configuration and sessions, their status, and what an exec gives.

After `pkg/bgp` of Cilium (`pkg/bgpv1` up to 1.18). A node runs BGPv1 (the virtual routers of a
CiliumBGPPeeringPolicy, up to 1.18) or the instances of its CiliumBGPNodeConfig, with its
CiliumBGPPeerConfigs (`manager/reconciler/neighbor.go`). The reported status (`crd_status.go`)
follows the truth by up to five seconds and is only written when a session or the configuration
changes: counters in it age, as in the recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from app.lab.fields import (
    AnyAddress,
    integer,
    ip_address,
    labels_of,
    mapping,
    objects,
    present,
    seconds,
    selects,
    text,
    truth,
)
from app.lab.kinds import CILIUM_NODES, NODE_CONFIGS, NODES, PEER_CONFIGS, PEERING_POLICIES, SECRETS
from app.lab.plane import NAMESPACE, Condition, Plane
from app.lab.prefixes import NOTHING, Offer, Prefixes
from app.lab.sessions import AFI_NAMES, PeerSettings, Router, Session
from app.lab.store import JsonObject, stamp
from app.lab.workloads import Workloads


@dataclass(frozen=True, slots=True)
class Desired:
    """What the objects ask of a node."""

    instances: dict[str, tuple[int, JsonObject]]
    """AS number and specification by name."""
    legacy: bool
    """Whether a CiliumBGPPeeringPolicy asks for it."""


def desired(plane: Plane, node: str) -> Desired | None:
    """What to run on a node; None when two policies select it: what runs is left alone."""
    labels = labels_of(plane.get(CILIUM_NODES, node) or {})
    policies = [
        policy
        for policy in (plane.all(PEERING_POLICIES) if plane.version < (1, 19) else [])
        if selects(mapping(policy, "spec", "nodeSelector"), labels)
    ]
    if len(policies) > 1:
        return None
    if policies:
        routers = objects(policies[0], "spec", "virtualRouters")
        numbered = [(integer(each, "localASN"), each) for each in routers]
        return Desired({str(asn): (asn, each) for asn, each in numbered}, legacy=True)
    listed = objects(plane.get(NODE_CONFIGS, node), "spec", "bgpInstances")
    instances = {text(each, "name"): (integer(each, "localASN"), each) for each in listed}
    return Desired(instances, legacy=False)


class MissingPasswordKey(Exception):
    """An auth secret without the key `password`: no peer of the instance is configured."""


def peers_of(
    plane: Plane, asn: int, spec: JsonObject, legacy: bool, warn: Callable[[str], None]
) -> Iterator[PeerSettings]:
    """The peers of a BGPv2 instance, or of a BGPv1 virtual router (`legacy`).

    A peer whose configuration does not exist is left out, as by Cilium. BGPv1 calls `warn` for a
    missing Secret. Raises MissingPasswordKey.
    """
    for peer in objects(spec, "neighbors" if legacy else "peers"):
        config, address = peer, text(peer, "peerAddress").partition("/")[0]
        if not legacy:
            stored = plane.get(PEER_CONFIGS, text(peer, "peerConfigRef", "name"))
            if stored is None or not address:
                continue
            config = mapping(stored, "spec")
        timers = config if legacy else mapping(config, "timers")
        families = tuple(text(family, "afi") for family in objects(config, "families"))
        restart = integer(config, "gracefulRestart", "restartTimeSeconds", default=120)
        yield PeerSettings(
            name=address if legacy else text(peer, "name"),
            address=address,
            asn=integer(peer, "peerASN"),
            local_asn=asn,
            port=integer(config, *([] if legacy else ["transport"]), "peerPort", default=179),
            hold=integer(timers, "holdTimeSeconds", default=90),
            keepalive=integer(timers, "keepAliveTimeSeconds", default=30),
            retry=integer(timers, "connectRetryTimeSeconds", default=120),
            multihop=integer(config, "eBGPMultihopTTL" if legacy else "ebgpMultihop", default=1),
            families=families or (("ipv4", "ipv6") if legacy else ("ipv6", "ipv4")),
            password=_password(plane, text(config, "authSecretRef"), warn if legacy else None),
            restart=restart if truth(config, "gracefulRestart", "enabled") else None,
        )


def _password(plane: Plane, secret: str, warn: Callable[[str], None] | None) -> str:
    """A missing Secret is no password; one without the key stops the instance."""
    namespace = text(plane.configuration(), "bgp-secrets-namespace")
    stored = plane.get(SECRETS, secret, namespace) if secret else None
    if stored is None:
        if secret and warn is not None:
            later = "not found (will continue with empty password)"
            warn(f'Failed to fetch secret "{secret}": {later}')
        return ""
    data = {**mapping(stored, "data"), **mapping(stored, "stringData")}
    password = data.get("password")
    if not isinstance(password, str) or not password:
        raise MissingPasswordKey(f'failed to fetch secret "{secret}": missing password key')
    return password


@dataclass(slots=True, eq=False)
class Instance:
    """One BGP speaker on a node: a BGPv2 instance or a BGPv1 virtual router."""

    name: str
    asn: int
    spec: JsonObject
    registered: datetime
    sessions: dict[str, Session] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    """When a prefix that not every node offers entered the local RIB."""
    revisions: tuple[int, ...] = ()
    """Of the shared offers, as of the last look."""


Counts = Callable[[Instance, Session, str], tuple[int, int]]
"""Routes received and advertised in a family."""


def write_status(
    plane: Plane, node: str, instances: Iterable[Instance], counts: Counts, error: str
) -> None:
    """Write the sessions, and the reconciliation error if there is or was one."""
    config = plane.get(NODE_CONFIGS, node)
    if config is None or not plane.enabled("enable-bgp-control-plane-status-report", "true"):
        return
    listed: list[object] = [_instance_status(instance, counts) for instance in instances]
    status: JsonObject = {"bgpInstances": listed} if listed else {}
    known = mapping(config, "status")
    if "conditions" in known:
        status["conditions"] = known["conditions"]
    if status != known:
        plane.set_status(NODE_CONFIGS, config, status)
    if plane.version >= (1, 18) and (error or "conditions" in known):
        reason = "ReconcileFailed" if error else "ReconcileSucceeded"
        if plane.version < (1, 20):
            reason = "BGPReconcileError"
        truth_value = "True" if error else "False"
        condition = Condition("cilium.io/BGPReconcileError", truth_value, error, reason)
        plane.set_conditions(NODE_CONFIGS, config, [condition])


def _instance_status(instance: Instance, counts: Counts) -> JsonObject:
    peers = [_peer_status(instance, peer, counts) for peer in objects(instance.spec, "peers")]
    return {"localASN": instance.asn, "name": instance.name, "peers": peers}


def _peer_status(instance: Instance, peer: JsonObject, counts: Counts) -> JsonObject:
    status: JsonObject = {
        key: peer[key] for key in ("name", "peerASN", "peerAddress") if key in peer
    }
    session = instance.sessions.get(text(peer, "name"))
    if session is None:
        return status
    if session.established is not None:
        status = {"establishedTime": stamp(session.established), **status}
    status["peeringState"] = session.state
    counted = [(afi, counts(instance, session, afi)) for afi in session.settings.families]
    status["routeCount"] = [
        {"advertised": advertised, "afi": afi, "received": received, "safi": "unicast"}
        for afi, (received, advertised) in counted
    ]
    status["timers"] = {
        "appliedHoldTimeSeconds": session.applied_hold,
        "appliedKeepaliveSeconds": session.applied_keepalive,
    }
    return status


_STATUS_PERIOD = 5.0
"""Seconds between two chances to write a status (crd_status.go of Cilium)."""

_TWO_POLICIES = (
    "more then one CiliumBGPPeeringPolicy applies to this node, "
    "please ensure only a single Policy matches this node's labels"
)


EXEC_SECONDS = 0.2
"""How long a run takes when every agent answers."""

_NO_CONTAINER = 'unable to upgrade connection: container not found ("cilium-agent")'

_EXEC_PATHS = frozenset({f"/api/v1/namespaces/{NAMESPACE}/pods/exec", "/api/v1/pods/exec"})
_FORBIDDEN = (
    'unable to upgrade connection: pods "{pod}" is forbidden: User "lab" cannot create resource '
    '"pods/exec" in API group "" in the namespace "{space}"'
)


class Agent:
    """One node's agent."""

    def __init__(
        self, plane: Plane, prefixes: Prefixes, routers: dict[str, Router], node: str, pod: str
    ) -> None:
        self.node = node
        self.pod = pod
        self.instances: dict[str, Instance] = {}
        self.running = False
        self.bgp = False
        self.legacy = False
        """Whether a CiliumBGPPeeringPolicy rules this node."""
        self.error = ""
        """The last reconciliation error."""
        self.silent = False
        """Whether it fails to write its status."""
        self.kept: dict[tuple[str, str, str], Offer] = {}
        """What it goes on offering by instance, family and peer, though it should not."""
        self.failing_since: datetime | None = None
        """Since when one of its controllers fails."""
        self._plane = plane
        self._prefixes = prefixes
        self._routers = routers
        self._phase = plane.random.uniform(0.0, _STATUS_PERIOD)
        self._report_due: datetime | None = None
        self._complaints: list[datetime] = []
        self._halted = False
        """Whether it touches nothing that runs, for it does not know which policy to follow."""

    # Life

    def start(self) -> None:
        """The process starts with the configuration of this moment."""
        self.running = True
        self.instances.clear()
        self.bgp = self._plane.enabled("enable-bgp-control-plane")
        if self.bgp:
            message = "Cilium BGP Control Plane Controller now running..."
            self._log("info", message, component="Controller.Run")
            self.reconcile()

    def stop(self) -> None:
        """The process is gone: its sessions end, its status stays as last written."""
        self.running = False
        self.instances.clear()
        self._report_due = None
        self._complaints.clear()
        self._halted, self.kept = False, {}

    @property
    def sessions(self) -> Iterator[Session]:
        """All sessions of the node."""
        for instance in self.instances.values():
            yield from instance.sessions.values()

    @property
    def due(self) -> datetime | None:
        """When this agent does something next by itself."""
        dues = [session.due for session in self.sessions if session.due is not None]
        dues += self._complaints[:1]
        if self._report_due is not None:
            dues.append(self._report_due)
        return min(dues, default=None) if self.running else None

    @property
    def now(self) -> datetime:
        """The moment that is simulated."""
        return self._plane.time

    def step(self) -> None:
        """Do what is due now."""
        now = self._plane.time
        for session in list(self.sessions):
            if session.due is not None and session.due <= now:
                self._remember_counts(session)
                if session.step():
                    self._report_soon()
        if self._complaints and self._complaints[0] <= now:
            self._complain()
        if self._report_due is not None and self._report_due <= now:
            self._report_due = None
            if not self.legacy and not self.silent:
                instances = self.instances.values()
                write_status(self._plane, self.node, instances, self.counts, self.error)

    def routers_changed(self) -> None:
        """A router behaves differently from now on."""
        for session in list(self.sessions):
            session.router = self._routers.get(session.settings.address)
            self._remember_counts(session)
            if session.router_changed():
                self._report_soon()

    def flap(self) -> None:
        """Every session of the node loses its connection once."""
        for session in list(self.sessions):
            if session.state == "established":
                self._remember_counts(session)
                session.lose()
                self._report_soon()

    # Configuration

    def reconcile(self) -> None:
        """Bring instances and peers in line with the objects."""
        if not self.running or not self.bgp:
            return
        asked = desired(self._plane, self.node)
        if asked is None:
            if not self._halted:
                self._halted, self.kept = True, self.offers()
            if not self._complaints:
                waits = (0.0, 0.6, 1.9, 4.0, 8.0)
                self._complaints = [self._plane.time + seconds(wait) for wait in waits]
            return
        if self._halted:
            self._halted, self.kept = False, {}
        self._complaints.clear()
        self.legacy = asked.legacy
        wanted = asked.instances
        for name, instance in list(self.instances.items()):
            if name not in wanted or wanted[name][0] != instance.asn:
                self._remove_instance(self.instances.pop(name))
        error = ""
        for name, (asn, spec) in wanted.items():
            error = self._reconcile_instance(name, asn, spec) or error
        if error != self.error:
            self.error = error
            self._report_soon()
        self._track_prefixes()

    def _reconcile_instance(self, name: str, asn: int, spec: JsonObject) -> str:
        peers: dict[str, PeerSettings] = {}
        failed = ""
        warn = partial(self._log, "error")
        try:
            listed = peers_of(self._plane, asn, spec, self.legacy, warn)
            peers = {peer.name: peer for peer in listed}
        except MissingPasswordKey as error:
            failed = str(error)
        instance = self.instances.get(name)
        if instance is None:
            instance = self._register(name, asn, spec)
            self._reconcile_peers(instance, peers)
            self._registered(instance)
        else:
            instance.spec = spec
            self._reconcile_peers(instance, peers)
        if not failed:
            return ""
        self._log_failure(failed)
        return f"{name}: {failed}"

    def _register(self, name: str, asn: int, spec: JsonObject) -> Instance:
        instance = Instance(name, asn, spec, self._plane.time)
        self.instances[name] = instance
        if self.legacy:
            message = f"Registering BGP servers for policy with local ASN {asn}"
            self._log("info", message, component="manager.registerBGPServer")
        else:
            self._log("info", "Registering BGP instance", instance=name)
        return instance

    def _registered(self, instance: Instance) -> None:
        self._report_soon()
        if self.legacy:
            message = "Successfully registered GoBGP servers for policy with local ASN"
            self._log("info", f"{message} {instance.asn}", component="manager.registerBGPServer")
            return
        extra: dict[str, object] = {"instance": instance.name}
        if self._plane.version >= (1, 18):
            port = integer(instance.spec, "localPort", default=-1)
            identifier = text(instance.spec, "routerID") or self.address(4) or ""
            extra |= {"asn": instance.asn, "listen_port": port, "router_id": identifier}
        self._log("info", "Successfully registered BGP instance", **extra)

    def _remove_instance(self, instance: Instance) -> None:
        for session in instance.sessions.values():
            self._end(session)
        if self.legacy and self._plane.version < (1, 19):
            message = f"Removed BGP server with local ASN {instance.asn}"
            self._log("info", message, component="manager.remove")
        else:
            self._log("info", "Removed BGP instance", instance=instance.name)
        self._report_soon()

    def _reconcile_peers(self, instance: Instance, peers: dict[str, PeerSettings]) -> None:
        if {name: each.settings for name, each in instance.sessions.items()} == peers:
            return
        if not self.legacy:
            self._log_neighbors(instance, "Reconciling peers for instance")
        for name in [n for n in instance.sessions if n not in peers]:
            self._log_peer(instance, "Removing peer", instance.sessions[name].settings)
            self._end(instance.sessions.pop(name))
        for name, settings in peers.items():
            session = instance.sessions.get(name)
            if session is not None and session.settings == settings:
                continue
            fresh = session is None or session.settings.resets(settings)
            if session is not None:
                action = "Removing peer" if fresh else "Updating peer"
                self._log_peer(instance, action, settings)
                self._end(session)
            if fresh:
                self._log_peer(instance, "Adding peer", settings)
            self._add(instance, settings)
        self._report_soon()

    def _add(self, instance: Instance, settings: PeerSettings) -> None:
        router = self._routers.get(settings.address)
        session = Session(self._plane, self.pod, self.node, instance.name, settings, router)
        instance.sessions[settings.name] = session
        self._log_speaker(session, "Add a peer configuration")
        session.start()

    def _end(self, session: Session) -> None:
        self._log_speaker(session, "Delete a peer configuration")
        session.reset()

    # What it offers

    def offer(self, instance: Instance, afi: str, peer: str) -> Offer:
        """The prefixes of a family that a peer is offered."""
        session = instance.sessions.get(peer)
        if session is None or afi not in session.settings.families:
            return NOTHING
        if (kept := self.kept.get((instance.name, afi, peer))) is not None:
            return kept
        version = 6 if afi == "ipv6" else 4
        if self.legacy:
            return self._prefixes.of_virtual_router(self.node, instance.spec, version)
        selector = self._advertisements(instance, peer, afi)
        return self._prefixes.of_family(self.node, selector, version)

    def offers(self) -> dict[tuple[str, str, str], Offer]:
        """What it offers at the moment, by instance, family and peer."""
        return {
            (instance.name, afi, peer): self.offer(instance, afi, peer)
            for instance in self.instances.values()
            for peer in instance.sessions
            for afi in AFI_NAMES
        }

    def local_routes(self, instance: Instance, afi: str) -> Iterator[tuple[str, datetime]]:
        """The local RIB of a family: what any peer is offered, and since when."""
        seen: set[str] = set()
        for peer in instance.sessions:
            offer = self.offer(instance, afi, peer)
            for prefix in offer:
                if prefix not in seen:
                    seen.add(prefix)
                    yield prefix, self.since(instance, offer, prefix)

    def since(self, instance: Instance, offer: Offer, prefix: str) -> datetime:
        """When a prefix of an offer entered the local RIB."""
        known = instance.since.get(prefix) or offer.selected.since.get(prefix, instance.registered)
        return max(known, instance.registered)

    def _advertisements(self, instance: Instance, peer: str, afi: str) -> JsonObject | None:
        peers = objects(instance.spec, "peers")
        reference = next((each for each in peers if text(each, "name") == peer), None)
        config = self._plane.get(PEER_CONFIGS, text(reference, "peerConfigRef", "name"))
        for family in objects(config, "spec", "families"):
            if text(family, "afi") == afi and present(family, "advertisements"):
                return mapping(family, "advertisements")
        return None

    def counts(self, instance: Instance, session: Session, afi: str) -> tuple[int, int]:
        """Routes received from and advertised to a peer in a family, as the agent counts them."""
        early = self._plane.version < (1, 18)
        if session.state != "established":
            return session.last_counts.get(afi, (0, 0)) if early else (0, 0)
        router = session.router
        if router is None or afi not in router.families:
            return (0, 0)
        advertised = len(self.offer(instance, afi, session.settings.name))
        # 1.17 counts the End-of-RIB marker of graceful restart (`docs/cilium.md`, Routes).
        marker = early and session.settings.restart is not None
        return (router.routes.get(afi, 0), advertised + marker)

    def _remember_counts(self, session: Session) -> None:
        for instance in self.instances.values():
            if session.settings.name in instance.sessions and session.state == "established":
                session.last_counts = {
                    afi: self.counts(instance, session, afi) for afi in session.settings.families
                }

    def _track_prefixes(self) -> None:
        """Remember when own prefixes appeared; GoBGP logs that it sends its routes again."""
        now = self._plane.time
        for instance in self.instances.values():
            offers = [
                self.offer(instance, afi, peer) for peer in instance.sessions for afi in AFI_NAMES
            ]
            own = {prefix for offer in offers for prefix in offer.own}
            shared = tuple(offer.selected.revision for offer in offers)
            if own == set(instance.since) and shared == instance.revisions:
                continue
            instance.revisions = shared
            instance.since = {prefix: instance.since.get(prefix, now) for prefix in own}
            for session in instance.sessions.values():
                self._log_speaker(session, "Neighbor soft reset out", "Operation")

    def address(self, version: int) -> AnyAddress | None:
        """The node's own address of a family: the next hop of what it announces."""
        for entry in objects(self._plane.get(NODES, self.node), "status", "addresses"):
            address = ip_address(text(entry, "address"))
            internal = text(entry, "type") == "InternalIP"
            if internal and address is not None and address.version == version:
                return address
        return None

    # What it reports

    def _report_soon(self) -> None:
        """Write the status at the agent's next chance."""
        if self._report_due is not None:
            return
        now = self._plane.time
        passed = (now.timestamp() - self._phase) % _STATUS_PERIOD
        self._report_due = now + seconds(_STATUS_PERIOD - passed)

    # What it writes

    def _complain(self) -> None:
        self._complaints.pop(0)
        self._log("error", "bgp peering policy selection failed", error=_TWO_POLICIES)
        if not self._complaints:
            self._log_failure(_TWO_POLICIES)

    def _log_failure(self, error: str) -> None:
        message = "Reconciliation with retries failed"
        self._log("error", message, component="Controller.Run", error=error)

    def _log_peer(self, instance: Instance, action: str, settings: PeerSettings) -> None:
        if self.legacy:
            direction = {"Adding": "to", "Removing": "from"}.get(action.split()[0], "in")
            peer = f"{settings.address}/32 {settings.asn}"
            message = f"{action} {peer} {direction} local ASN {instance.asn}"
            self._log("info", message, component="NeighborReconciler")
        else:
            self._log_neighbors(instance, action, peer=settings.name)

    def _log_neighbors(self, instance: Instance, message: str, **fields: object) -> None:
        self._log("info", message, reconciler="Neighbor", instance=instance.name, **fields)

    def _log_speaker(self, session: Session, message: str, topic: str = "Peer") -> None:
        key, asn = session.settings.address, session.settings.local_asn
        self._plane.speaker_log(
            self.pod, "info", message, session.instance, asn, Topic=topic, Key=key
        )

    def _log(self, level: str, message: str, **fields: object) -> None:
        self._plane.agent_log(self.pod, level, message, **fields)


class Site(Protocol):
    """The part of a cluster that the command talks to."""

    plane: Plane
    agents: dict[str, Agent]
    dark: set[str]
    exec_errors: dict[str, tuple[str, float]]
    forbidden: frozenset[str]
    workloads: Workloads
    cli: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExecFailure:
    """An exec into an agent's pod that failed, after so many seconds."""

    pod: str
    error: str
    seconds: float

    def __str__(self) -> str:
        place = f"pod={NAMESPACE}/{self.pod}, container=cilium-agent"
        return f"command failed ({place}): {self.error}"

    def within(self, limit: float) -> ExecFailure:
        """The failure as a caller sees it who waits no longer than `limit` seconds."""
        if self.seconds <= limit:
            return self
        return ExecFailure(self.pod, "context deadline exceeded", limit)


def exec_failure(site: Site, agent: Agent) -> ExecFailure | None:
    """Why an exec into the agent's container fails; None when it works."""
    if site.forbidden & _EXEC_PATHS:
        error = _FORBIDDEN.format(pod=agent.pod, space=NAMESPACE)
        return ExecFailure(agent.pod, error, EXEC_SECONDS)
    if agent.node in site.dark:
        dial = f"dial tcp {agent.address(4)}:10250: connect: no route to host"
        error = f"Internal error occurred: error dialing backend: {dial}"
        return ExecFailure(agent.pod, error, 3.0)
    if not agent.running:
        return ExecFailure(agent.pod, _NO_CONTAINER, EXEC_SECONDS)
    if agent.node in site.exec_errors:
        return ExecFailure(agent.pod, *site.exec_errors[agent.node])
    return None
