"""Every way of proving who we are, with real plugins, files and providers."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from collectors.kubernetes.answers import ApiError
from collectors.kubernetes.api import ApiSession
from collectors.kubernetes.client import token_end
from collectors.kubernetes.connection import (
    Credential,
    ExecPlugin,
    Renewable,
    TokenFile,
    usable_token,
)
from collectors.kubernetes.kubeconfig import Exec, read_access
from collectors.source import Reason
from tests.api_server import Answer, ApiServer, Json, serving, status
from tests.patience import PATIENCE

T = TypeVar("T")
V1 = "client.authentication.k8s.io/v1"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def soon(awaitable: Awaitable[T]) -> T:
    """What comes before the patience of a loaded machine ends."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as running:
        running.on("/x", Answer("ok"))
        yield running


@asynccontextmanager
async def session_of(config: Path) -> AsyncIterator[ApiSession]:
    session = ApiSession(str(config), poll=0.01)
    try:
        yield session
    finally:
        await session.close()


def plugin(folder: Path, script: str, **settings: Json) -> dict[str, Json]:
    """A user whose credentials come from a shell script; each run leaves a line in `runs`."""
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\necho run >> {shlex.quote(str(folder / 'runs'))}\n{script}\n")
    path.chmod(0o755)
    return {"exec": {"apiVersion": V1, "command": str(path), **settings}}


def runs(folder: Path) -> int:
    path = folder / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def credential(**found: Json) -> str:
    """The shell command that prints an ExecCredential."""
    document = {"apiVersion": V1, "kind": "ExecCredential", "status": found}
    return f"echo {shlex.quote(json.dumps(document))}"


async def denied(config: Path) -> ApiError:
    async with session_of(config) as session:
        with pytest.raises(ApiError) as caught:
            await soon(session.get("/x"))
    assert caught.value.reason is Reason.UNAUTHORIZED
    return caught.value


def sent_tokens(server: ApiServer) -> list[str]:
    return [
        asked.headers.get("Authorization", "").removeprefix("Bearer ") for asked in server.asked
    ]


# --- tokens, passwords, certificates


async def test_a_token_is_sent(server: ApiServer) -> None:
    server.tokens = {"abc"}
    async with session_of(server.kubeconfig({"token": "abc"})) as session:
        assert (await session.get("/x")).body == b'"ok"'


async def test_a_refused_token_is_told_with_the_words_of_the_server(server: ApiServer) -> None:
    server.tokens = set()
    error = await denied(server.kubeconfig({"token": "abc"}))
    assert error.status == 401
    assert "does not accept our credentials: Unauthorized" in error.message
    assert sent_tokens(server) == ["abc"]


async def test_a_token_that_cannot_be_a_header_is_told_and_not_shown(server: ApiServer) -> None:
    error = await denied(server.kubeconfig({"token": "se\ncret"}))
    assert "no usable token" in error.message
    assert "cret" not in error.message


async def test_a_password_is_sent(server: ApiServer) -> None:
    async with session_of(server.kubeconfig({"username": "me", "password": "p"})) as session:
        await session.get("/x")
    expected = base64.b64encode(b"me:p").decode()
    assert server.asked[0].headers["Authorization"] == f"Basic {expected}"


