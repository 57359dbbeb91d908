"""Which lines of Cilium's logs matter to LB-IPAM and BGP, and what they say, in one readable line.

Source: the log calls of Cilium 1.17 to 1.21 (operator/pkg/lbipam, operator/pkg/bgp, pkg/bgp) and of
GoBGP v3 and v4; `docs/cilium.md`, logs.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from collectors.cilium.bgp_messages import notification_words
from collectors.logs.lines import LogLine

Topic: TypeAlias = Literal["ipam", "bgp", ""]


def topic(line: LogLine) -> Topic:
    """What the line is about: LB-IPAM, BGP, or "" for anything else.

    Known by its module, in either form: `module=….lbipam` (1.18 and later) or `subsys=lbipam`. A
    line without one counts when its message is known, or when it complains about our kinds.
    """
    known = _MODULE.search(line.module)
    if known:
        return "ipam" if known[1] == "lbipam" else "bgp"
    if line.component.startswith("gobgp"):
        return "bgp"
    if line.module:
        return ""
    if line.message in _IPAM_EVENTS or line.message.startswith(_IPAM_MESSAGES):
        return "ipam"
    if line.level in _COMPLAINTS:
        kind = _OUR_KINDS.search(f"{line.message} {line.field('error', 'err')}")
        if kind:
            return "bgp" if kind[1] else "ipam"
    return ""


def is_noise(line: LogLine) -> bool:
    """Whether the line says only that the machinery turns. A warning of Cilium's is none."""
    if _WATCH_ENDED.search(line.message):
        return True
    return line.level in ("", "debug", "info") and line.message.startswith(_NOISE)


def event(line: LogLine) -> str:
    """What happened, in one line: a sentence for the messages we know, else the message itself.

    The message keeps what names things (service, address, pool, peer, instance) and its error.
    """
    notification = _NOTIFICATION.fullmatch(line.message)
    if notification:
        return _notification(line, notification[1])
    if line.message == "Peer Down" and line.peer:
        return f"peer {line.peer} down: {_reason(line.field('Reason'))}"
    conflict = _CONFLICT.fullmatch(line.message)
    if conflict:  # the fields are of no use: Cilium swaps two of them (lbipam.go)
        pool, part, taken, other = conflict.groups()
        return f"pool {pool} is in conflict with pool {other}: {part} overlaps {taken}"
    for template in (*_IPAM_EVENTS.get(line.message, ()), *_BGP_EVENTS.get(line.message, ())):
        try:
            return template.format_map(_facts(line))
        except KeyError:
            continue  # this version of Cilium does not say so much
    return _as_it_is(line)


