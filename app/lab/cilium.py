"""The answers of the `cilium` command (cilium-cli v0.19.7) about a simulated cluster.

Output, error texts, streams and exit codes are those of the recordings (`docs/cilium.md`): JSON
indented by one space with omitted zeros, or a table; partial results with the failures on stderr
and exit 0.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from app.lab import cilium_status, prefixes
from app.lab.agents import EXEC_SECONDS, Agent, Instance, Site, exec_failure
from app.lab.cilium_stub import VERSION, Answer
from app.lab.command_line import Request, RouteQuestion, UsageError, parse
from app.lab.connectivity import ConnectivityTest
from app.lab.fields import AnyAddress, data, go_duration, integer, made, mapping, objects, text
from app.lab.kinds import CONFIG_MAPS
from app.lab.plane import NAMESPACE
from app.lab.prefixes import Attributes, path_attributes
from app.lab.sessions import Session
from app.lab.store import JsonObject

_ALL_OR_NOTHING_BEFORE = (0, 18, 6)
"""Before this version of cilium-cli one agent that fails keeps the answers of all others back."""

_DEFAULTING = (
    "(Defaulting to `available ipv4 unicast` routes, please see help for more options)\n\n"
)

_Found = dict[str, list[JsonObject]]
"""What the agents answered, by node."""


class CiliumCommand:
    """Answers command lines about one cluster."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def answer(self, argv: Sequence[str]) -> Answer:
        """What `cilium ARGV…` prints and how it ends."""
        try:
            request = parse(argv)
        except UsageError as error:
            return _failed(f"{error}\n")
        match request.words:
            case ["status"]:
                return self._status(request)
            case ["bgp", "peers" | "neighbors"]:
                return self._peers(request)
            case ["bgp", "routes", *_] if self._site.cli < (0, 16):
                return self._unknown_subcommand(request)
            case ["bgp", "routes", *arguments]:
                return self._routes(request, arguments)
            case ["bgp", *_]:
                return _printed(data("command", "bgp_help", str))
            case ["connectivity", "test"]:
                return ConnectivityTest(self._site, request).answer()
            case ["version"]:
                return self._version(request)
            case ["config", "view"]:
                return self._config()
            case ["config", *_] | []:
                return _printed(data("command", "about", str))
            case [command, *_]:
                return _failed(f'unknown command "{command}" for "cilium"\n')
        return _failed("")

    # Reaching the agents

    def _chosen(self, request: Request) -> list[Agent]:
        selector = request.value("agent-pod-selector") or "k8s-app=cilium"
        if request.namespace != NAMESPACE or selector != "k8s-app=cilium":
            return []
        agents = [a for a in self._site.agents.values() if request.value("node") in ("", a.node)]
        return sorted(agents, key=lambda agent: agent.node)

    def _gather(
        self,
        request: Request,
        kind: str,
        complaints: tuple[str, str],
        collect: Callable[[Agent], list[JsonObject]],
        table: Callable[[_Found], bytes],
    ) -> Answer:
        """The agents' answers; `complaints` introduce the failures of all, and of some."""
        found: _Found = {}
        failures: list[tuple[str, float]] = []
        for agent in self._chosen(request):
            failure = exec_failure(self._site, agent)
            if failure is not None:
                failure = failure.within(request.wait_seconds)
                reason = f"({failure})" if kind == "routes" else str(failure)
                error = f"failed to fetch bgp state from {agent.pod}: {reason}"
                failures.append((error, failure.seconds))
            elif not agent.bgp:
                # The agent says "BGP Control Plane is disabled", which is no JSON.
                error = (
                    f"failed to unmarshal bgp {kind} from {agent.pod}: "
                    "invalid character 'B' looking for beginning of value"
                )
                failures.append((error, EXEC_SECONDS))
            else:
                found[agent.node] = collect(agent)
        errors = "\n".join(error for error, _ in failures)
        slowest = max((seconds for _, seconds in failures), default=EXEC_SECONDS)
        if failures and (not found or self._site.cli < _ALL_OR_NOTHING_BEFORE):
            return Answer(b"", f"\nError: {complaints[0]}: {errors}\n".encode(), 1, slowest)
        out = _json(found) if request.json else table(found)
        err = f"{complaints[1]}: {errors}\n\n" if failures else ""
        return Answer(out, err.encode(), 0, slowest)

    # bgp peers

    def _peers(self, request: Request) -> Answer:
        complaints = ("Unable to get peering status", "Errors retrieving peering state")
        return self._gather(request, "state", complaints, self._peers_of, _peer_table)

    def _peers_of(self, agent: Agent) -> list[JsonObject]:
        return [
            self._peer(agent, instance, session)
            for instance in agent.instances.values()
            for session in instance.sessions.values()
        ]

    def _peer(self, agent: Agent, instance: Instance, session: Session) -> JsonObject:
        version = self._site.plane.version
        settings = session.settings
        families = [
            _nonzero(made("FamilyCounts", afi=afi, received=received, advertised=advertised))
            for afi in settings.families
            for received, advertised in [agent.counts(instance, session, afi)]
        ]
        restarts = settings.restart is not None
        restart = _nonzero({"enabled": restarts, "restart-time-seconds": settings.restart or 0})
        offered, heard = self._capabilities(agent, session)
        peer: JsonObject = {
            "applied-hold-time-seconds": session.applied_hold,
            "applied-keep-alive-time-seconds": session.applied_keepalive,
            "configured-hold-time-seconds": settings.hold,
            "configured-keep-alive-time-seconds": settings.keepalive,
            "connect-retry-time-seconds": settings.retry,
            "ebgp-multihop-ttl": settings.multihop,
            "families": families,
            "graceful-restart": restart,
            "local-asn": instance.asn,
            "name": settings.name if version >= (1, 20) else "",
            "peer-address": settings.address,
            "peer-asn": settings.asn or (session.router.asn if session.router else 0),
            "peer-port": settings.port,
            "session-state": session.state,
            "tcp-password-enabled": bool(settings.password),
            "uptime-nanoseconds": self._since(session),
        }
        listed = {
            **_nonzero(peer),
            "local-capabilities": offered,
            "remote-capabilities": heard,
            "families": families,
            "graceful-restart": restart,
        }
        return dict(sorted(listed.items()))

    def _capabilities(self, agent: Agent, session: Session) -> tuple[object, object]:
        """Offered and heard, in 1.19 and later; before, null."""
        if self._site.plane.version < (1, 19):
            return None, None
        settings = session.settings
        offered = prefixes.capabilities(
            agent.node,
            settings.local_asn,
            settings.families,
            settings.restart,
            cilium=True,
            restarting=not session.negotiated,
        )
        router = session.router
        heard: list[bytes] = []
        if session.negotiated and router is not None:
            heard = prefixes.capabilities(
                router.name, router.asn, router.families, settings.restart, cilium=False
            )
        return _capability_list(offered), _capability_list(heard)

    def _since(self, session: Session) -> int:
        if session.established is None:
            return 0
        return _nanoseconds(self._site.plane.time - session.established)

    # bgp routes

    def _routes(self, request: Request, arguments: list[str]) -> Answer:
        words = arguments or ["available", "ipv4", "unicast"]
        try:
            wanted = RouteQuestion.of(words)
        except UsageError as error:
            return _failed(f"\nError: Unable to get BGP routes: {error}\n")
        note = "" if arguments else _DEFAULTING
        return self._gather(
            request,
            "routes",
            ("Unable to get BGP routes", "Errors by retrieving routes"),
            lambda agent: list(self._routes_of(agent, wanted)),
            lambda found: note.encode() + _route_table(found, wanted.advertised),
        )

    def _routes_of(self, agent: Agent, wanted: RouteQuestion) -> Iterator[JsonObject]:
        for instance in agent.instances.values():
            if wanted.asn not in (0, instance.asn):
                continue
            if not wanted.advertised:
                for prefix, since in agent.local_routes(instance, wanted.afi):
                    plain = Attributes()
                    yield self._route(instance.asn, wanted.afi, prefix, since, None, None, plain)
                continue
            for session in instance.sessions.values():
                if wanted.peer in ("", session.settings.address):
                    yield from self._advertised(agent, instance, session, wanted.afi)

    def _advertised(
        self, agent: Agent, instance: Instance, session: Session, afi: str
    ) -> Iterator[JsonObject]:
        """The routes sent to a peer, those of a lost session included."""
        router = session.router
        if not session.negotiated or router is None or afi not in router.families:
            return
        external = router.asn != instance.asn
        hop = agent.address(6 if ":" in session.settings.address else 4)
        offer = agent.offer(instance, afi, session.settings.name)
        for prefix, attributes in offer.items():
            preference = None if external else attributes.local_preference or 100
            sent = Attributes(attributes.communities, attributes.large_communities, preference)
            path = (instance.asn,) if external else ()
            since = agent.since(instance, offer, prefix)
            route = self._route(instance.asn, afi, prefix, since, hop, path, sent)
            yield {"neighbor": session.settings.address, **route}

    def _route(
        self,
        asn: int,
        afi: str,
        prefix: str,
        since: datetime,
        next_hop: AnyAddress | None,
        as_path: tuple[int, ...] | None,
        attributes: Attributes,
    ) -> JsonObject:
        plane = self._site.plane
        network = ipaddress.ip_network(prefix)
        legacy = plane.enabled("enable-bgp-legacy-origin-attribute")
        octets = path_attributes(network, next_hop, as_path, attributes, legacy_origin=legacy)
        path: JsonObject = {
            "age-nanoseconds": _nanoseconds(plane.time - since),
            "family": {"afi": afi, "safi": "unicast"},
            "nlri": {"base64": prefixes.base64(prefixes.nlri(network))},
            "path-attributes": [{"base64": prefixes.base64(each)} for each in octets],
        }
        if as_path is None:
            path = dict(sorted({**path, "best": True}.items()))
        return {"paths": [path], "prefix": prefix, "router-asn": asn}

    # The rest

    def _unknown_subcommand(self, request: Request) -> Answer:
        """What cobra makes of a word that a command does not know: its own flags, or its help."""
        if request.value("output"):
            return _failed("unknown shorthand flag: 'o' in -o\n")
        return _printed(data("command", "bgp_help", str))

    def _status(self, request: Request) -> Answer:
        if request.namespace != NAMESPACE:
            empty = cilium_status.empty_report()
            out = _json(empty) if request.json else cilium_status.summary(empty)
            missing = 'unable to retrieve ConfigMap "cilium-config": configmaps "cilium-config"'
            error = (
                f'status check failed: [daemonsets.apps "cilium" not found, {missing} not found]'
            )
            return Answer(out, f"{error}\n".encode(), 1)
        tried = (exec_failure(self._site, agent) for agent in self._chosen(request))
        errors = {failure.pod: failure for failure in tried if failure is not None}
        report = cilium_status.report(self._site, errors)
        # Status execs twice per pod, and tries a hanging agent twice (120.5 s were measured).
        seconds = max(
            (f.seconds * (4 if f.error == cilium_status.FROZEN else 2) for f in errors.values()),
            default=EXEC_SECONDS,
        )
        out = _json(report) if request.json else cilium_status.summary(report)
        return Answer(out, b"", 0, seconds)

    def _version(self, request: Request) -> Answer:
        lines = VERSION.format(".".join(map(str, self._site.cli)))
        if not request.given("client"):
            lines += f"cilium image (running): {self._site.plane.cilium}\n"
        return _printed(lines)

    def _config(self) -> Answer:
        config = self._site.plane.get(CONFIG_MAPS, "cilium-config", NAMESPACE)
        data = sorted((key, str(value)) for key, value in mapping(config, "data").items())
        width = max((len(key) for key, _ in data), default=0)
        return _printed("".join(f"{key:<{width}}    {value}\n" for key, value in data))


