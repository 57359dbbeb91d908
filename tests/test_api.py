"""One session: what comes back, what is sent, and what every failure is called."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
import trustme
import yaml
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from collectors.kubernetes.answers import MAX_MESSAGE, ApiError, refusal, seconds_to_wait
from collectors.kubernetes.api import ApiSession, split_lines
from collectors.kubernetes.connection import proxy_for
from collectors.sanitize import one_line
from collectors.source import Reason
from tests.api_server import Answer, ApiServer, Json, serving, status
from tests.patience import PATIENCE

T = TypeVar("T")


async def soon(awaitable: Awaitable[T]) -> T:
    """What comes before the patience of a loaded machine ends."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving(tmp_path) as running:
        yield running


@asynccontextmanager
async def session_of(config: Path, connect_timeout: float = 30) -> AsyncIterator[ApiSession]:
    session = ApiSession(str(config), connect_timeout=connect_timeout, poll=0.01)
    try:
        yield session
    finally:
        await session.close()


async def failure(
    config: Path, path: str = "/x", timeout: float = 30, connect_timeout: float = 30
) -> ApiError:
    async with session_of(config, connect_timeout) as session:
        with pytest.raises(ApiError) as caught:
            await soon(session.get(path, timeout=timeout))
    assert caught.value.message == one_line(caught.value.message)
    return caught.value


# --- what comes back


async def test_an_answer_is_its_bytes_and_its_date(server: ApiServer) -> None:
    server.on("/x", Answer(b"any\x00thing", headers={"Date": "Mon, 23 Nov 2026 12:00:00 GMT"}))
    async with session_of(server.kubeconfig()) as session:
        answer = await session.get("/x", [("labelSelector", "a=b,c!=d"), ("limit", "5")])
    assert answer.body == b"any\x00thing"
    assert answer.date == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert server.asked[0].query == {"labelSelector": "a=b,c!=d", "limit": "5"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (400, Reason.REFUSED),
        (401, Reason.UNAUTHORIZED),
        (403, Reason.FORBIDDEN),
        (404, Reason.ABSENT),
        (410, Reason.REFUSED),
        (429, Reason.REFUSED),
        (500, Reason.REFUSED),
        (503, Reason.REFUSED),
    ],
)
async def test_a_refusal_names_server_path_and_what_was_said(
    server: ApiServer, code: int, reason: Reason
) -> None:
    server.on("/x", status(code, "the reason\nis \x1b]52;c;x\x07 this", {"Retry-After": "3"}))
    error = await failure(server.kubeconfig())
    assert (error.reason, error.status, error.retry_after) == (reason, code, 3)
    assert server.url in error.message
    assert "the reason is \ufffd]52;c;x\ufffd this" in error.message


async def test_a_refusal_without_a_status_object_is_quoted(server: ApiServer) -> None:
    server.on("/x", Answer(b"<html>bad gateway" + b"!" * 500_000, 502))
    error = await failure(server.kubeconfig())
    assert error.status == 502
    assert "<html>bad gateway" in error.message
    assert len(error.message) <= MAX_MESSAGE


@given(st.integers(100, 999), st.binary(max_size=200), st.text(max_size=40))
def test_any_refusal_becomes_one_printable_line(code: int, body: bytes, after: str) -> None:
    error = refusal("/x", "https://s", code, body, {"Retry-After": after})
    assert error.message == one_line(error.message)
    assert error.retry_after is None or error.retry_after >= 0


def test_retry_after_may_be_a_date() -> None:
    assert seconds_to_wait({"Retry-After": "Mon, 23 Nov 2020 12:00:00 GMT"}) == 0
    assert seconds_to_wait({"Retry-After": "soon"}) is None


# --- lines


