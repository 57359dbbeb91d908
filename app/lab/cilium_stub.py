"""The program that stands in the lab for `cilium`: it asks the lab what to print.

It finds the lab as the real program finds its cluster (flags, KUBECONFIG, the current context) and
fails as the real one fails when there is no cluster, no such context or no valid token (recorded
in `tests/recordings/cli-errors`). Run by path with the standard library alone and without `site`,
so that it starts as fast as the real one; import nothing else here.
"""

from __future__ import annotations

import base64
import json
import math
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

_PATH = "/lab/cilium"
_DIAL_SECONDS = 10.0
"""Go's limit for a TLS handshake."""
_ANSWER_SECONDS = 60.0
_NO_CLUSTER = "http://localhost:8080"
"""Where Kubernetes clients look when no kubeconfig says otherwise."""

_LETTERS = {"-n": "--namespace", "-o": "--output"}
WITH_VALUE = frozenset(
    {
        "--agent-pod-selector",
        "--as",
        "--as-group",
        "--context",
        "--helm-release-name",
        "--kubeconfig",
        "--namespace",
        "--node",
        "--output",
        "--wait-duration",
        "--worker-count",
    }
)
"""The flags of every command that take a value."""
_CONNECTIVITY_WITH_VALUE = frozenset({"--test", "--test-namespace", "--timeout"})

_PODS = "/api/v1/namespaces/{}/pods?labelSelector="
_DAEMON_SETS = "/apis/apps/v1/namespaces/{}/daemonsets/"
_DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments/"
_WORKLOADS = {
    "cilium": _DAEMON_SETS + "cilium",
    "cilium-envoy": _DAEMON_SETS + "cilium-envoy",
    "cilium-operator": _DEPLOYMENTS + "cilium-operator",
}
_STATUS_PATHS = (
    _PODS + "k8s-app%3Dcilium",
    _PODS + "io.cilium%2Fapp%3Doperator",
    _PODS + "app.kubernetes.io%2Fname%3Dhubble-relay",
    _PODS + "k8s-app%3Dclustermesh-apiserver",
    _PODS + "name%3Dcilium-envoy",
    *_WORKLOADS.values(),
    "/api/v1/pods",
)
_OPTIONAL = {
    "clustermesh-apiserver": "clustermesh is not deployed",
    "hubble-relay": "hubble relay is not deployed",
    "hubble-ui": "hubble ui is not deployed",
}
VERSION = (
    "cilium-cli: v{} compiled with go1.27.3 on linux/amd64\n"
    "cilium image (default): v1.19.5\n"
    "cilium image (stable): unknown\n"
)
"""What `cilium version --client` prints; the version is left open."""


class NoClient(Exception):
    """The kubeconfig cannot be used; the text is the program's whole complaint."""


class Unreachable(Exception):
    """The API server gave no answer; the text is the network's complaint."""

    def __init__(self, problem: str, cause: object = None) -> None:
        super().__init__(problem)
        self._cause = {} if cause is None else cause

    def at(self, url: str) -> str:
        """What the program says about a URL."""
        return f'Get "{url}": {self}'

    def entry(self, url: str) -> object:
        """How the JSON of `cilium status` shows it."""
        return {"Op": "Get", "URL": url, "Err": self._cause}


class Unauthorized(Unreachable):
    """The API server does not know the token."""

    def at(self, _: str) -> str:
        """What the program says, whatever the URL."""
        return str(self)

    def entry(self, _: str) -> object:
        """The Status that the API server answered."""
        status = {"metadata": {}, "status": "Failure", "message": str(self), "reason": str(self)}
        return {"ErrStatus": {**status, "code": 401}}


class Connection(NamedTuple):
    """Where the API server is, and what it takes to be let in."""

    server: str = _NO_CLUSTER
    authority: str = ""
    """The certificate authority, PEM."""
    token: str = ""


class Answer(NamedTuple):
    """What one run of the `cilium` command prints, when, and how it ends."""

    stdout: bytes
    stderr: bytes
    exit: int
    seconds: float = 0.0
    """How long it takes before it prints; infinite: it prints and never ends."""
    script: Sequence[tuple[float, bytes]] = ()
    """What it prints before that on stdout, piece by piece, each after so many seconds."""
    cancellable: bool = False
    """Whether SIGINT and SIGTERM make it say so and fail, where they would just end it."""


class Cancelled(Exception):
    """It was asked to stop; the text says by which signal."""


