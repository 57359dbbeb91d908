"""The peers that the objects configure for an instance, resolved to settings.

BGPv2: CiliumBGPNodeConfig and CiliumBGPPeerConfig (`pkg/bgp/manager/reconciler/neighbor.go` of
Cilium); BGPv1: the neighbours of a virtual router (`pkg/bgpv1` up to 1.18).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.lab.fields import integer, mapping, objects, text, truth
from app.lab.plane import PEER_CONFIGS, SECRETS, Plane
from app.lab.sessions import PeerSettings
from app.lab.store import JsonObject


class MissingPasswordKey(Exception):
    """An auth secret without the key `password`: no peer of the instance is configured."""


def peers_of(
    plane: Plane, asn: int, spec: JsonObject, legacy: bool, warn: Callable[[str], None]
) -> Iterator[PeerSettings]:
    """The peers of a BGPv2 instance, or of a BGPv1 virtual router (`legacy`).

    A peer whose configuration does not exist is left out, as by Cilium; `warn` is told of a
    missing Secret. Raises MissingPasswordKey.
    """
    if legacy:
        for neighbor in objects(spec, "neighbors"):
            yield _legacy_peer(plane, asn, neighbor, warn)
        return
    for peer in objects(spec, "peers"):
        config = plane.get(PEER_CONFIGS, text(peer, "peerConfigRef", "name"))
        if config is not None and text(peer, "peerAddress"):
            yield _peer(plane, asn, peer, mapping(config, "spec"))


def _legacy_peer(
    plane: Plane, asn: int, neighbor: JsonObject, warn: Callable[[str], None]
) -> PeerSettings:
    restart = mapping(neighbor, "gracefulRestart")
    address = text(neighbor, "peerAddress").partition("/")[0]
    listed = objects(neighbor, "families")
    families = tuple(text(f, "afi") for f in listed) if listed else ("ipv4", "ipv6")
    return PeerSettings(
        name=address,
        address=address,
        asn=integer(neighbor, "peerASN"),
        local_asn=asn,
        port=integer(neighbor, "peerPort", default=179),
        hold=integer(neighbor, "holdTimeSeconds", default=90),
        keepalive=integer(neighbor, "keepAliveTimeSeconds", default=30),
        retry=integer(neighbor, "connectRetryTimeSeconds", default=120),
        multihop=integer(neighbor, "eBGPMultihopTTL", default=1),
        restart=_restart(restart),
        families=families,
        password=_password(plane, text(neighbor, "authSecretRef"), warn),
    )


def _peer(plane: Plane, asn: int, peer: JsonObject, config: JsonObject) -> PeerSettings:
    timers = mapping(config, "timers")
    listed = [text(family, "afi") for family in objects(config, "families")]
    return PeerSettings(
        name=text(peer, "name"),
        address=text(peer, "peerAddress"),
        asn=integer(peer, "peerASN"),
        local_asn=asn,
        port=integer(config, "transport", "peerPort", default=179),
        hold=integer(timers, "holdTimeSeconds", default=90),
        keepalive=integer(timers, "keepAliveTimeSeconds", default=30),
        retry=integer(timers, "connectRetryTimeSeconds", default=120),
        multihop=integer(config, "ebgpMultihop", default=1),
        restart=_restart(mapping(config, "gracefulRestart")),
        families=tuple(listed) if listed else ("ipv6", "ipv4"),
        password=_password(plane, text(config, "authSecretRef"), None),
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


def _restart(settings: JsonObject) -> int | None:
    if not truth(settings, "enabled"):
        return None
    return integer(settings, "restartTimeSeconds", default=120)
