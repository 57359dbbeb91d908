"""The Cilium agents: per node, BGP instances with their sessions, and what an exec into one gives.

After `pkg/bgp` of Cilium (`pkg/bgpv1` up to 1.18). A node runs BGPv1 (a CiliumBGPPeeringPolicy, up
to 1.18) or the instances of its CiliumBGPNodeConfig. The reported status follows the truth by up to
five seconds and is only written when a session or the configuration changes: counters in it age, as
in the recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from app.lab.fields import AnyAddress, integer, ip_address, mapping, objects, present, seconds, text
from app.lab.node_config import Instance, MissingPasswordKey, desired, peers_of, write_status
from app.lab.plane import NAMESPACE, NODES, PEER_CONFIGS, Plane
from app.lab.prefixes import NOTHING, Offer, Prefixes
from app.lab.sessions import AFI_NAMES, PeerSettings, Router, Session
from app.lab.store import JsonObject
from app.lab.workloads import Workloads

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