def main(argv: Sequence[str]) -> int:
    """Print what the lab says this command prints; returns the exit code."""
    # A pipe that closes or a Ctrl-C ends this program silently, as it ends the real one.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    words, flags = parsed(argv)
    sent, namespace = list(argv), flags.get("--namespace", "")
    if not namespace and os.environ.get("CILIUM_NAMESPACE"):
        namespace = os.environ["CILIUM_NAMESPACE"]
        sent += ["--namespace", namespace]
    try:
        connection = connection_of(flags)
    except NoClient as problem:
        sys.stderr.write(f"unable to create Kubernetes client: {problem}\n")
        return 1
    try:
        answer = ask(connection, sent)
    except Unreachable as problem:
        answer = complaint(words, flags, connection.server, namespace or "kube-system", problem)
    return _play(answer)


def parsed(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words, and the flags by their long names."""
    words: list[str] = []
    flags: dict[str, str] = {}
    left = list(argv)
    while left:
        argument = left.pop(0)
        if not argument.startswith("-") or argument == "-":
            words.append(argument)
            continue
        if not argument.startswith("--"):
            value = argument[2:].removeprefix("=")
            attached = f"={value}" if argument[2:] else ""
            argument = _LETTERS.get(argument[:2], argument[:2]) + attached
        name, equals, value = argument.partition("=")
        if not equals and name in WITH_VALUE | _CONNECTIVITY_WITH_VALUE and left:
            value = left.pop(0)
        flags[name] = value
    return words, flags


def connection_of(flags: Mapping[str, str]) -> Connection:
    """The cluster of the chosen context; the default one without a kubeconfig. Raises NoClient."""
    explicit = flags.get("--kubeconfig", "")
    named = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    paths = [explicit] if explicit else named or [f"{os.environ.get('HOME', '')}/.kube/config"]
    configs = list(_configs(paths, bool(explicit)))
    contexts = _named(configs, "contexts", "context")
    current = flags.get("--context", "") or next(
        (str(c["current-context"]) for c in configs if c.get("current-context")), ""
    )
    if not current:
        return Connection()
    if current not in contexts:
        raise NoClient(f'context "{current}" does not exist')
    cluster = _named(configs, "clusters", "cluster").get(contexts[current].get("cluster", ""), {})
    user = _named(configs, "users", "user").get(contexts[current].get("user", ""), {})
    try:
        authority = base64.b64decode(cluster.get("certificate-authority-data", "")).decode("ascii")
    except ValueError as problem:
        raise NoClient("unable to load root certificates: unable to parse bytes") from problem
    return Connection(cluster.get("server", _NO_CLUSTER), authority, user.get("token", ""))


def _configs(paths: Iterable[str], must_exist: bool) -> Iterable[dict[str, object]]:
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
        except FileNotFoundError as problem:
            if must_exist:
                raise NoClient(f"stat {path}: no such file or directory") from problem
        except (OSError, ValueError) as problem:
            raise NoClient(
                f'error loading config file "{path}": '
                "the lab's cilium reads only the kubeconfig that the lab wrote"
            ) from problem
        else:
            yield config if isinstance(config, dict) else {}


def _named(
    configs: Iterable[Mapping[str, object]], plural: str, singular: str
) -> dict[str, dict[str, str]]:
    """The named entries of all files; the first of a name stands."""
    found: dict[str, dict[str, str]] = {}
    for config in configs:
        entries = config.get(plural)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                found.setdefault(str(entry.get("name", "")), entry.get(singular) or {})
    return found


def ask(connection: Connection, argv: Sequence[str]) -> Answer:
    """The lab's answer. Raises Unreachable."""
    host, port = _address(connection.server)
    if not connection.server.startswith("https:"):
        raise _refused(host, port)
    body = json.dumps({"argv": list(argv)}).encode()
    request = (
        f"POST {_PATH} HTTP/1.0\r\nHost: {host}:{port}\r\n"
        f"Authorization: Bearer {connection.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reply = _exchange(connection, host, port, request.encode() + body)
    head, _, payload = reply.partition(b"\r\n\r\n")
    status = head[9:12]
    if not reply:
        raise Unreachable("EOF")
    if status == b"401":
        raise Unauthorized("Unauthorized")
    if status != b"200":
        raise Unreachable("the server could not find the requested resource")
    answer = json.loads(payload)
    return Answer(
        base64.b64decode(answer["stdout"]),
        base64.b64decode(answer["stderr"]),
        int(answer["exit"]),
        math.inf if answer["seconds"] is None else answer["seconds"],
        [(seconds, base64.b64decode(piece)) for seconds, piece in answer["script"]],
        answer["cancellable"],
    )


def _address(server: str) -> tuple[str, int]:
    scheme, _, rest = server.partition("://")
    host, _, port = rest.partition("/")[0].rpartition(":")
    if not host or not port.isdigit():
        return host or port, 443 if scheme == "https" else 80
    return host, int(port)


def _exchange(connection: Connection, host: str, port: int, request: bytes) -> bytes:
    try:
        context = ssl.create_default_context(cadata=connection.authority or None)
        with (
            socket.create_connection((host, port), _DIAL_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            secure.settimeout(_ANSWER_SECONDS)
            secure.sendall(request)
            return b"".join(iter(lambda: secure.recv(65536), b""))
    except ConnectionRefusedError as problem:
        raise _refused(host, port) from problem
    except ssl.SSLCertVerificationError as problem:
        raise Unreachable(
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        ) from problem
    except TimeoutError as problem:
        raise Unreachable("net/http: TLS handshake timeout") from problem
    except OSError as problem:
        text = (problem.strerror or str(problem)).lower()
        raise Unreachable(f"dial tcp {host}:{port}: {text}") from problem


def _refused(host: str, port: int) -> Unreachable:
    address = "127.0.0.1" if host == "localhost" else host
    return Unreachable(
        f"dial tcp {address}:{port}: connect: connection refused",
        {
            "Op": "dial",
            "Net": "tcp",
            "Source": None,
            "Addr": {"IP": address, "Port": port, "Zone": ""},
            "Err": {"Syscall": "connect", "Err": 111},
        },
    )


def complaint(
    words: Sequence[str],
    flags: Mapping[str, str],
    server: str,
    namespace: str,
    problem: Unreachable,
) -> Answer:
    """How the real program fails when the API server gives it nothing."""

    def failed(path: str) -> str:
        return problem.at(server + path.format(namespace))

    if list(words) == ["status"]:
        stdout = ""
        if flags.get("--output") == "json":
            entries = [problem.entry(server + path.format(namespace)) for path in _STATUS_PATHS]
            stdout = _status(entries, failed)
        every = [failed(path) for path in _STATUS_PATHS]
        config = failed("/api/v1/namespaces/{}/configmaps/cilium-config")
        every.append(f'unable to retrieve ConfigMap "cilium-config": {config}')
        return _said(stdout, f"status check failed: [{', '.join(every)}]\n", 1)
    if list(words) == ["version"]:
        reason = f"kubernetes cluster unreachable: {failed('/version')}"
        running = f"unknown. Unable to obtain cilium version. Reason: {reason}"
        last = "" if "--client" in flags else f"cilium image (running): {running}\n"
        return _said(VERSION.format("0.19.7") + last, "", 0)
    if list(words[:2]) == ["connectivity", "test"]:
        status = failed(_WORKLOADS["cilium"])
        return _said("", f"unable to determine status of Cilium DaemonSet: {status}\n", 1)
    listing = f"unable to list Cilium pods: {failed(_STATUS_PATHS[0])}"
    what = "Unable to get BGP routes" if "routes" in words else "Unable to get peering status"
    return _said("", f"\nError: {what}: {listing}\n", 1)


def _said(stdout: str, stderr: str, code: int) -> Answer:
    return Answer(stdout.encode(), stderr.encode(), code)


def _status(entries: list[object], failed: Callable[[str], str]) -> str:
    """What `cilium status -o json` prints before it fails."""
    errors: dict[str, object] = {}
    for name in sorted([*_WORKLOADS, *_OPTIONAL]):
        path = _WORKLOADS.get(name)
        parts = {
            "Errors": [failed(path)] if path else [],
            "Warnings": [] if path else [_OPTIONAL[name]],
            "Disabled": False,
        }
        errors[name] = {name: parts}
    document = {
        "pods_count": {"all": 0, "by_cilium": 0},
        "errors": errors,
        "collection_errors": [*entries, {}],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _cancel(number: int, _: object) -> NoReturn:
    name = "interrupt" if number == signal.SIGINT else "terminated"
    raise Cancelled(f"{name} signal received")


def _play(answer: Answer) -> int:
    """Print an answer as the command would, in its time."""
    if answer.cancellable:
        signal.signal(signal.SIGINT, _cancel)
        signal.signal(signal.SIGTERM, _cancel)
    try:
        for seconds, piece in answer.script:
            time.sleep(seconds)
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        if math.isfinite(answer.seconds):
            time.sleep(answer.seconds)
    except Cancelled as request:
        sys.stdout.write(f"Cancellation request ({request}) received, cancelling tests...\n")
        sys.stderr.write("context canceled\n")
        return 1
    sys.stdout.buffer.write(answer.stdout)
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(answer.stderr)
    sys.stderr.buffer.flush()
    while math.isinf(answer.seconds):
        signal.pause()
    return answer.exit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
