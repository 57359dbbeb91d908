"""What the parameters of a runbook mean: the things they name, and their words in texts."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from app.model.case import Case
from app.model.finding import Ref
from app.runbooks.schema import Parameter, ParameterKind, Runbook
from app.state.kinds import NODES, POOLS, SERVICES, Kind

Parameters = Mapping[str, str]
"""What the operator has named, by parameter."""

FORMS: Mapping[ParameterKind, str] = {
    "service": "NAMESPACE/NAME",
    "session": "NODE/PEER-ADDRESS",
    "node": "NODE",
    "pool": "POOL",
    "address": "ADDRESS",
}
"""How each kind is named."""

_ALL: Mapping[ParameterKind, str] = {
    "service": "the services",
    "session": "the sessions",
    "node": "the nodes",
    "pool": "the pools",
    "address": "the addresses",
}
BLANK = re.compile(r"\{([a-z][a-z0-9-]*(?:\.[a-z]+)?)\}")
"""What stands in a text for a parameter: its name in braces, or a half of it (`{service.name}`)."""


class BadParameter(Exception):
    """A parameter is missing, unknown or no such thing; one sentence with what is allowed."""


def checked(runbook: Runbook, given: Parameters) -> dict[str, str]:
    """The parameters, all that are needed, each in its form. Raises BadParameter."""
    for name in given:
        if name not in runbook.parameters:
            known = ", ".join(runbook.parameters) or "none"
            raise BadParameter(f"{runbook.name} has no parameter {name!r}; it has: {known}")
    for name, parameter in runbook.parameters.items():
        if not given.get(name):
            if not parameter.optional:
                form = FORMS[parameter.kind]
                raise BadParameter(f"{runbook.name} needs {name}={form}: {parameter.ask}")
        elif not has_form(parameter.kind, given[name]):
            form = FORMS[parameter.kind]
            raise BadParameter(f"{name} is {given[name]!r}; it must be {form}")
    return {name: given[name] for name in runbook.parameters if given.get(name)}


def has_form(kind: ParameterKind, text: str) -> bool:
    """Whether a text can be the name of a thing of this kind."""
    if kind == "service":
        return len([part for part in text.split("/") if part]) == 2 and text.count("/") == 1
    if kind == "session":
        node, _, peer = text.partition("/")
        return bool(node) and _is_address(peer)
    if kind == "address":
        return _is_address(text)
    return bool(text.strip()) and "/" not in text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def refs(kind: ParameterKind, name: str, case: Case) -> frozenset[Ref]:
    """The things in the cluster that a parameter means, as findings point at them."""
    return frozenset(_refs(kind, name, case))


def _refs(kind: ParameterKind, name: str, case: Case) -> Iterator[Ref]:
    if kind == "service":
        namespace, _, service = name.partition("/")
        yield Ref("Service", service, namespace)
    elif kind == "session":
        node, _, peer = name.partition("/")
        yield from (Ref("Session", name), Ref("Node", node), Ref("Peer", peer))
        yield from _agent(node, case)
    elif kind == "node":
        yield Ref("Node", name)
        yield from _agent(name, case)
        sessions = (session for session in case.sessions if session.node == name)
        yield from (Ref("Session", f"{name}/{session.peer_address}") for session in sessions)
    elif kind == "pool":
        yield Ref("CiliumLoadBalancerIPPool", name)
    else:
        address = ip_address(name)
        for balancer in case.balancers:
            if address in balancer.addresses:
                yield Ref("Service", balancer.service.name, balancer.service.metadata.namespace)
        yield Ref("Prefix", f"{address}/{address.max_prefixlen}")


def _agent(node: str, case: Case) -> Iterator[Ref]:
    agent = case.agent(node)
    if agent is not None:
        yield Ref("Pod", agent.metadata.name, agent.metadata.namespace)


def offered(kind: ParameterKind, case: Case) -> tuple[str, ...]:
    """The things of this kind that there are, to be chosen from."""
    if kind == "service":
        return tuple(sorted(balancer.service.key for balancer in case.balancers))
    if kind == "session":
        return tuple(sorted(f"{s.node}/{s.peer_address}" for s in case.sessions))
    if kind == "node":
        return tuple(sorted(case.snapshot.records[NODES]))
    if kind == "pool":
        return tuple(sorted(case.snapshot.records[POOLS]))
    found = (str(a) for balancer in case.balancers for a in balancer.addresses)
    return tuple(sorted(set(found)))


def missing(runbook: Runbook, given: Parameters, case: Case) -> str:
    """Which parameter names nothing that is there, and what comes near; "" where all are there."""
    for name, value in given.items():
        kind = runbook.parameters[name].kind
        source = _CERTAIN.get(kind)
        if source is None or not case.known(source):
            continue
        known = offered(kind, case)
        if value not in known:
            near = difflib.get_close_matches(value, known, n=3)
            hint = f"; near it: {', '.join(near)}" if near else ""
            return f"there is no {_ONE[kind]} {value}{hint}"
    return ""


_CERTAIN: Mapping[ParameterKind, Kind[object]] = {
    "service": SERVICES,
    "node": NODES,
    "pool": POOLS,
}
"""Kinds of which all are known where this was read; a session may be missing, and be the fault."""

_ONE: Mapping[ParameterKind, str] = {
    "service": "service of type LoadBalancer",
    "node": "node",
    "pool": "pool",
}


def words(parameters: Mapping[str, Parameter]) -> frozenset[str]:
    """What may stand in braces: each parameter, and its halves where it has two."""
    found = set(parameters)
    for name, parameter in parameters.items():
        found |= {f"{name}.{half}" for half in _HALVES.get(parameter.kind, ())}
    return frozenset(found)


def filled(text: str, runbook: Runbook, given: Parameters) -> str:
    """A text with its parameters in their places; "all" where one was not named."""
    return BLANK.sub(lambda found: _word(found[1], runbook, given) or found[0], text)


def command(text: str, runbook: Runbook, given: Parameters) -> str:
    """A command with its parameters in their places, quoted; "" where it needs one not named."""
    needed = [word for word in BLANK.findall(text) if word.partition(".")[0] in runbook.parameters]
    if any(word.partition(".")[0] not in given for word in needed):
        return ""
    return BLANK.sub(lambda found: shlex.quote(_word(found[1], runbook, given) or found[0]), text)


_HALVES: Mapping[ParameterKind, tuple[str, str]] = {
    "service": ("namespace", "name"),
    "session": ("node", "peer"),
}


def _word(word: str, runbook: Runbook, given: Parameters) -> str:
    name, _, half = word.partition(".")
    parameter = runbook.parameters.get(name)
    if parameter is None:
        return ""
    if name not in given:
        return _ALL[parameter.kind]
    if not half:
        return given[name]
    halves = _HALVES.get(parameter.kind, ())
    return given[name].split("/", 1)[halves.index(half)] if half in halves else ""