async def test_a_token_file_is_read_again_when_refused(server: ApiServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    server.tokens = {"old"}
    async with session_of(server.kubeconfig({"tokenFile": "token"})) as session:
        await session.get("/x")
        file.write_text("new\n")
        server.tokens = {"new"}
        assert (await session.get("/x")).body == b'"ok"'
    assert sent_tokens(server) == ["old", "old", "new"]


async def test_a_token_file_is_read_again_after_a_while_and_may_vanish(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    often, seldom = TokenFile(str(file), period=0), TokenFile(str(file))
    assert (await often.current()).token == (await seldom.current()).token == "one"
    file.write_text("two")
    assert (await often.current()).token == "two"
    assert (await seldom.current()).token == "one"
    file.unlink()
    assert (await often.current()).token == "two"
    with pytest.raises(ApiError, match="cannot be read: No such file"):
        await often.renewed()


async def test_a_missing_token_file_is_named(server: ApiServer, tmp_path: Path) -> None:
    error = await denied(server.kubeconfig({"tokenFile": "gone"}))
    assert str(tmp_path / "gone") in error.message


@pytest.mark.parametrize("inline", [True, False])
async def test_a_client_certificate_is_shown(
    server: ApiServer, tmp_path: Path, inline: bool
) -> None:
    issued = server.authority.issue_cert("jane@ops", common_name="jane")
    certificate, key = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
    user: dict[str, Json]
    if inline:
        user = {
            "client-certificate-data": base64.b64encode(certificate).decode(),
            "client-key-data": base64.b64encode(key).decode(),
        }
    else:
        (tmp_path / "me.crt").write_bytes(certificate)
        (tmp_path / "me.key").write_bytes(key)
        user = {"client-certificate": "me.crt", "client-key": "me.key"}
    async with session_of(server.kubeconfig(user)) as session:
        await session.get("/x")
    assert "jane" in server.asked[0].client


async def test_a_renewed_certificate_file_is_used(server: ApiServer, tmp_path: Path) -> None:
    def issue(name: str) -> None:
        issued = server.authority.issue_cert(f"{name}@ops", common_name=name)
        (tmp_path / "me.pem").write_bytes(issued.private_key_and_cert_chain_pem.bytes())

    issue("first")
    user: dict[str, Json] = {"client-certificate": "me.pem", "client-key": "me.pem"}
    async with session_of(server.kubeconfig(user)) as session:
        await session.get("/x")
        issue("second-name")
        await session.get("/x")
    assert "first" in server.asked[0].client
    assert "second-name" in server.asked[1].client


async def test_an_old_certificate_serves_out_its_requests_and_is_gone(
    server: ApiServer, tmp_path: Path
) -> None:
    idle: list[asyncio.Transport] = []

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        idle.append(request.transport)
        return web.Response()

    def issue(name: str) -> None:
        issued = server.authority.issue_cert(f"{name}@ops", common_name=name)
        (tmp_path / "me.pem").write_bytes(issued.private_key_and_cert_chain_pem.bytes())

    server.on("/x", note)
    issue("first")
    user: dict[str, Json] = {"client-certificate": "me.pem", "client-key": "me.pem"}
    async with session_of(server.kubeconfig(user)) as session:
        server.tokens = set()
        with pytest.raises(ApiError):
            await session.get("/x")
        server.tokens = None
        async with session.lines("/w", [("watch", "true")]) as lines:
            watch = await soon(server.watch("/w"))
            await session.get("/x")
            issue("second-name")
            await session.get("/x")
            watch.raw(b"still here\n")
            assert await soon(anext(lines)) == b"still here"
            assert not idle[0].is_closing()
        async with asyncio.timeout(PATIENCE):
            while not idle[0].is_closing():  # noqa: ASYNC110 - the other side of a socket
                await asyncio.sleep(0.01)
        assert not idle[1].is_closing()


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"client-certificate": "gone"}, "client-certificate of user 'ops' cannot be read"),
        ({"client-certificate-data": "%%"}, "client-certificate of user 'ops' in the kubeconfig"),
        ({"client-certificate-data": "eA==", "client-key-data": "eA=="}, "cannot be used"),
        (
            {
                "client-certificate-data": "eA==",
                "client-key-data": base64.b64encode(b"BEGIN ENCRYPTED PRIVATE KEY").decode(),
            },
            "is encrypted",
        ),
    ],
)
async def test_unusable_certificates_are_named(
    server: ApiServer, user: dict[str, Json], expected: str
) -> None:
    async with session_of(server.kubeconfig(user)) as session:
        with pytest.raises(ApiError) as caught:
            await session.get("/x")
    assert caught.value.reason is Reason.UNREADABLE
    assert expected in caught.value.message


async def test_an_auth_provider_that_is_gone_is_named(server: ApiServer) -> None:
    error = await denied(server.kubeconfig({"auth-provider": {"name": "gcp"}}))
    assert "'gcp'" in error.message


@given(st.text())
def test_a_token_is_usable_or_refused(text: str) -> None:
    with suppress(ApiError):
        assert usable_token(text, "it").encode("ascii").isascii()


# --- plugins


async def test_a_plugin_gives_a_token_once_for_many(server: ApiServer, tmp_path: Path) -> None:
    server.tokens = {"abc"}
    config = server.kubeconfig(plugin(tmp_path, credential(token="abc")))
    async with session_of(config) as session:
        await soon(asyncio.gather(*[session.get("/x") for _ in range(20)]))
    assert runs(tmp_path) == 1