async def test_lines_come_as_they_are_written(server: ApiServer) -> None:
    async with (
        session_of(server.kubeconfig()) as session,
        session.lines("/w", [("watch", "true")]) as lines,
    ):
        watch = await soon(server.watch("/w"))
        watch.raw(b"one\ntw")
        assert await soon(anext(lines)) == b"one"
        watch.raw(b"o\n\nrest")
        watch.end()
        assert [line async for line in lines] == [b"two", b"", b"rest"]


async def test_leaving_the_lines_closes_the_connection_at_once(server: ApiServer) -> None:
    async with session_of(server.kubeconfig()) as session:
        async with session.lines("/w", [("watch", "true")]) as lines:
            watch = await soon(server.watch("/w"))
            watch.raw(b"one\n")
            assert await soon(anext(lines)) == b"one"
        await soon(watch.closed.wait())


async def test_cancelling_the_lines_closes_the_connection(server: ApiServer) -> None:
    async with session_of(server.kubeconfig()) as session:

        async def read() -> None:
            async with session.lines("/w", [("watch", "true")]) as lines:
                await anext(lines)

        reading = asyncio.create_task(read())
        watch = await soon(server.watch("/w"))
        reading.cancel()
        await soon(watch.closed.wait())


async def test_a_stream_that_falls_silent_times_out(server: ApiServer) -> None:
    async with (
        session_of(server.kubeconfig()) as session,
        session.lines("/w", [("watch", "true")], idle=1) as lines,
    ):
        with pytest.raises(ApiError) as caught:
            await soon(anext(lines))
    assert caught.value.reason is Reason.TIMED_OUT


async def test_a_stream_that_breaks_is_told(server: ApiServer) -> None:
    async with (
        session_of(server.kubeconfig()) as session,
        session.lines("/w", [("watch", "true")]) as lines,
    ):
        watch = await soon(server.watch("/w"))
        watch.raw(b"one\n")
        assert await soon(anext(lines)) == b"one"
        watch.cut()
        with pytest.raises(ApiError) as caught:
            await soon(anext(lines))
    assert caught.value.reason is Reason.UNREACHABLE


async def test_a_refused_stream_raises(server: ApiServer) -> None:
    async with session_of(server.kubeconfig()) as session:
        with pytest.raises(ApiError) as caught:
            async with session.lines("/none"):
                pass
    assert caught.value.status == 404


async def test_a_stream_that_does_not_begin_times_out(server: ApiServer) -> None:
    server.on("/x", server.hang)
    async with session_of(server.kubeconfig()) as session:
        with pytest.raises(ApiError) as caught:
            async with session.lines("/x", answer=0.05):
                pass
    assert caught.value.reason is Reason.TIMED_OUT


async def _stream(chunks: list[bytes]) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


@given(st.lists(st.text("a\nb", max_size=5).map(str.encode), max_size=8))
async def test_lines_do_not_depend_on_where_chunks_are_cut(chunks: list[bytes]) -> None:
    *complete, rest = b"".join(chunks).split(b"\n")
    lines = [line async for line in split_lines(_stream(chunks), "it")]
    assert lines == [*complete, *([rest] if rest else [])]


async def test_an_overlong_line_is_an_error() -> None:
    with pytest.raises(ApiError, match="it has a line of more than 3 bytes"):
        _ = [line async for line in split_lines(_stream([b"ab", b"cd"]), "it", limit=3)]


# --- the way there


