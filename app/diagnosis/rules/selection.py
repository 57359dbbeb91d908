"""What to change so that an advertisement selects a service (CS505), by what is missing in each.

It says the same as the finding on the advertisement itself that may be its root: an entry without a
selector (CS313) or without `LoadBalancerIP` (CS314) is mended there, and no label would help.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.model.desired_peerings import LOAD_BALANCER_IP, SelectedAdvertisement
from app.model.finding import Ref
from app.model.near_misses import misses
from app.model.selectors import service_labels
from collectors.kubernetes.records import Service

Carried = Sequence[tuple[Ref, SelectedAdvertisement]]
"""The entries for services that a peer carries, each with the object it stands in."""


def selection_remedy(service: Service, carried: Carried, version: int) -> str:
    """What to change, the smallest change first; `version` is of the address."""
    if not carried:
        return (
            f"Let the family ipv{version}/unicast of the peer's CiliumBGPPeerConfig select a "
            "CiliumBGPAdvertisement with an entry of type Service (spec.families[].advertisements)"
        )
    bare = [each for each in carried if each[1].selector is None]
    selecting = [each for each in carried if each not in bare and _selects(each[1], service)]
    others = [each for each in carried if each not in bare and each not in selecting]
    if selecting:
        ref, entry = selecting[0]
        return (
            f"Add {LOAD_BALANCER_IP} to {_addresses(ref, entry)} of {ref}; it selects the service"
        )
    if not others:
        ref, entry = bare[0]
        return f"Add {_selector(ref, entry)} to {ref}: without one no label of the service helps"
    ref, entry = others[0]
    added = f"; or add {_selector(*bare[0])} to {bare[0][0]}, which has none" if bare else ""
    return (
        "Give the service a label that an advertisement selects, or widen "
        f"{_selector(ref, entry)} of {ref}{added}"
    )


def _selects(entry: SelectedAdvertisement, service: Service) -> bool:
    selector, labels = entry.selector, service_labels(service)
    return selector is not None and not misses(selector, labels, service.metadata.annotations)


def _selector(ref: Ref, entry: SelectedAdvertisement) -> str:
    if ref.kind == "CiliumBGPPeeringPolicy":
        return f"spec.virtualRouters[{entry.index}].serviceSelector"
    return f"spec.advertisements[{entry.index}].selector"


def _addresses(ref: Ref, entry: SelectedAdvertisement) -> str:
    if ref.kind == "CiliumBGPPeeringPolicy":
        return f"spec.virtualRouters[{entry.index}].serviceAdvertisements"
    return f"spec.advertisements[{entry.index}].service.addresses"