async def test_a_plugin_is_told_what_it_may_know_and_has_no_terminal(
    server: ApiServer, tmp_path: Path
) -> None:
    script = f"""
cd {shlex.quote(str(tmp_path))}
printf %s "$KUBERNETES_EXEC_INFO" > info; printf '%s|' "$EXTRA" "$@" > said
test -t 0 -o -t 1 -o -t 2 || : > no-terminal
{sys.executable} -c 'import os; print(os.getsid(0) == os.getppid())' > session
{credential(token="abc")}"""
    user = plugin(
        tmp_path,
        script,
        args=["--cluster", "a b"],
        env=[{"name": "EXTRA", "value": "e"}],
        provideClusterInfo=True,
        interactiveMode="IfAvailable",
    )
    extension: Json = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": [1]}}
    config = server.kubeconfig(user, {"extensions": [extension]})
    async with session_of(config) as session:
        await soon(session.get("/x"))
    info = json.loads((tmp_path / "info").read_text())
    assert info["apiVersion"] == V1
    assert info["kind"] == "ExecCredential"
    assert info["spec"]["interactive"] is False
    assert info["spec"]["cluster"]["server"] == server.url
    assert info["spec"]["cluster"]["config"] == {"audience": [1]}
    authority = base64.b64decode(info["spec"]["cluster"]["certificate-authority-data"])
    assert authority == server.authority.cert_pem.bytes()
    assert (tmp_path / "said").read_text() == "e|--cluster|a b|"
    assert (tmp_path / "no-terminal").exists()
    assert (tmp_path / "session").read_text() == "True\n"


async def test_a_plugin_is_not_told_of_the_cluster_unasked(
    server: ApiServer, tmp_path: Path
) -> None:
    script = f'printf %s "$KUBERNETES_EXEC_INFO" > {tmp_path}/info; {credential(token="abc")}'
    async with session_of(server.kubeconfig(plugin(tmp_path, script))) as session:
        await soon(session.get("/x"))
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"] == {"interactive": False}


async def test_a_plugin_gives_a_client_certificate(server: ApiServer, tmp_path: Path) -> None:
    issued = server.authority.issue_cert("jane@ops", common_name="jane")
    found = credential(
        clientCertificateData=issued.cert_chain_pems[0].bytes().decode(),
        clientKeyData=issued.private_key_pem.bytes().decode(),
    )
    script = f"cat <<'EOF'\n{shlex.split(found)[1]}\nEOF"
    async with session_of(server.kubeconfig(plugin(tmp_path, script))) as session:
        await soon(session.get("/x"))
    assert "jane" in server.asked[0].client


async def test_a_refused_token_of_a_plugin_is_renewed_once(
    server: ApiServer, tmp_path: Path
) -> None:
    count = f"$(wc -l < {shlex.quote(str(tmp_path / 'runs'))})"
    script = credential(token="abc-N").replace("abc-N", f"abc-'\"{count}\"'")
    server.tokens = {"abc-2"}
    async with session_of(server.kubeconfig(plugin(tmp_path, script))) as session:
        answers = await soon(asyncio.gather(*[session.get("/x") for _ in range(5)]))
        assert len(answers) == 5
        assert runs(tmp_path) == 2
        server.tokens = set()
        with pytest.raises(ApiError) as caught:
            await soon(session.get("/x"))
        assert caught.value.status == 401
        assert runs(tmp_path) == 2  # renewed a moment ago: not again so soon
        session.try_again()
        server.tokens = {"abc-3"}
        await soon(session.get("/x"))
    assert runs(tmp_path) == 3


async def test_a_token_that_ends_soon_is_replaced_before(server: ApiServer, tmp_path: Path) -> None:
    soon_over = (datetime.now(UTC) + timedelta(seconds=12)).isoformat()
    script = credential(token="abc", expirationTimestamp=soon_over)
    async with session_of(server.kubeconfig(plugin(tmp_path, script))) as session:
        for _ in range(3):
            await soon(session.get("/x"))
    assert runs(tmp_path) == 1


@pytest.mark.parametrize(
    ("seconds", "due"),
    [(3600, 3540), (100, 50), (12, 10), (-100, 10)],
)
def test_a_credential_is_due_a_minute_before_its_end_or_at_half_its_life(
    seconds: int, due: int
) -> None:
    credential = Credential("t", expires=NOW + timedelta(seconds=seconds))
    assert credential.due(NOW) == NOW + timedelta(seconds=due)
    assert Credential("t").due(NOW) is None