async def test_a_refused_connection_is_named(server: ApiServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    error = await failure(server.kubeconfig(cluster={"server": f"https://127.0.0.1:{port}"}))
    assert error.reason is Reason.UNREACHABLE
    assert error.message.startswith(f"https://127.0.0.1:{port} refuses the connection")


async def test_an_unknown_host_is_named(server: ApiServer) -> None:
    error = await failure(server.kubeconfig(cluster={"server": "https://nobody.invalid"}))
    assert error.reason is Reason.UNREACHABLE
    assert "cannot be found (DNS)" in error.message


async def test_another_authority_is_not_trusted(server: ApiServer) -> None:
    other = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
    error = await failure(server.kubeconfig(cluster={"certificate-authority-data": other}))
    assert error.reason is Reason.UNREACHABLE
    assert "is not trusted (TLS)" in error.message
    assert "certificate-authority" in error.message


async def test_a_certificate_for_another_name_is_not_trusted(tmp_path: Path) -> None:
    async with serving(tmp_path, host="api.test") as server:
        server.on("/x", Answer("ok"))
        error = await failure(server.kubeconfig())
        assert "is not trusted (TLS)" in error.message
        named = server.kubeconfig(cluster={"tls-server-name": "api.test"})
        async with session_of(named) as session:
            assert (await session.get("/x")).body == b'"ok"'


async def test_verification_can_be_switched_off(server: ApiServer) -> None:
    server.on("/x", Answer("ok"))
    insecure: dict[str, Json] = {
        "insecure-skip-tls-verify": True,
        "certificate-authority-data": "",
    }
    async with session_of(server.kubeconfig(cluster=insecure)) as session:
        assert (await session.get("/x")).body == b'"ok"'


async def test_a_server_without_tls_is_named(server: ApiServer) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()

    plain = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    async with plain:
        tls = await failure(server.kubeconfig(cluster={"server": f"https://127.0.0.1:{port}"}))
        http = await failure(server.kubeconfig(cluster={"server": f"http://127.0.0.1:{port}"}))
    assert tls.reason is Reason.UNREACHABLE
    assert http.reason is Reason.UNREADABLE
    assert "in HTTP" in http.message


async def test_a_handshake_that_hangs_ends_with_the_connect_timeout(server: ApiServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        address = f"https://127.0.0.1:{port}"
        config = server.kubeconfig(cluster={"server": address})
        error = await failure(config, connect_timeout=0.2)
    assert error.reason is Reason.UNREACHABLE
    assert "in time" in error.message


async def test_an_answer_that_hangs_times_out(server: ApiServer) -> None:
    server.on("/x", server.hang)
    error = await failure(server.kubeconfig(), timeout=0.05)
    assert error.reason is Reason.TIMED_OUT
    assert "/x" in error.message


async def test_a_body_that_hangs_times_out(server: ApiServer) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()
        return response

    server.on("/x", half)
    error = await failure(server.kubeconfig(), timeout=0.05)
    assert error.reason is Reason.TIMED_OUT


# --- proxies


class Proxy:
    """A proxy that knows CONNECT."""

    def __init__(self, answer: bytes = b"200 OK") -> None:
        self.asked: list[bytes] = []
        self.url = ""
        self._answer = answer
        self._tunnels: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(request.split()[1])
        writer.write(b"HTTP/1.1 " + self._answer + b"\r\n\r\n")
        if not self._answer.startswith(b"200"):
            writer.close()
            return
        host, _, port = request.split()[1].decode().rpartition(":")
        upstream, downstream = await asyncio.open_connection(host, int(port))
        await asyncio.gather(self._copy(reader, downstream), self._copy(upstream, writer))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while content := await source.read(65536):
                sink.write(content)
        except ConnectionError:
            pass
        sink.close()


@asynccontextmanager
async def proxying(proxy: Proxy) -> AsyncIterator[Proxy]:
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield proxy


async def test_the_proxy_of_the_cluster_is_used(server: ApiServer) -> None:
    server.on("/x", Answer("ok"))
    async with (
        proxying(Proxy()) as proxy,
        session_of(server.kubeconfig(cluster={"proxy-url": proxy.url})) as session,
    ):
        assert (await soon(session.get("/x"))).body == b'"ok"'
    assert proxy.asked == [server.url.removeprefix("https://").encode()]


async def test_a_proxy_that_refuses_is_named(server: ApiServer) -> None:
    async with proxying(Proxy(b"407 Proxy Authentication Required")) as proxy:
        error = await failure(server.kubeconfig(cluster={"proxy-url": proxy.url}))
    assert error.reason is Reason.UNREACHABLE
    assert "proxy" in error.message
    assert "407" in error.message


async def test_a_proxy_that_is_gone_is_named(server: ApiServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    proxy = f"http://127.0.0.1:{port}"
    error = await failure(server.kubeconfig(cluster={"proxy-url": proxy}))
    assert error.reason is Reason.UNREACHABLE
    assert f"The proxy 127.0.0.1:{port}" in error.message


@pytest.mark.parametrize("proxy", ["socks5://localhost:1080", "nonsense", "http://"])
async def test_an_unusable_proxy_is_told(server: ApiServer, proxy: str) -> None:
    error = await failure(server.kubeconfig(cluster={"proxy-url": proxy}))
    assert error.reason is Reason.UNREADABLE
    assert "`proxy-url`" in error.message


@pytest.mark.parametrize(
    ("server_url", "environ", "expected"),
    [
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://api.example.com", {"https_proxy": "p:3128"}, "http://p:3128"),
        ("http://api.example.com", {"HTTPS_PROXY": "http://p:3128"}, ""),
        ("http://api.example.com", {"HTTP_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p"}, ""),
        ("https://[::1]:6443", {"HTTPS_PROXY": "http://p"}, ""),
        ("https://localhost:6443", {"HTTPS_PROXY": "http://p"}, ""),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://11.1.2.3", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, "http://p"),
        ("https://a.example.com", {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com"}, ""),
        ("https://a.example.com", {"HTTPS_PROXY": "http://p", "no_proxy": ".example.com"}, ""),
        ("https://a.example.com", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*.example.com"}, ""),
        (
            "https://example.com",
            {"HTTPS_PROXY": "http://p", "NO_PROXY": ".example.com"},
            "http://p",
        ),
        ("https://a.com:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "a.com:443"}, "http://p"),
        ("https://a.com:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "a.com:6443"}, ""),
        ("https://[fd00::1]:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "fd00::/8"}, ""),
        ("https://[fd00::1]:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "fd00::1"}, ""),
        ("https://a.com", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, ""),
    ],
)
def test_the_environment_names_the_proxy_as_for_kubectl(
    server_url: str, environ: dict[str, str], expected: str
) -> None:
    assert proxy_for(server_url, "", environ) == expected


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_proxy_setting_is_a_proxy_or_an_api_error(proxy: str, exceptions: str) -> None:
    environ = {"HTTPS_PROXY": proxy, "NO_PROXY": exceptions}
    with suppress(ApiError):
        chosen = proxy_for("https://10.0.0.1:6443", "", environ)
        assert chosen == "" or chosen.startswith(("http://", "https://"))


# --- what is sent


async def test_nothing_is_sent_to_prove_who_we_are_without_credentials(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.on("/x", Answer("ok"))
    async with session_of(server.kubeconfig()) as session:
        await session.get("/x")
    headers = server.asked[0].headers
    assert "Authorization" not in headers
    assert headers["User-Agent"] == "ciliscope"
    assert not any(name.startswith("Impersonate") for name in headers)


async def test_impersonation_is_sent(server: ApiServer) -> None:
    seen: list[tuple[str, str]] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.extend(
            (name, value) for name, value in request.headers.items() if name.startswith("Imp")
        )
        return web.Response()

    server.on("/x", note)
    user: dict[str, Json] = {
        "as": "jane",
        "as-uid": "7",
        "as-groups": ["dev", "ops"],
        "as-user-extra": {"scopes/a": ["one", "two"]},
    }
    async with session_of(server.kubeconfig(user)) as session:
        await session.get("/x")
    assert sorted(seen) == [
        ("Impersonate-Extra-scopes%2Fa", "one"),
        ("Impersonate-Extra-scopes%2Fa", "two"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-User", "jane"),
    ]


async def test_impersonated_groups_without_a_user_are_told(server: ApiServer) -> None:
    error = await failure(server.kubeconfig({"as-groups": ["ops"]}))
    assert error.reason is Reason.UNREADABLE
    assert "without `as`" in error.message


async def test_one_pool_serves_many_requests(server: ApiServer) -> None:
    ports: set[object] = set()

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        return web.Response()

    server.on("/x", note)
    async with session_of(server.kubeconfig()) as session:
        for _ in range(5):
            await session.get("/x")
    assert len(ports) == 1


async def test_names_are_known_before_anything_is_asked(server: ApiServer) -> None:
    async with session_of(server.kubeconfig()) as session:
        assert session.context == session.server == ""
        await session.identify()
        assert session.access is not None
        assert (session.context, session.server) == ("test", server.url)
        assert (session.access.cluster_name, session.access.user_name) == ("lab", "ops")
        assert session.access.namespace == "default"
        await session.open()
    assert server.asked == []


async def test_another_current_context_does_not_move_a_session(server: ApiServer) -> None:
    server.on("/x", Answer("ok"))
    config = server.kubeconfig()
    document = yaml.safe_load(config.read_text())
    elsewhere = {"name": "elsewhere", "cluster": {"server": "https://127.0.0.1:1"}}
    document["clusters"].append(elsewhere)
    document["contexts"].append({"name": "elsewhere", "context": {"cluster": "elsewhere"}})
    config.write_text(yaml.safe_dump(document))
    async with session_of(config) as session:
        await session.get("/x")
        config.write_text(yaml.safe_dump({**document, "current-context": "elsewhere"}))
        assert (await session.get("/x")).body == b'"ok"'
        assert session.context == "test"


async def test_a_half_written_kubeconfig_changes_nothing(server: ApiServer) -> None:
    server.on("/x", Answer("ok"))
    config = server.kubeconfig()
    async with session_of(config) as session:
        await session.get("/x")
        config.write_text("{ half written")
        assert (await session.get("/x")).body == b'"ok"'
        config.unlink()
        assert (await session.get("/x")).body == b'"ok"'


async def test_private_keys_do_not_stay_on_the_disk(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    issued = server.authority.issue_cert("jane@ops", common_name="jane")
    user: dict[str, Json] = {
        "client-certificate-data": base64.b64encode(issued.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(issued.private_key_pem.bytes()).decode(),
    }
    server.on("/x", Answer("ok"))
    async with session_of(server.kubeconfig(user)) as session:
        await session.get("/x")
        assert "jane" in server.asked[0].client
        assert list(scratch.iterdir()) == []


async def test_certificates_of_any_size_are_read_from_memory(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    issued = server.authority.issue_cert("jane@ops", common_name="jane")
    both = issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes()
    bundle = b"# a comment\n" * 50_000 + server.authority.cert_pem.bytes()
    config = server.kubeconfig(
        {"client-certificate-data": base64.b64encode(both).decode()},
        cluster={"certificate-authority-data": base64.b64encode(bundle).decode()},
    )
    server.on("/x", Answer("ok"))
    async with session_of(config) as session:
        await session.get("/x")
        assert "jane" in server.asked[0].client


async def test_a_connection_that_is_made_leaves_no_pipe_open(server: ApiServer) -> None:
    def open_files() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    config = server.kubeconfig()
    async with session_of(config) as session:
        await session.open()
    before = open_files()
    async with session_of(config) as session:
        await session.open()
        assert open_files() <= before


async def test_a_certificate_that_is_none_is_named(server: ApiServer) -> None:
    nonsense = base64.b64encode(b"no certificate" * 9_000).decode()
    user: dict[str, Json] = {"client-certificate-data": nonsense, "client-key-data": nonsense}
    error = await failure(server.kubeconfig(user))
    assert error.reason is Reason.UNREADABLE
    assert "in the kubeconfig cannot be used" in error.message


def test_importing_the_session_loads_nothing_heavy() -> None:
    program = (
        "import sys, json, collectors.kubernetes.reflector;"
        "import collectors.kubernetes.resources;"
        "heavy = {'kubernetes', 'aiohttp', 'yaml', 'sh'};"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(out.stdout) == []
