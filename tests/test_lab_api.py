"""The lab's Kubernetes API, as a client sees it over TLS."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from app.lab.store import Cluster, JsonObject
from tests.lab_serving import (
    NOON,
    SERVICES,
    Served,
    service,
    serving,
    small_cluster,
)

V1 = "/api/v1"
HOME = "/api/v1/namespaces/home/services"
SYSTEM = "/api/v1/namespaces/kube-system/pods"
POOL_LIST = "/apis/cilium.io/v2/ciliumloadbalancerippools"


@pytest.fixture
def cluster() -> Cluster:
    return small_cluster()


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Served]:
    async with serving(cluster) as served:
        yield served


def version_of(body: JsonObject) -> str:
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["resourceVersion"])


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic YTpi", "Bearer \u00fc"])
async def test_without_the_token_everything_is_unauthorized(
    api: Served, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    connector = aiohttp.TCPConnector(ssl=False)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as stranger,
        stranger.get(f"{api.url}/version") as response,
    ):
        assert response.status == 401
        assert await response.json() == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Unauthorized",
            "reason": "Unauthorized",
            "code": 401,
        }


async def test_every_answer_tells_the_time_of_the_cluster(api: Served) -> None:
    for path in ("/version", "/livez", f"{V1}/pods", f"{SYSTEM}/nobody", "/nowhere"):
        _, _, headers = await api.raw(path)
        assert parsedate_to_datetime(headers["Date"]) == NOON


async def test_version_and_health(api: Served) -> None:
    assert (await api.get("/version"))[1]["gitVersion"] == "v1.36.2"
    for path in ("/livez", "/readyz", "/healthz"):
        assert (await api.raw(path))[:2] == (200, b"ok")


async def test_discovery_leads_from_the_groups_to_the_kinds(api: Served) -> None:
    assert (await api.get("/api"))[1]["versions"] == ["v1"]
    _, groups = await api.get("/apis")
    listed = groups["groups"]
    assert isinstance(listed, list)
    cilium = next(group for group in listed if group["name"] == "cilium.io")
    assert [v["version"] for v in cilium["versions"]] == ["v2", "v2alpha1"]
    assert cilium["preferredVersion"]["version"] == "v2"
    assert (await api.get("/apis/cilium.io"))[1] == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        **cilium,
    }
    _, kinds = await api.get("/apis/cilium.io/v2alpha1")
    entries = kinds["resources"]
    assert isinstance(entries, list)
    pools = next(e for e in entries if e["name"] == "ciliumloadbalancerippools")
    assert pools["shortNames"] == ["ippools", "ippool", "lbippool", "lbippools"]
    assert pools["verbs"] == ["get", "list", "watch"]
    assert not pools["namespaced"]


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/api/v2/pods",
        "/apis/cilium.io/v1/ciliumnodes",
        "/apis/cilium.io/v2/ciliumsomethings",
        "/apis/cilium.io/v2/namespaces/home/ciliumnodes",
        "/api/v1/pods/grafana",
        "/api/v1/namespaces/home/services/grafana/proxy",
        "/api/v1/namespaces//pods",
    ],
)
async def test_an_unknown_path_is_not_found_in_plain_text(api: Served, path: str) -> None:
    assert (await api.raw(path))[:2] == (404, b"404 page not found\n")


async def test_a_list_holds_a_namespace_or_all_of_them(api: Served, cluster: Cluster) -> None:
    cluster.store.put(SERVICES, service("elsewhere", namespace="media"))
    status, body = await api.get(f"{V1}/services")
    assert (status, body["kind"], body["apiVersion"]) == (200, "ServiceList", "v1")
    assert version_of(body) == str(cluster.store.version)
    assert len(await api.names(f"{V1}/services")) == 4
    assert await api.names(HOME) == ["grafana", "mosquitto", "plex"]
    assert await api.names("/api/v1/namespaces/nobody/services") == []


async def test_an_object_has_its_kind_and_an_unknown_name_is_not_found(api: Served) -> None:
    status, body = await api.get(f"{HOME}/grafana")
    assert (status, body["kind"], body["apiVersion"]) == (200, "Service", "v1")
    status, body = await api.get(f"{HOME}/grafena")
    assert (status, body["reason"]) == (404, "NotFound")
    assert body["message"] == 'services "grafena" not found'
    assert body["details"] == {"name": "grafena", "kind": "services"}
    _, body = await api.get(f"{POOL_LIST}/nobody")
    assert body["message"] == 'ciliumloadbalancerippools.cilium.io "nobody" not found'


@pytest.mark.parametrize("version", ["v2", "v2alpha1"])
async def test_a_kind_is_served_in_each_of_its_versions(api: Served, version: str) -> None:
    path = f"/apis/cilium.io/{version}/ciliumloadbalancerippools"
    _, body = await api.get(path)
    assert body["apiVersion"] == f"cilium.io/{version}"
    items = body["items"]
    assert isinstance(items, list)
    assert items[0]["apiVersion"] == f"cilium.io/{version}"
    _, alone = await api.get(f"{path}/bgp-default")
    assert alone == items[0]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("k8s-app=cilium", ["cilium-a", "cilium-b"]),
        ("k8s-app==cilium", ["cilium-a", "cilium-b"]),
        ("k8s-app!=cilium", ["coredns"]),
        ("k8s-app in (kube-dns, other)", ["coredns"]),
        ("k8s-app notin (kube-dns)", ["cilium-a", "cilium-b"]),
        ("k8s-app", ["cilium-a", "cilium-b", "coredns"]),
        ("!k8s-app", []),
        ("tier!=x", ["cilium-a", "cilium-b", "coredns"]),
        ("k8s-app=cilium,k8s-app=kube-dns", []),
    ],
)
async def test_label_selectors(api: Served, selector: str, expected: list[str]) -> None:
    assert await api.names(f"{V1}/pods", labelSelector=selector) == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("spec.nodeName=node-1", ["cilium-a", "coredns"]),
        ("spec.nodeName=node-1,status.phase!=Pending", ["cilium-a"]),
        ("metadata.name==cilium-b", ["cilium-b"]),
        ("metadata.namespace!=kube-system", []),
        ("status.podIP=", ["cilium-a", "cilium-b", "coredns"]),
    ],
)
async def test_field_selectors(api: Served, selector: str, expected: list[str]) -> None:
    assert await api.names(f"{V1}/pods", fieldSelector=selector) == expected


async def test_events_are_selected_by_what_they_are_about(api: Served, cluster: Cluster) -> None:
    event: JsonObject = {
        "metadata": {"name": "e1", "namespace": "home"},
        "involvedObject": {"kind": "Service", "name": "grafana"},
        "source": {"component": "cilium"},
        "type": "Warning",
    }
    cluster.store.put(("", "events"), event)
    path = "/api/v1/namespaces/home/events"
    wanted = "involvedObject.name=grafana,involvedObject.kind=Service,type=Warning,source=cilium"
    assert await api.names(path, fieldSelector=wanted) == ["e1"]
    assert await api.names(path, fieldSelector="type=Normal") == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"labelSelector": "a=b=c"}, "found '=', expected: ','"),
        ({"labelSelector": "a in (b"}, "expected: ','"),
        ({"labelSelector": "-x"}, "invalid label key"),
        ({"fieldSelector": "spec.clusterIP=1"}, "field label not supported: spec.clusterIP"),
        ({"fieldSelector": "status.phase"}, "can't understand 'status.phase'"),
        ({"limit": "many"}, 'parsing "many"'),
        ({"continue": "!"}, "continue key is not valid"),
        ({"resourceVersion": "x"}, 'Invalid value: "x"'),
    ],
)
async def test_a_query_that_makes_no_sense_is_a_bad_request(
    api: Served, query: dict[str, str], words: str
) -> None:
    status, body = await api.get(f"{V1}/pods", **query)
    assert (status, body["reason"]) == (400, "BadRequest")
    assert words in str(body["message"])


async def test_pages_make_one_moment_of_the_cluster(api: Served, cluster: Cluster) -> None:
    _, first = await api.get(HOME, limit="2")
    metadata = first["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["remainingItemCount"] == 1
    cluster.store.put(SERVICES, service("zigbee"))
    cluster.store.delete(SERVICES, "home", "plex")
    _, second = await api.get(HOME, **{"limit": "2", "continue": metadata["continue"]})
    items = second["items"]
    assert isinstance(items, list)
    assert [item["metadata"]["name"] for item in items] == ["plex"]
    assert version_of(second) == version_of(first)
    assert await api.names(HOME) == ["grafana", "mosquitto", "zigbee"]


async def test_a_page_of_a_forgotten_moment_is_expired(api: Served, cluster: Cluster) -> None:
    _, first = await api.get(HOME, limit="1")
    metadata = first["metadata"]
    assert isinstance(metadata, dict)
    cluster.store.put(SERVICES, service("zigbee"))
    cluster.store.compact()
    status, body = await api.get(HOME, **{"limit": "1", "continue": metadata["continue"]})
    assert (status, body["reason"]) == (410, "Expired")


async def test_a_version_from_the_future_is_too_large(api: Served) -> None:
    for query in ({}, {"watch": "1"}):
        status, body = await api.get(HOME, resourceVersion="999999", **query)
        assert status == 504
        assert str(body["message"]).startswith("Too large resource version: 999999")


async def test_a_table_has_the_columns_and_ages_kubectl_shows(
    cluster: Cluster, api: Served
) -> None:
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    async with api.session.get(api.url + HOME, headers=headers) as response:
        body = await response.json()
    names = [column["name"] for column in body["columnDefinitions"]]
    assert names == ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"]
    assert body["rows"][0]["cells"] == [
        "grafana",
        "LoadBalancer",
        "10.0.0.1",
        "<pending>",
        "80/TCP",
        "0s",
    ]
    assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
async def test_nothing_can_be_changed(api: Served, cluster: Cluster, method: str) -> None:
    version = cluster.store.version
    async with api.session.request(method, f"{api.url}{HOME}/grafana", json={}) as response:
        body = await response.json()
    assert (response.status, body["reason"]) == (405, "MethodNotAllowed")
    assert cluster.store.version == version


FORBIDDEN = frozenset({"/api/v1/services", f"{SYSTEM}", "/api/v1/pods/log"})


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        (
            f"{V1}/services",
            {},
            'services is forbidden: User "lab" cannot list resource "services" '
            'in API group "" at the cluster scope',
        ),
        (
            f"{HOME}/grafana",
            {},
            'services "grafana" is forbidden: User "lab" cannot get resource "services" '
            'in API group "" in the namespace "home"',
        ),
        (
            SYSTEM,
            {"watch": "true"},
            'pods is forbidden: User "lab" cannot watch resource "pods" '
            'in API group "" in the namespace "kube-system"',
        ),
        (
            f"{SYSTEM}/cilium-a/log",
            {},
            'pods "cilium-a" is forbidden: User "lab" cannot get resource "pods/log" '
            'in API group "" in the namespace "kube-system"',
        ),
    ],
)
async def test_what_is_forbidden_says_who_may_not_do_what(
    path: str, query: dict[str, str], message: str
) -> None:
    async with serving(small_cluster(forbidden=FORBIDDEN)) as api:
        status, body = await api.get(path, **query)
        assert (status, body["reason"], body["message"]) == (403, "Forbidden", message)
        assert len(await api.names(f"{V1}/pods")) == 3


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({"verb": "list", "resource": "pods"}, True),
        ({"verb": "list", "resource": "pods", "namespace": "kube-system"}, False),
        ({"verb": "get", "resource": "pods", "subresource": "log", "namespace": "home"}, False),
        ({"verb": "create", "resource": "pods", "subresource": "exec"}, True),
        ({"verb": "create", "resource": "pods"}, False),
        ({"verb": "delete", "group": "cilium.io", "resource": "ciliumnodes"}, False),
        ({"verb": "watch", "resource": "services", "namespace": "home"}, False),
        ({"verb": "list", "group": "cilium.io", "resource": "ciliumnodes"}, True),
    ],
)
async def test_an_access_review_agrees_with_what_is_forbidden(
    attributes: dict[str, str], allowed: bool
) -> None:
    review = {"spec": {"resourceAttributes": attributes}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    async with (
        serving(small_cluster(forbidden=FORBIDDEN)) as api,
        api.session.post(api.url + path, json=review) as response,
    ):
        body = await response.json()
    assert response.status == 201
    assert body["status"] == {"allowed": allowed}
    assert body["spec"]["resourceAttributes"] == attributes


async def test_the_cilium_command_is_answered_to_its_stand_in(api: Served) -> None:
    argv = {"argv": ["bgp", "peers"]}
    async with api.session.post(f"{api.url}/lab/cilium", json=argv) as response:
        body = await response.json()
    assert base64.b64decode(body["stdout"]) == b"bgp peers"
    assert base64.b64decode(body["stderr"]) == b"warning\n"
    assert (body["exit"], body["seconds"]) == (3, 0.0)


async def test_a_command_that_cannot_be_read_is_a_bad_request(api: Served) -> None:
    async with api.session.post(f"{api.url}/lab/cilium", data=b"\xff") as response:
        assert response.status == 400