async def test_an_expired_credential_is_fetched_again() -> None:
    fetched = 0

    async def fetch() -> Credential:
        nonlocal fetched
        fetched += 1
        return Credential(str(fetched), expires=datetime.now(UTC) - timedelta(days=1))

    source = Renewable(fetch)
    assert (await source.current()).token == "1"
    source._due = datetime.now(UTC)
    assert (await source.current()).token == "2"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("printf 'log in\\n\\033[2J first' >&2; exit 3", "exit code 3: log in \ufffd[2J first"),
        ("exit 1", "exit code 1: it said nothing"),
        ("echo hello", "did not print an ExecCredential"),
        ("echo '{}'", "answered in ''"),
        (credential(), "gave neither a token nor a client certificate"),
        (credential(clientCertificateData="x"), "gave neither a token nor"),
        (credential(token="x").replace("/v1", "/v9"), "answered in"),
        (credential(token="a b\u00e9"), "no usable token"),
        ("printf '\\377'", "did not print an ExecCredential"),
    ],
)
async def test_a_failing_plugin_is_told_with_its_own_words(
    server: ApiServer, tmp_path: Path, script: str, expected: str
) -> None:
    error = await denied(server.kubeconfig(plugin(tmp_path, script)))
    assert "The credential plugin" in error.message
    assert expected in error.message
    assert error.retry_after == pytest.approx(60, abs=2)
    assert server.asked == []  # never as nobody


async def test_a_failing_plugin_is_left_alone_for_longer_each_time(tmp_path: Path) -> None:
    now = 0.0
    document = plugin(tmp_path, "exit 1")["exec"]
    assert isinstance(document, dict)
    access = read_access(str(_bare_kubeconfig(tmp_path)), None, {})
    settings = Exec(command=str(document["command"]), api_version=V1)
    source = ExecPlugin(access, settings, clock=lambda: now)
    waits = []
    for moment in (0.0, 30.0, 61.0, 300.0, 362.0):
        now = moment
        with pytest.raises(ApiError) as caught:
            await source.current()
        waits.append((runs(tmp_path), caught.value.retry_after))
    assert waits == [(1, 60), (1, 30), (2, 300), (2, 61), (3, 300)]
    source.forgive()
    with pytest.raises(ApiError):
        await source.current()
    assert runs(tmp_path) == 4
    now = 10_000.0  # long after the last failure, the next is a first one again
    with pytest.raises(ApiError) as caught:
        await source.current()
    assert caught.value.retry_after == 60


async def test_a_plugin_that_hangs_is_ended(tmp_path: Path) -> None:
    document = plugin(tmp_path, "sleep 60")["exec"]
    assert isinstance(document, dict)
    access = read_access(str(_bare_kubeconfig(tmp_path)), None, {})
    settings = Exec(command=str(document["command"]), api_version=V1)
    source = ExecPlugin(access, settings, timeout=0.2)
    with pytest.raises(ApiError, match=r"gave no answer: .* had not ended after 0\.2 s"):
        await soon(source.current())


async def test_a_missing_plugin_is_named_with_its_hint(server: ApiServer) -> None:
    missing: Json = {
        "apiVersion": V1,
        "command": "no-such-plugin",
        "installHint": "get it from\nthe portal\x1b[0m",
    }
    error = await denied(server.kubeconfig({"exec": missing}))
    assert "no-such-plugin is not installed" in error.message
    assert error.message.endswith("get it from the portal\ufffd[0m")


async def test_a_plugin_that_must_ask_is_explained(server: ApiServer, tmp_path: Path) -> None:
    user = plugin(tmp_path, credential(token="x"), interactiveMode="Always")
    error = await denied(server.kubeconfig(user))
    assert "run any kubectl command once" in error.message
    assert runs(tmp_path) == 0


async def test_a_plugin_of_an_unknown_version_is_named(server: ApiServer, tmp_path: Path) -> None:
    user = plugin(tmp_path, credential(token="x"), apiVersion="client.authentication.k8s.io/v0")
    error = await denied(server.kubeconfig(user))
    assert "client.authentication.k8s.io/v0" in error.message


async def test_a_relative_plugin_starts_at_the_kubeconfig(
    server: ApiServer, tmp_path: Path
) -> None:
    user = plugin(tmp_path, credential(token="x"), command=f".{os.sep}plugin")
    async with session_of(server.kubeconfig(user)) as session:
        await soon(session.get("/x"))
    assert sent_tokens(server) == ["x"]


def _bare_kubeconfig(folder: Path) -> Path:
    path = folder / "bare"
    path.write_text(
        "{current-context: a, contexts: [{name: a, context: {cluster: a}}],"
        " clusters: [{name: a, cluster: {server: 'https://a'}}]}"
    )
    return path


# --- OpenID Connect