def _nanoseconds(elapsed: timedelta) -> int:
    return max(elapsed // timedelta(microseconds=1) * 1000, 1000)


def _nonzero(fields: JsonObject) -> JsonObject:
    """Go's omitempty."""
    return {key: value for key, value in fields.items() if value not in (0, "", False, None)}


def _capability_list(octets: list[bytes]) -> list[object]:
    return [{"capabilities": prefixes.base64(each)} for each in octets]


def _json(document: object) -> bytes:
    """JSON as Go writes it, with the characters of HTML escaped."""
    written = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return (written + "\n").encode()


def _printed(stdout: str) -> Answer:
    return Answer(stdout.encode(), b"", 0)


def _failed(stderr: str) -> Answer:
    return Answer(b"", stderr.encode(), 1)


def _peer_table(found: _Found) -> bytes:
    """The table of `bgp peers`: a row per family, the peer's own cells on the first."""
    rows: list[Sequence[object]] = [data("command", "peer_columns", list[str])]
    for node, peers in found.items():
        name = node
        for peer in peers:
            cells: list[object] = [
                name,
                peer["local-asn"],
                integer(peer, "peer-asn"),
                peer["peer-address"],
                peer["session-state"],
                _elapsed(integer(peer, "uptime-nanoseconds")),
            ]
            for family in objects(peer, "families"):
                counts = (integer(family, "received"), integer(family, "advertised"))
                rows.append([*cells, f"{family['afi']}/{family['safi']}", *counts])
                cells = [""] * len(cells)
            name = ""
    return _table(rows)


def _route_table(found: _Found, advertised: bool) -> bytes:
    """The table of `bgp routes`: a row per path."""
    columns = ("Prefix", "NextHop", "Age", "Attrs")
    rows: list[Sequence[object]] = [
        ("Node", "VRouter", *(["Peer"] if advertised else []), *columns)
    ]
    for node, routes in found.items():
        name = node
        for route in routes:
            for path in objects(route, "paths"):
                octets = [text(each, "base64") for each in objects(path, "path-attributes")]
                attributes = [prefixes.read(each) for each in octets]
                hop = next((value for kind, value in attributes if kind == "Nexthop"), "")
                shown = " ".join(f"{{{kind}: {value}}}" for kind, value in attributes)
                peer = [route["neighbor"]] if advertised else []
                age = _elapsed(integer(path, "age-nanoseconds"))
                rows.append(
                    (name, route["router-asn"], *peer, route["prefix"], hop, age, f"[{shown}]")
                )
                name = ""
    return _table(rows)


def _table(rows: Iterable[Sequence[object]]) -> bytes:
    """Columns padded by three spaces, as Go's tabwriter does here."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    printed = ""
    for *cells, last in lines:
        padded = (f"{cell:<{width + 3}}" for cell, width in zip(cells, widths, strict=False))
        printed += "".join(padded) + last + "\n"
    return printed.encode()


def _elapsed(nanoseconds: int) -> str:
    return go_duration(round(nanoseconds / 1e9))
