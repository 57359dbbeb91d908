"""What each `cilium` command prints, read into records: peers, routes, status, version.

`cilium status` is one record: the command's own counts and errors, and each agent's own status by
exec, the part that is shown or diagnosed. An agent's keys differ per version and every one is
optional, so an absent key is "" or None and never an error. The command exits with 0 when
components are broken and with 1 when it could not collect something, with JSON or without, so the
exit code only says whether there is more on stderr.

`cilium version --client` requests Cilium's stable release from the internet in the same run, for a
line that is not read here. So it runs with an unusable proxy: the request fails on this machine, at
once, and the line says `unknown`. No cluster is asked either.

Source: cilium/cilium, cilium-cli/{bgp/peers,bgp/routes,status/status,cli/version,cli/cmd}.go, 0.15
to 0.19 (`http.Get`, which obeys HTTPS_PROXY); `docs/cilium.md`, "The `cilium` command".
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial
from typing import TypeAlias, TypeVar

import msgspec

from collectors.cilium import answer
from collectors.cilium import command_records as records
from collectors.cilium.bgp_bytes import decode_capabilities, decode_path_attributes, read_bytes
from collectors.kubernetes.answers import Undecodable
from collectors.process import Completed
from collectors.sanitize import JsonValue, one_line, printable_bytes
from collectors.source import ReadError, Reason

# --- cilium bgp peers


class _Bytes(msgspec.Struct, frozen=True, gc=False):
    capabilities: str = ""
    base64: str = ""


class _GracefulRestart(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    enabled: bool = False
    restart_time_seconds: records.Count = 0


class _Peer(records.BgpPeer, frozen=True, gc=False, rename="kebab"):
    """BgpPeer on the wire: what has another form there."""

    uptime_nanoseconds: records.Count = 0
    restart: _GracefulRestart = msgspec.field(default=_GracefulRestart(), name="graceful-restart")
    local: tuple[_Bytes, ...] = msgspec.field(default=(), name="local-capabilities")
    remote: tuple[_Bytes, ...] = msgspec.field(default=(), name="remote-capabilities")


_PEERS = msgspec.json.Decoder(tuple[_Peer, ...])


def parse_peers(completed: Completed) -> answer.Reading:
    """Read what `cilium bgp peers -o json` printed and how it ended. Raises ReadError."""
    return answer.parse_agents(completed, "cilium bgp peers", records.NodePeers, _node_peers)


PEERS = answer.CiliumCommand(
    "bgp_peers", ("bgp", "peers", "-o", "json"), parse_peers, deadline=40.0, interval=15.0
)


def _node_peers(node: str, raw: bytes) -> records.NodePeers:
    peers, problem = answer.read_items(raw, _PEERS, _Peer)
    return records.NodePeers(node, peers=tuple(map(_peer, peers)), error=problem)


def _peer(wire: _Peer) -> records.BgpPeer:
    alike = {name: getattr(wire, name) for name in records.BgpPeer.__struct_fields__}
    return msgspec.structs.replace(
        records.BgpPeer(**alike),
        state=wire.state or "unknown",
        uptime=wire.uptime_nanoseconds / 1e9 if wire.uptime_nanoseconds else None,
        graceful_restart=wire.restart.enabled,
        restart_time=wire.restart.restart_time_seconds,
        local_capabilities=_capabilities(wire.local),
        remote_capabilities=_capabilities(wire.remote),
    )


def _capabilities(wire: tuple[_Bytes, ...]) -> tuple[records.Capability, ...]:
    return decode_capabilities(read_bytes(each.capabilities or each.base64) for each in wire)


# --- cilium bgp routes


class _Family(msgspec.Struct, frozen=True, gc=False):
    afi: str = ""
    safi: str = ""


class _Path(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    """Path on the wire."""

    age_nanoseconds: records.Count = 0
    best: bool = False
    stale: bool = False
    family: _Family = _Family()
    path_attributes: tuple[_Bytes, ...] = ()


class _Route(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    """Route on the wire."""

    prefix: str = ""
    router_asn: records.Count = 0
    neighbor: str = ""
    paths: tuple[_Path, ...] = ()


_ROUTE_LIST = msgspec.json.Decoder(tuple[_Route, ...])


def parse_routes(completed: Completed, label: str = "cilium bgp routes") -> answer.Reading:
    """Read what `cilium bgp routes … -o json` printed and how it ended. Raises ReadError.

    `label` is the command as a message names it.
    """
    return answer.parse_agents(completed, label, records.NodeRoutes, _node_routes)


def _command(table: str, afi: str) -> answer.CiliumCommand:
    words = ("bgp", "routes", table, afi, "unicast")
    return answer.CiliumCommand(
        kind=f"routes_{table}_{afi}",
        argv=(*words, "-o", "json"),
        parse=partial(parse_routes, label=" ".join(("cilium", *words))),
        deadline=40.0,
        interval=30.0,
    )


ROUTES = tuple(
    _command(table, afi) for table in ("available", "advertised") for afi in ("ipv4", "ipv6")
)
"""Of kinds `routes_available_ipv4`, `routes_available_ipv6`, and so on."""


def _node_routes(node: str, raw: bytes) -> records.NodeRoutes:
    routes, problem = answer.read_items(raw, _ROUTE_LIST, _Route)
    return records.NodeRoutes(node, routes=tuple(map(_route, routes)), error=problem)


def _route(wire: _Route) -> records.Route:
    return records.Route(wire.prefix, wire.router_asn, wire.neighbor, tuple(map(_path, wire.paths)))


def _path(wire: _Path) -> records.Path:
    return records.Path(
        age=wire.age_nanoseconds / 1e9,
        best=wire.best,
        stale=wire.stale,
        afi=wire.family.afi,
        safi=wire.family.safi,
        attributes=decode_path_attributes(read_bytes(each.base64) for each in wire.path_attributes),
    )


# --- cilium status


class _ControllerState(msgspec.Struct, frozen=True, gc=False, rename="kebab"):
    consecutive_failure_count: records.Count = 0
    last_failure_msg: str = ""
    last_failure_timestamp: str = ""


class _Controller(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    status: _ControllerState = _ControllerState()


_Shape = TypeVar("_Shape")
_AGENT_SAYS = {
    "node": "cluster.self",
    "state": "cilium.state",
    "message": "cilium.msg",
    "hubble_state": "hubble.state",
    "hubble_message": "hubble.msg",
    "ipam": "ipam.status",
    "kube_proxy_replacement": "kube-proxy-replacement.mode",
    "lb_mode": "kube-proxy-replacement.features.nodePort.mode",
    "lb_algorithm": "kube-proxy-replacement.features.nodePort.algorithm",
    "lb_acceleration": "kube-proxy-replacement.features.nodePort.acceleration",
    "routing": "routing.inter-host-routing-mode",
    "envoy": "proxy.envoy-deployment-mode",
}
"""Where a StatusResponse has the texts of an AgentStatus."""


def read_agent(pod: str, raw: bytes, error: str) -> records.AgentStatus:
    """One agent's status from its JSON; `null` is an agent that could not be asked. Never raises.

    `error` is what the command says of the pod, and the reason when there is no status.
    """
    try:
        value = answer.read_value(raw)
        if value is None:
            return records.AgentStatus(pod, error=error or "the command could not exec in the pod")
        texts = {name: _at(value, path, str) or "" for name, path in _AGENT_SAYS.items()}
        controllers = _at(value, "controllers", tuple[_Controller, ...]) or ()
    except Undecodable as problem:
        return records.AgentStatus(
            pod, error=f"what the agent said cannot be read: {one_line(str(problem))}"
        )
    texts["node"] = texts["node"].rpartition("/")[2]  # `cluster/node`
    failing = tuple(
        records.FailingController(
            each.name,
            each.status.consecutive_failure_count,
            each.status.last_failure_msg,
            _time(each.status.last_failure_timestamp),
        )
        for each in controllers
        if each.status.consecutive_failure_count
    )
    return records.AgentStatus(
        pod, answered=True, controllers=len(controllers), failing_controllers=failing, **texts
    )


def _at(value: JsonValue, path: str, shape: type[_Shape]) -> _Shape | None:
    """What is at this path of a JSON object; None where it ends early. Raises Undecodable."""
    place = "$"
    try:
        for name in path.split("."):
            holder = value if isinstance(value, dict) else msgspec.convert(value, dict)
            value, place = holder.get(name), f"{place}.{name}"
            if value is None:
                return None
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as problem:
        said, _, within = str(problem).partition(" - at `$")
        raise Undecodable(f"{said} - at `{place}{within.rstrip('`')}`") from None


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo and moment.year > 1 else None  # year 1 is Go's "never"


_STATUS = "cilium status"

_AGENTS = "cilium"
"""The component whose pods are the agents."""


class _PodsCount(msgspec.Struct, frozen=True, gc=False):
    all: records.Count = 0
    by_cilium: records.Count = 0


class _ApiStatus(msgspec.Struct, frozen=True, gc=False):
    message: str = ""


class _GoError(msgspec.Struct, frozen=True, gc=False):
    """A Go error as JSON: nothing of it, but for errors of the API server."""

    status: _ApiStatus = msgspec.field(default=_ApiStatus(), name="ErrStatus")


_Text: TypeAlias = str | _GoError


class _Messages(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    errors: tuple[_Text, ...] = ()
    warnings: tuple[_Text, ...] = ()


class _Top(msgspec.Struct, frozen=True, gc=False):
    """CiliumStatus on the wire, without the agents."""

    pods_count: _PodsCount | None = None
    errors: dict[str, dict[str, _Messages]] = {}
    collection_errors: tuple[_Text, ...] = ()
    helm_chart_version: str = ""


_COLLECTED = ("image_count", "phase_count", "pod_state", "cilium_status")
_FAILED = re.compile(r"^(?:Error: )?(?:Unable to determine status: )?(?:status check failed: )?")


def parse_status(completed: Completed) -> answer.Reading:
    """Read what `cilium status -o json` printed and how it ended. Raises ReadError.

    JSON that came with exit code 1 is a reading with problems, unless nothing at all could be
    collected: then the command's own words say why, and there is no status.
    """
    try:
        parts = answer.read_map(completed.out)
    except Undecodable as problem:
        raise answer.unreadable(completed, _STATUS, problem) from None
    if completed.code and not any(name in parts for name in _COLLECTED):
        raise answer.refusal(completed, _STATUS)
    top, problems = _read_top(parts)
    agents, unread = _read_agents(parts)
    status = records.CiliumStatus(
        agents=_agents(agents, top.errors.get(_AGENTS, {})),
        pods_all=top.pods_count.all if top.pods_count else None,
        pods_managed=top.pods_count.by_cilium if top.pods_count else None,
        helm_chart_version=top.helm_chart_version,
        collection_errors=_collection_errors(completed, top),
    )
    silent = (f"agent {agent.pod}: {agent.error}" for agent in status.agents if not agent.answered)
    return answer.Reading((status,), (*status.collection_errors, *problems, *unread, *silent))


STATUS = answer.CiliumCommand(
    "cilium_status", ("status", "-o", "json"), parse_status, deadline=60.0, interval=30.0
)


def _read_top(parts: dict[str, msgspec.Raw]) -> tuple[_Top, tuple[str, ...]]:
    """The upper half, and what of it cannot be read: a key that does not fit costs itself alone."""
    fitting: dict[str, JsonValue] = {}
    problems: list[str] = []
    for name in _Top.__struct_fields__:
        try:
            value = answer.read_value(bytes(parts.get(name, answer.NULL)))
            if value is not None:
                msgspec.convert({name: value}, _Top)
                fitting[name] = value
        except (Undecodable, msgspec.ValidationError) as problem:
            problems.append(f"{_STATUS}: {name} cannot be read: {one_line(str(problem))}")
    return msgspec.convert(fitting, _Top), tuple(problems)


def _read_agents(parts: dict[str, msgspec.Raw]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """What each agent pod said, as bytes, and why there is nothing of it."""
    try:
        agents = answer.read_map(bytes(parts.get("cilium_status", answer.NULL)))
    except Undecodable as problem:
        return {}, (f"{_STATUS}: cilium_status cannot be read: {problem}",)
    return {one_line(pod): bytes(raw) for pod, raw in agents.items()}, ()


def _agents(
    asked: dict[str, bytes], about: dict[str, _Messages]
) -> tuple[records.AgentStatus, ...]:
    said = {
        pod: "; ".join(_text(text) for text in (*messages.errors, *messages.warnings))
        for pod, messages in about.items()
        if pod != _AGENTS
    }
    # A pod that was not running was not asked, and is known by what is said of it.
    pods = sorted({*asked, *(pod for pod, text in said.items() if text)})
    return tuple(read_agent(pod, asked.get(pod, b"null"), said.get(pod, "")) for pod in pods)


def _collection_errors(completed: Completed, top: _Top) -> tuple[str, ...]:
    said = answer.shortened(_FAILED.sub("", completed.err.strip()))
    if said:
        return (said.removeprefix("[").removesuffix("]"),)
    return tuple(dict.fromkeys(map(_text, top.collection_errors)))


def _text(said: _Text) -> str:
    return one_line(said if isinstance(said, str) else said.status.message) or records.NO_TEXT


# --- cilium version

_VERSION = "cilium version --client"

LONGEST = 64
"""Characters of a version that are kept."""

_LINE = re.compile(r"^cilium-cli:(.*)$", re.MULTILINE)
_COMPILED = " compiled with "
_NOWHERE = "http://127.0.0.1:0"
"""A port that nothing can listen on."""


def parse_version(completed: Completed) -> answer.Reading:
    """The version that a run printed. Raises ReadError."""
    found = _LINE.search(printable_bytes(completed.out))
    if found is not None:
        version = one_line(f"{found[1]} ".partition(_COMPILED)[0])
        return answer.Reading((records.CliVersion(version[:LONGEST].rstrip()),))
    if completed.code or answer.is_help(completed.out):
        raise answer.refusal(completed, _VERSION)
    raise ReadError(Reason.UNREADABLE, f"{_VERSION} printed what is no version")


VERSION_COMMAND = answer.CiliumCommand(
    "cli_version",
    ("version", "--client"),
    parse_version,
    deadline=15.0,
    interval=3600.0,
    env=(
        ("HTTPS_PROXY", _NOWHERE),
        ("https_proxy", _NOWHERE),
        ("NO_PROXY", ""),
        ("no_proxy", ""),
    ),
)