def id_token(subject: str, end: float | None) -> str:
    """A token that ends at a time (seconds since 1970), signed by nobody."""
    claims = {"sub": subject} if end is None else {"sub": subject, "exp": end}
    parts = (json.dumps({"alg": "none"}).encode(), json.dumps(claims).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def oidc(server: ApiServer, **config: str) -> dict[str, Json]:
    authority = base64.b64encode(server.authority.cert_pem.bytes()).decode()
    described: dict[str, Json] = {
        "idp-issuer-url": f"{server.url}/idp/",
        "idp-certificate-authority-data": authority,
        "client-id": "kubectl",
        **config,
    }
    return {"auth-provider": {"name": "oidc", "config": described}}


async def test_an_id_token_is_sent_while_it_lasts(server: ApiServer) -> None:
    token = id_token("jane", time.time() + 3600)
    server.tokens = {token}
    config = server.kubeconfig(oidc(server, **{"id-token": token}))
    async with session_of(config) as session:
        await soon(session.get("/x"))


async def test_an_ended_id_token_without_refresh_token_asks_to_log_in(server: ApiServer) -> None:
    token = id_token("jane", time.time() - 1)
    error = await denied(server.kubeconfig(oidc(server, **{"id-token": token})))
    assert "cannot refresh it without refresh-token: log in again" in error.message


async def test_an_ended_id_token_is_refreshed_with_the_provider(
    server: ApiServer, tmp_path: Path
) -> None:
    forms: list[dict[str, object]] = []
    fresh = [id_token("jane", time.time() + 3600), id_token("jane", time.time() + 7200)]

    async def give(request: web.Request) -> web.StreamResponse:
        forms.append(dict(await request.post()))
        tokens = {"id_token": fresh[len(forms) - 1], "refresh_token": f"r{len(forms)}"}
        return web.json_response(tokens)

    (tmp_path / "idp").mkdir()
    async with serving(tmp_path / "idp") as provider:
        provider.on(
            "/idp/.well-known/openid-configuration",
            Answer({"token_endpoint": f"{provider.url}/token"}),
        )
        provider.on("/token", give)
        ended = {"id-token": id_token("jane", time.time() - 1), "refresh-token": "r0"}
        user = oidc(provider, **ended, **{"client-secret": "s"})
        server.tokens = {fresh[0]}
        config = server.kubeconfig(user)
        written = config.read_text()
        async with session_of(config) as session:
            await soon(session.get("/x"))
            await soon(session.get("/x"))
            server.tokens = {fresh[1]}
            await soon(session.get("/x"))
    assert forms == [
        {
            "grant_type": "refresh_token",
            "refresh_token": old,
            "client_id": "kubectl",
            "client_secret": "s",
        }
        for old in ("r0", "r1")
    ]
    assert config.read_text() == written


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer({"error": "invalid_grant"}, 400), "invalid_grant"),
        (status(500, "broken"), "(HTTP 500): broken; log in again"),
        (Answer(b"<html>"), "cannot read the answer"),
        (Answer({}), "got no id_token"),
    ],
)
async def test_what_a_provider_refuses_is_told(
    server: ApiServer, answer: Answer, expected: str
) -> None:
    discovery = "/idp/.well-known/openid-configuration"
    server.on(discovery, Answer({"token_endpoint": f"{server.url}/token"}))
    server.on("/token", answer)
    error = await denied(server.kubeconfig(oidc(server, **{"refresh-token": "r"})))
    assert expected in error.message


async def test_the_provider_is_verified(server: ApiServer) -> None:
    user = oidc(server, **{"refresh-token": "r", "idp-certificate-authority-data": ""})
    error = await denied(server.kubeconfig(user))
    assert "is not trusted (TLS)" in error.message


async def test_a_provider_without_tls_gets_no_token(server: ApiServer) -> None:
    user = oidc(server, **{"refresh-token": "r", "idp-issuer-url": "http://127.0.0.1:1"})
    error = await denied(server.kubeconfig(user))
    assert "it is not https" in error.message


async def test_a_provider_that_is_gone_is_named(server: ApiServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    user = oidc(server, **{"refresh-token": "r", "idp-issuer-url": f"https://127.0.0.1:{port}"})
    error = await denied(server.kubeconfig(user))
    assert "refuses the connection" in error.message


@pytest.mark.parametrize(
    ("claims", "expected"),
    [(b'{"exp": 1}', datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)), (b"{}", None), (b"x", None)],
)
def test_the_end_of_a_token_is_read(claims: bytes, expected: datetime | None) -> None:
    body = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    assert token_end(f"a.{body}.c") == expected


@given(st.text() | st.text("ab._-=eyJ", max_size=20) | st.floats().map(lambda x: id_token("a", x)))
def test_the_end_of_any_token_is_a_time_or_unknown(token: str) -> None:
    end = token_end(token)
    assert end is None or end.tzinfo is UTC
