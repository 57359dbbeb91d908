"""BGP notification codes in words: the log says `Code=6 Subcode=2`, the operator wants a cause.

Sources: RFC 4271 sections 4.5 and 6 (codes 1 to 6), RFC 4486 (cease), RFC 5492, RFC 6608, RFC 7313,
RFC 8538, RFC 9234, RFC 9384, RFC 9687; IANA, "BGP Error (Notification) Codes".
"""

from __future__ import annotations


def notification_words(code: int, subcode: int) -> str:
    """What a notification means, in a few words; an unassigned code or subcode is said to be one.

    The subcode alone is enough where it is known; 0 (unspecific) gives the name of the code.
    """
    words = _SUBCODES.get((code, subcode))
    if words is not None:
        return words
    name = _CODES.get(code)
    if name is None:
        return "unassigned notification"
    return name if subcode == 0 else f"{name}, unassigned subcode"


_CODES = {
    1: "message header error",
    2: "OPEN message error",
    3: "UPDATE message error",
    4: "hold timer expired",
    5: "finite state machine error",
    6: "cease",
    7: "ROUTE-REFRESH message error",
    8: "send hold timer expired",
}
_SUBCODES = {
    (1, 1): "connection not synchronized",
    (1, 2): "bad message length",
    (1, 3): "bad message type",
    (2, 1): "unsupported version number",
    (2, 2): "AS number mismatch",
    (2, 3): "bad BGP identifier (router ID)",
    (2, 4): "unsupported optional parameter",
    (2, 6): "unacceptable hold time",
    (2, 7): "unsupported capability",
    (2, 11): "role mismatch",
    (3, 1): "malformed attribute list",
    (3, 2): "unrecognized well-known attribute",
    (3, 3): "missing well-known attribute",
    (3, 4): "attribute flags error",
    (3, 5): "attribute length error",
    (3, 6): "invalid ORIGIN attribute",
    (3, 8): "invalid NEXT_HOP attribute",
    (3, 9): "optional attribute error",
    (3, 10): "invalid network field",
    (3, 11): "malformed AS_PATH",
    (5, 1): "unexpected message in OpenSent state",
    (5, 2): "unexpected message in OpenConfirm state",
    (5, 3): "unexpected message in Established state",
    (6, 1): "maximum number of prefixes reached",
    (6, 2): "administrative shutdown",
    (6, 3): "peer de-configured",
    (6, 4): "administrative reset",
    (6, 5): "connection rejected",
    (6, 6): "other configuration change",
    (6, 7): "connection collision resolution",
    (6, 8): "out of resources",
    (6, 9): "hard reset",
    (6, 10): "BFD down",
    (7, 1): "invalid message length",
}
