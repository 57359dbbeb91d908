"""One object as YAML, over TLS from a server: pruned, printable, and never a Secret."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from collectors.kubernetes.api import ApiSession
from collectors.kubernetes.objects import KINDS, as_yaml, read_object
from collectors.sanitize import printable
from collectors.source import ReadError
from tests.api_server import Answer, ApiServer, serving, status

GRAFANA = "/api/v1/namespaces/home/services/grafana"
POOL = "/apis/cilium.io/{}/ciliumloadbalancerippools/bgp"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as served:
        yield served


@pytest.fixture
async def session(server: ApiServer) -> AsyncIterator[ApiSession]:
    opened = ApiSession(str(server.kubeconfig()))
    yield opened
    await opened.close()


def service(**annotations: str) -> Answer:
    return Answer(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "grafana",
                "namespace": "home",
                "managedFields": [{"manager": "kubectl"}],
                "annotations": dict(annotations),
            },
            "spec": {"type": "LoadBalancer"},
        }
    )


async def test_an_object_is_told_as_yaml_without_what_repeats_it(
    server: ApiServer, session: ApiSession
) -> None:
    server.on(
        GRAFANA,
        service(**{"kubectl.kubernetes.io/last-applied-configuration": "{}", "io/kept": "yes"}),
    )
    text = await read_object(session, "Service", "home", "grafana")
    assert yaml.safe_load(text) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "grafana",
            "namespace": "home",
            "annotations": {"io/kept": "yes"},
        },
        "spec": {"type": "LoadBalancer"},
    }
    assert text.startswith("apiVersion: v1\nkind: Service\n")


async def test_the_older_version_is_asked_where_the_newer_is_not_served(
    server: ApiServer, session: ApiSession
) -> None:
    server.on(POOL.format("v2alpha1"), Answer({"kind": "CiliumLoadBalancerIPPool", "spec": {}}))
    text = await read_object(session, "CiliumLoadBalancerIPPool", "", "bgp")
    assert "CiliumLoadBalancerIPPool" in text
    assert server.asked_for(POOL.format("v2"))


@pytest.mark.parametrize("kind", ["Secret", "secrets", "SECRET"])
async def test_a_secret_is_refused_before_anything_is_asked(
    server: ApiServer, session: ApiSession, kind: str
) -> None:
    with pytest.raises(ReadError, match="Secrets are never read"):
        await read_object(session, kind, "home", "password")
    assert server.asked == []


def test_a_secret_that_comes_unasked_is_not_told() -> None:
    with pytest.raises(ReadError, match="never read"):
        as_yaml(b'{"kind": "Secret", "data": {"p": "cGFzcw=="}}')
    assert not any("secret" in kind.lower() for kind in KINDS)


async def test_what_is_forbidden_or_gone_is_one_sentence(
    server: ApiServer, session: ApiSession
) -> None:
    server.on(GRAFANA, status(403, 'services "grafana" is forbidden'))
    with pytest.raises(ReadError, match="is forbidden"):
        await read_object(session, "Service", "home", "grafana")
    with pytest.raises(ReadError, match="does not serve"):
        await read_object(session, "Pod", "kube-system", "gone")


@pytest.mark.parametrize("name", ["../secrets/x", "a/b", "a?x=1", "..", "", "a b", "\x1b[2J"])
async def test_a_name_that_would_lead_elsewhere_is_refused(
    server: ApiServer, session: ApiSession, name: str
) -> None:
    with pytest.raises(ReadError, match="is no name"):
        await read_object(session, "Service", "home", name)
    assert server.asked == []


async def test_nothing_but_get_is_sent(server: ApiServer, session: ApiSession) -> None:
    methods: list[str] = []
    server.on(GRAFANA, lambda request: _noted(request.method, methods))
    await read_object(session, "Service", "home", "grafana")
    assert methods == ["GET"]


async def _noted(method: str, methods: list[str]) -> web.StreamResponse:
    methods.append(method)
    return service().response()


@given(st.dictionaries(st.text(), st.text()))
def test_whatever_stands_in_it_is_printable(values: dict[str, str]) -> None:
    body = json.dumps({"kind": "ConfigMap", "data": values}).encode("utf-8", "surrogatepass")
    text = as_yaml(body)
    assert text == printable(text)
    assert "\x1b" not in text