_MODULE = re.compile(r"(?:^|\.)(lbipam|bgp-control-plane|bgp-cp-operator)(?:\.|$)")
_OUR_KINDS = re.compile(r"cilium(?:(bgp)|loadbalancerippool)", re.IGNORECASE)
_COMPLAINTS = frozenset({"warning", "error", "fatal"})
_NOTIFICATION = re.compile(r"(sent|received) notification")
_CONFLICT = re.compile(
    r"Pool '(.*?)' conflicts since range '(.*?)' overlaps range '(.*?)' from IP Pool '(.*?)'"
)
_WATCH_ENDED = re.compile(r"\bwatch of \S+ (?:ended|closed)")
_NOISE = (
    "Reconciling peers for instance",
    "No peer changes necessary",
    "performing all services reconciliation",
    "performing modified services reconciliation",
    "Begin reconciling peers",
    "Done reconciling peers",
    "Adding route policy",
    "Neighbor soft reset out",
    "sync finished",
    "starting outgoing connection manager",
)
_IPAM_MESSAGES = (
    "LB-IPAM ",
    "Restarting LB IPAM",
    "LB IPPool ",
    "Pool '",
    "Allocate next IP from lb range",
    "Bad state detected, store contains lbRange for pool",
    "Error while attempting to update IP",
    "Error while revalidating services",
    "Error while satisfying services",
    "Error while settling pool conflicts",
    "Error while updating pool counts",
    "pool delete failed",
    "pool upsert failed",
)
_DEFERRED = "deferring to regular allocation logic"
# Of several sentences the first counts whose facts the line has.
_IPAM_EVENTS: dict[str, tuple[str, ...]] = {
    "Assigning Ingress IP": ("{service} ← {address}",),
    "Removing Ingress IPs": ("{service} loses {address}",),
    "Removing all Ingress IPs and conditions": ("{service} is given up, with all its addresses",),
    f"Current IP does not belong to any matching range, {_DEFERRED}": (
        "{service} loses {address}: no pool that matches it has that address",
    ),
    f"Current IP is already allocated by another service, {_DEFERRED}": (
        "{service} loses {address}: another service has it",
    ),
    "Updated Pool spec": ("pool {pool} was changed",),
    "Unable to parse service.spec.LoadBalancerIP": ("a requested address is ignored: {error}",),
    "Unable to allocate IP": ("a requested address cannot be had: {error}",),
}
_BGP_EVENTS: dict[str, tuple[str, ...]] = {
    "Peer Up": ("peer {peer} up",),
    "hold timer expired": ("peer {peer}: hold timer expired",),
    "peer graceful restart": ("peer {peer}: graceful restart begins, its routes stay for now",),
    "graceful restart timer expired": ("peer {peer}: did not come back within its restart time",),
    "Adding peer": ("peer {peer} is configured",),
    "Updating peer": ("peer {peer} is configured anew",),
    "Removing peer": ("peer {peer} is removed",),
    "Registering BGP instance": ("BGP instance {instance} is set up",),
    "Successfully registered BGP instance": (
        "BGP instance {instance} runs as AS {asn} with router ID {router_id}",
        "BGP instance {instance} runs",
    ),
    "Removed BGP instance": ("BGP instance {instance} is removed, and its routes withdrawn",),
    "Reconciliation with retries failed": ("the BGP configuration is not applied: {error}",),
    "bgp peering policy selection failed": ("no BGP policy is applied: {error}",),
    "BGP reconciliation failed": ("the BGP node configs are not rendered: {error}",),
    "BGP reconciliation error": ("the BGP node configs are not rendered: {error}",),
    "Failed to update CiliumBGPNodeConfig status after retries": (
        "the BGP status in the API is stale: {error}",
    ),
}
# GoBGP, pkg/server/fsm.go: the strings of its reasons; those not here say it themselves.
_REASONS = {
    "": "no reason given",
    "unknown": "reason unknown",
    "dying": "this side stopped the session",
    "admin-down": "shut down on this side",
    "graceful-restart": "connection lost, graceful restart",
    "read-failed": "connection lost (read failed)",
    "write-failed": "connection lost (write failed)",
}
_REASON_CODES = re.compile(
    r"notification-(sent|received|recv)\s+code (\d+)\(.*?\) subcode (\d+)\(.*\)(.*)"
)


def _facts(line: LogLine) -> dict[str, str]:
    """The values of a line by name, for a template; the empty ones are missing."""
    fields = {name: value for name, value in reversed(line.fields) if value}
    derived = {
        "service": line.service,
        "address": line.address,
        "pool": line.pool,
        "peer": line.peer,
    }
    return {name: value for name, value in {**fields, **derived}.items() if value}


def _notification(line: LogLine, direction: str) -> str:
    """RFC 9003: a shutdown may carry a reason in the operator's own words."""
    towards = {"sent": "to", "received": "from"}[direction]
    peer = f" {towards} {line.peer}" if line.peer else ""
    words = _code_words(line.field("Code"), line.field("Subcode")) or line.field("Data")
    said = line.field("Communicated-Reason")
    return (
        f"{direction} notification{peer}"
        + (f": {words}" if words else "")
        + (f', saying "{said}"' if said else "")
    )


def _reason(reason: str) -> str:
    codes = _REASON_CODES.fullmatch(reason)
    if codes:
        direction = "sent" if codes[1] == "sent" else "received"
        return f"notification {direction}, {_code_words(codes[2], codes[3])}{codes[4]}"
    return _REASONS.get(reason) or reason.replace("-", " ")


def _code_words(code: str, subcode: str) -> str:
    """`AS number mismatch (Code 2 Subcode 2)`; "" when the line has no codes."""
    if not (_is_octet(code) and _is_octet(subcode)):
        return ""
    words = notification_words(int(code), int(subcode))
    return f"{words} (Code {int(code)} Subcode {int(subcode)})"


def _is_octet(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def _as_it_is(line: LogLine) -> str:
    message = line.message or line.raw.strip()
    things = (line.service, line.address, line.pool, line.peer, line.field("instance"))
    named = [thing for thing in dict.fromkeys(things) if thing and thing not in message]
    error = line.field("error", "err")
    return (
        message
        + (f" ({', '.join(named)})" if named else "")
        + (f": {error}" if error and error not in message else "")
    )
