"""When two services may share an address, and what keeps them apart."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.service_requests import (
    IPS,
    SHARING_KEY,
    SHARING_NAMESPACES,
    obstacle,
    permitted_namespaces,
    request_of,
    sharing_key,
)
from collectors.kubernetes.records import Metadata, Service, ServicePort, ServiceSpec


def service(
    name: str,
    *,
    namespace: str = "home",
    key: str = "k",
    permits: str = "",
    ports: tuple[tuple[int, str], ...] = ((80, "TCP"),),
    policy: str = "Cluster",
    selector: dict[str, str] | None = None,
) -> Service:
    """A service that asks to share."""
    annotations = {SHARING_KEY[0]: key} if key else {}
    if permits:
        annotations[SHARING_NAMESPACES[0]] = permits
    return Service(
        metadata=Metadata(name=name, namespace=namespace, annotations=annotations),
        spec=ServiceSpec(
            type="LoadBalancer",
            external_traffic_policy=policy,
            selector=selector or {},
            ports=tuple(ServicePort(port=port, protocol=protocol) for port, protocol in ports),
        ),
    )


A = service("a")
B = service("b", ports=((443, "TCP"),))


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        (A, B, None),
        (A, service("b", key="x", ports=((443, "TCP"),)), "metadata.annotations"),
        (A, service("b", key="", ports=((443, "TCP"),)), "metadata.annotations"),
        (service("a", key=""), service("b", key=""), "metadata.annotations"),
        (A, service("b"), "spec.ports"),
        (A, service("b", ports=((80, "UDP"),)), None),
        (A, service("b", ports=((443, "TCP"), (80, "TCP"))), "spec.ports"),
        (A, service("b", policy="Local", ports=((443, "TCP"),)), "spec.externalTrafficPolicy"),
        (A, service("b", policy="", ports=((443, "TCP"),)), None),
    ],
)
def test_two_services_of_a_namespace(one: Service, other: Service, field: str | None) -> None:
    found = obstacle(one, other)
    assert (found is None) == (field is None)
    if found is not None and field is not None:
        assert found.field.startswith(field)
        assert one.key in found.reason
        assert other.key in found.reason
        assert found.remedy


@pytest.mark.parametrize(
    ("mine", "theirs", "shares"),
    [
        ("web", "home", True),
        ("*", "*", True),
        ("media,web", "*", True),
        ("", "", False),
        ("web", "", False),
        ("", "home", False),
        ("media, web", "home", False),
    ],
)
def test_namespaces_must_permit_each_other(mine: str, theirs: str, shares: bool) -> None:
    one = service("a", permits=mine)
    other = service("b", namespace="web", permits=theirs, ports=((443, "TCP"),))
    assert (obstacle(one, other) is None) is shares
    assert (obstacle(other, one) is None) is shares


def test_a_space_in_the_list_of_namespaces_is_named() -> None:
    one = service("a", permits="media, web")
    other = service("b", namespace="web", permits="home", ports=((443, "TCP"),))
    found = obstacle(one, other)
    assert found is not None
    assert "space" in found.reason
    assert permitted_namespaces(one) == ("media", " web")


@pytest.mark.parametrize(
    ("mine", "theirs", "shares"),
    [
        ({"app": "x"}, {"app": "x"}, True),
        ({"app": "x"}, {"app": "y"}, False),
        ({}, {}, False),
    ],
)
def test_local_services_must_select_the_same_pods(
    mine: dict[str, str], theirs: dict[str, str], shares: bool
) -> None:
    one = service("a", policy="Local", selector=mine)
    other = service("b", policy="Local", selector=theirs, ports=((443, "TCP"),))
    assert (obstacle(one, other) is None) is shares


def _asking(spec_ip: str = "", **annotations: str) -> Service:
    metadata = Metadata(name="x", namespace="home", annotations=annotations)
    return Service(metadata=metadata, spec=ServiceSpec(load_balancer_ip=spec_ip))


def test_addresses_are_asked_for_in_three_places() -> None:
    for asking, place in (
        (_asking("10.0.0.1"), "spec.loadBalancerIP"),
        (_asking(**{IPS[0]: "10.0.0.1"}), f"metadata.annotations[{IPS[0]}]"),
        (_asking(**{IPS[1]: " 10.0.0.1 "}), f"metadata.annotations[{IPS[1]}]"),
    ):
        found = request_of(asking)
        assert found.addresses == (ip_address("10.0.0.1"),)
        assert found.place == place
        assert found.unreadable == ()
    both = request_of(_asking("10.0.0.1", **{IPS[0]: "fd00::1,10.0.0.1, ten"}))
    assert both.addresses == (ip_address("10.0.0.1"), ip_address("fd00::1"))
    assert both.unreadable == ("ten",)
    assert both.place == f"spec.loadBalancerIP and metadata.annotations[{IPS[0]}]"
    assert request_of(_asking()).place == ""


def test_the_newer_annotation_counts() -> None:
    asking = _asking(**{SHARING_KEY[0]: "new", SHARING_KEY[1]: "old"})
    assert sharing_key(asking) == "new"
    assert sharing_key(_asking(**{SHARING_KEY[1]: "old"})) == "old"
    assert sharing_key(_asking()) == ""


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_asks_for_addresses_or_is_unreadable(spec_ip: str, listed: str) -> None:
    asking = _asking(spec_ip, **{IPS[0]: listed})
    found = request_of(asking)
    asked = [word for word in (spec_ip, *map(str.strip, listed.split(","))) if word]
    assert len(found.addresses) + len(found.unreadable) <= len(asked)
    assert bool(asked) == bool(found.addresses or found.unreadable)


@given(
    st.sampled_from(
        [A, B, service("c", policy="Local", selector={"a": "b"}), service("d", key="")]
    ),
    st.sampled_from([A, B, service("e", namespace="web", permits="*")]),
)
def test_sharing_is_mutual(one: Service, other: Service) -> None:
    renamed = msgspec.structs.replace(
        other, metadata=msgspec.structs.replace(other.metadata, name="other")
    )
    assert (obstacle(one, renamed) is None) == (obstacle(renamed, one) is None)
