"""A small simulated cluster whose time a test drives by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from app.lab.cilium import CiliumCommand
from app.lab.cilium_stub import Answer
from app.lab.fields import mapping, objects, text
from app.lab.kinds import NODE_CONFIGS, POOLS, SERVICES
from app.lab.scenario import Expectation, Node, RouterPlan, Scenario
from app.lab.store import JsonObject
from app.lab.world import World

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

NODES = tuple(
    Node(
        name=f"node-{n}",
        addresses=(f"192.0.2.{n}", f"2001:db8::{n}"),
        pod_cidrs=(f"10.0.{n}.0/24", f"2001:db8:1:{n}::/64"),
    )
    for n in (1, 2, 3)
)


@dataclass
class HandClock:
    """A clock that moves when it is told to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Lab:
    """A world and its clock."""

    world: World
    clock: HandClock
    command: CiliumCommand = field(init=False)

    def __post_init__(self) -> None:
        self.command = CiliumCommand(self.world)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += timedelta(seconds=seconds)
        self.world.advance(self.clock.now)

    def apply(self, *manifests: JsonObject) -> None:
        """Create or change objects as a user does, and let the operator react."""
        for manifest in manifests:
            self.world.create(manifest)
        self.world.advance(self.clock.now)

    def service(self, name: str) -> JsonObject:
        """A service of the namespace default."""
        found = self.world.store.get(SERVICES, "default", name)
        assert found is not None
        return found

    def addresses(self, name: str) -> list[str]:
        """The addresses that a service has."""
        return [
            text(e, "ip") for e in objects(self.service(name), "status", "loadBalancer", "ingress")
        ]

    def verdict(self, name: str) -> tuple[str, str, str]:
        """Status, reason and message of a service's condition; empty without one."""
        for each in objects(self.service(name), "status", "conditions"):
            return text(each, "status"), text(each, "reason"), text(each, "message")
        return "", "", ""

    def counts(self, pool: str) -> tuple[str, str, str]:
        """Total, available and used, as the pool says."""
        found = self.world.store.get(POOLS, "", pool)
        said = {text(c, "type"): text(c, "message") for c in objects(found, "status", "conditions")}
        total, free, used = (
            said.get(f"cilium.io/IPs{k}", "") for k in ("Total", "Available", "Used")
        )
        return total, free, used

    def conflict(self, pool: str) -> tuple[str, str]:
        """Status and message of the pool's conflict condition."""
        found = self.world.store.get(POOLS, "", pool)
        for each in objects(found, "status", "conditions"):
            if text(each, "type") == "cilium.io/PoolConflict":
                return text(each, "status"), text(each, "message")
        return "", ""

    def log(self, pod: str, container: str = "cilium-agent") -> list[str]:
        """The lines of a container, without their stamps."""
        log = self.world.plane.logs.of("kube-system", pod, container)
        return [line for _, line in log.lines] if log is not None else []

    def operator_log(self) -> list[str]:
        """The lines of the leading operator."""
        return self.log(self.world.plane.operator_pod, "cilium-operator")

    def reported(self, node: str) -> JsonObject:
        """The first peer in the status of a node's CiliumBGPNodeConfig."""
        config = self.world.store.get(NODE_CONFIGS, "", node)
        instances = objects(config, "status", "bgpInstances")
        return next((p for i in instances for p in objects(i, "peers")), {})

    def state(self, node: str) -> str:
        """The state of a node's first session, in truth."""
        agent = next(a for a in self.world.agents.values() if a.node == node)
        return next((session.state for session in agent.sessions), "")

    def run(self, *argv: str) -> Answer:
        """A run of `cilium`."""
        return self.command.answer(argv)


def lab(*manifests: JsonObject, cilium: str = "1.21.0", seed: int = 1, **more: object) -> Lab:
    """A cluster of three nodes and one router, founded an hour ago, with these manifests."""
    config = more.get("config")
    scenario = Scenario(
        name="test",
        description="A test",
        expect=Expectation("Nothing is wrong."),
        cilium=cilium,
        history="1h",
        nodes=NODES,
        routers=(RouterPlan("router", "192.0.2.254", 64513, 9, routes={"ipv4": 2}),),
        config=config if isinstance(config, dict) else {},
        manifests=manifests,
    )
    clock = HandClock()
    return Lab(World(scenario, seed, clock), clock)


def pool(name: str, *blocks: str, selector: JsonObject | None = None, **spec: object) -> JsonObject:
    """A pool with blocks as CIDRs or START-STOP."""
    listed: list[object] = []
    for block in blocks:
        start, dash, stop = block.partition("-")
        listed.append({"start": start, "stop": stop} if dash else {"cidr": block})
    chosen: JsonObject = {"serviceSelector": selector} if selector is not None else {}
    return {
        "kind": "CiliumLoadBalancerIPPool",
        "metadata": {"name": name},
        "spec": {"blocks": listed, **chosen, **spec},
    }


def balancer(name: str, port: int = 80, **more: object) -> JsonObject:
    """A LoadBalancer service; keywords are labels, annotations or fields of its spec."""
    metadata: JsonObject = {"name": name, "namespace": more.pop("namespace", "default")}
    for key in ("labels", "annotations"):
        if key in more:
            metadata[key] = more.pop(key)
    ports: list[object] = [{"name": "port", "port": port}]
    spec: JsonObject = {"type": "LoadBalancer", "ports": ports, "selector": {"app": name}, **more}
    return {"kind": "Service", "metadata": metadata, "spec": spec}


def peering(**peer_config: object) -> list[JsonObject]:
    """The objects that make every node peer with the router and announce every service."""
    everything: JsonObject = {}
    families: list[object] = [
        {"afi": afi, "safi": "unicast", "advertisements": everything} for afi in ("ipv4", "ipv6")
    ]
    return [
        {
            "kind": "CiliumBGPClusterConfig",
            "metadata": {"name": "all"},
            "spec": {
                "bgpInstances": [
                    {
                        "name": "main",
                        "localASN": 64512,
                        "peers": [
                            {
                                "name": "router",
                                "peerASN": 64513,
                                "peerAddress": "192.0.2.254",
                                "peerConfigRef": {"name": "router"},
                            }
                        ],
                    }
                ]
            },
        },
        {
            "kind": "CiliumBGPPeerConfig",
            "metadata": {"name": "router"},
            "spec": {
                "timers": {
                    "connectRetryTimeSeconds": 5,
                    "holdTimeSeconds": 9,
                    "keepAliveTimeSeconds": 3,
                },
                "families": families,
                **peer_config,
            },
        },
        advertisement(),
    ]


def advertisement(**service: object) -> JsonObject:
    """An advertisement of every service's addresses; keywords change its Service entry."""
    entry: JsonObject = {
        "advertisementType": "Service",
        "service": {"addresses": ["LoadBalancerIP"]},
        "selector": {},
        **service,
    }
    return {
        "kind": "CiliumBGPAdvertisement",
        "metadata": {"name": "services"},
        "spec": {"advertisements": [entry]},
    }


def labelled(value: str) -> JsonObject:
    """A selector for the label pool=VALUE."""
    return mapping({"s": {"matchLabels": {"pool": value}}}, "s")
