"""What the kubeconfig says: which cluster, as whom, and with which means of proving it.

Read here, and not by the client library, so that the name of the context is known before anything
heavy is imported, that files merge as kubectl merges them (the first file to name something wins),
and that every mistake gets a sentence naming file and key. Source: Kubernetes,
client-go/tools/clientcmd (loader.go, client_config.go) and its API types.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

from collectors.kubernetes.answers import ApiError
from collectors.sanitize import one_line
from collectors.source import Reason

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, the cluster's CA and its namespace."""

Fingerprint: TypeAlias = tuple[tuple[int, int] | None, ...]
"""Time of change and size of files; None for one that is not there."""


class _Part(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """A piece of a kubeconfig. Keys that we do not know are left alone, as kubectl does."""


class NamedExtension(_Part, frozen=True):
    """A named extension of a cluster."""

    name: str = ""
    extension: object = None


class Cluster(_Part, frozen=True):
    """`cluster` of an entry of `clusters`."""

    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    extensions: tuple[NamedExtension, ...] | None = None


class Variable(msgspec.Struct, frozen=True):
    """An environment variable of a credential plugin."""

    name: str
    value: str = ""


class Exec(msgspec.Struct, frozen=True, rename="camel"):
    """`exec` of a user: the program that gives credentials."""

    command: str
    args: tuple[str, ...] | None = None
    env: tuple[Variable, ...] | None = None
    api_version: str = ""
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class AuthProvider(msgspec.Struct, frozen=True):
    """`auth-provider` of a user: tokens of an identity provider, kept in the file."""

    name: str
    config: dict[str, str] | None = None


class User(_Part, frozen=True):
    """`user` of an entry of `users`."""

    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    username: str = ""
    password: str = ""
    exec: Exec | None = None
    auth_provider: AuthProvider | None = None
    impersonate: str = msgspec.field(default="", name="as")
    impersonate_uid: str = msgspec.field(default="", name="as-uid")
    impersonate_groups: tuple[str, ...] | None = msgspec.field(default=None, name="as-groups")
    impersonate_user_extra: dict[str, tuple[str, ...]] | None = msgspec.field(
        default=None, name="as-user-extra"
    )


class Context(_Part, frozen=True):
    """`context` of an entry of `contexts`."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: Cluster = Cluster()


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: User | None = None


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: Context = Context()


class _File(_Part, frozen=True):
    current_context: str | None = None
    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None


_Files: TypeAlias = Sequence[tuple[Path, _File]]


@dataclass(frozen=True, slots=True)
class Access:
    """One context, ready to be used: paths are absolute, references are resolved."""

    context: str
    """"" inside a cluster without a kubeconfig."""
    cluster_name: str
    user_name: str
    namespace: str
    """The context's namespace; `default` if it names none."""
    server: str
    """URL of the API server, without a slash at its end."""
    cluster: Cluster
    user: User
    origin: str
    """The file (or place) that describes the user, for messages."""
    base: Path
    """Folder of that file: a plugin's relative path starts here."""
    files: tuple[Path, ...]
    """Everything read to get here; a change in one of them may change the answer."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells that none of the files has changed since."""
        return tuple(_stamp(path) for path in self.files)


def read_access(
    kubeconfig: str | None,
    context: str | None,
    environ: Mapping[str, str],
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """Read the kubeconfig as kubectl would, or the service account of the pod we run in.

    Blocks on files: call it in a thread. Raises ApiError(UNREADABLE) with a sentence that names
    file and key, ApiError(UNAUTHORIZED) when the user is not described.
    """
    paths = _paths(kubeconfig, environ)
    present = [path for path in paths if kubeconfig or path.exists()]
    if not present:
        return _in_cluster(paths, context, environ, service_account)
    return _select([(path, _read(path)) for path in present], paths, context)


def context_names(kubeconfig: str | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names of all contexts, in the order of the files. Blocks; raises as `read_access`."""
    paths = _paths(kubeconfig, environ)
    files = [(path, _read(path)) for path in paths if kubeconfig or path.exists()]
    return tuple(
        dict.fromkeys(one_line(entry.name) for _, file in files for entry in file.contexts or ())
    )


def _paths(kubeconfig: str | None, environ: Mapping[str, str]) -> list[Path]:
    if kubeconfig:
        return [Path(kubeconfig).expanduser()]
    listed = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    home = environ.get("HOME") or str(Path.home())
    return [Path(part) for part in listed] or [Path(home, ".kube", "config")]


def _read(path: Path) -> _File:
    document = _document(path)
    if document is None:
        return _File()
    try:
        file = msgspec.convert(document, _File)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise unreadable(f"The kubeconfig {path} is not a kubeconfig: {problem}") from None
    lists = {"contexts": file.contexts, "clusters": file.clusters, "users": file.users}
    for kind, entries in lists.items():
        names = [entry.name for entry in entries or ()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise unreadable(f"The kubeconfig {path} has two entries named {twice!r} in {kind}")
    return file


def _document(path: Path) -> object:
    """The YAML of a file, dates left alone: kubectl reads it as JSON, which has none."""
    import yaml

    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
        for first, rules in fast.yaml_implicit_resolvers.items()
    }
    loader = type("KubeconfigLoader", (fast,), {"yaml_implicit_resolvers": resolvers})
    try:
        document: object = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 - safe
    except OSError as problem:
        raise unreadable(f"The kubeconfig {path} cannot be read: {problem.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise unreadable(f"The kubeconfig {path} is not YAML{_place(problem)}") from None
    return document


def _place(problem: Exception) -> str:
    """Where the YAML is wrong, without the text there: it may be a secret."""
    mark = getattr(problem, "problem_mark", None)
    said = getattr(problem, "problem", None)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    return f"{place}: {said}" if isinstance(said, str) else place


_CLUSTER_FILES = ("certificate_authority",)
_USER_FILES = ("token_file", "client_certificate", "client_key")
_Holder = TypeVar("_Holder", Cluster, User)
_Entry = TypeVar("_Entry", _NamedCluster, _NamedUser, _NamedContext)


def _first(
    files: _Files, entries: Callable[[_File], Iterable[_Entry] | None], name: str
) -> tuple[Path, _Entry] | None:
    found = ((path, entry) for path, file in files for entry in entries(file) or ())
    return next(((path, entry) for path, entry in found if entry.name == name), None)


def _select(files: _Files, paths: list[Path], wanted: str | None) -> Access:
    where = os.pathsep.join(str(path) for path, _ in files)
    name = wanted or next((file.current_context for _, file in files if file.current_context), "")
    contexts = [entry.name for _, file in files for entry in file.contexts or ()]
    known = f"it has: {', '.join(map(one_line, contexts))}" if contexts else "it has no contexts"
    if not name:
        raise unreadable(f"The kubeconfig {where} sets no current-context; {known}")
    found = _first(files, lambda file: file.contexts, name)
    if found is None:
        raise unreadable(f"The kubeconfig {where} has no context {one_line(name)!r}; {known}")
    context_path, context = found[0], found[1].context
    cluster = _first(files, lambda file: file.clusters, context.cluster)
    if cluster is None:
        raise unreadable(
            f"The context {name!r} in {context_path} names the cluster {context.cluster!r}, "
            f"which {where} does not describe"
        )
    user = _first(files, lambda file: file.users, context.user)
    if user is None and context.user:
        raise ApiError(
            Reason.UNAUTHORIZED,
            f"The context {name!r} in {context_path} names the user {context.user!r}, "
            f"which {where} does not describe",
        )
    return _resolved(name, context, cluster, user or (context_path, _NamedUser("")), paths)


def _resolved(
    name: str,
    context: Context,
    cluster: tuple[Path, _NamedCluster],
    user: tuple[Path, _NamedUser],
    paths: list[Path],
) -> Access:
    cluster_base, user_base = (Path.cwd() / path.parent for path in (cluster[0], user[0]))
    absolute_cluster = _absolute(cluster[1].cluster, cluster_base, _CLUSTER_FILES)
    absolute_user = _absolute(user[1].user or User(), user_base, _USER_FILES)
    named = [getattr(absolute_cluster, field) for field in _CLUSTER_FILES]
    named += [getattr(absolute_user, field) for field in _USER_FILES]
    return Access(
        context=one_line(name),
        cluster_name=one_line(context.cluster),
        user_name=one_line(context.user),
        namespace=one_line(context.namespace) or "default",
        server=_server(cluster[1], cluster[0]),
        cluster=absolute_cluster,
        user=absolute_user,
        origin=str(user[0]),
        base=user_base,
        files=(*paths, *(Path(path) for path in named if path)),
    )


def _server(entry: _NamedCluster, path: Path) -> str:
    server = entry.cluster.server.rstrip("/")
    try:
        parts = urlsplit(server)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if usable and server.isprintable():
        return server
    raise unreadable(
        f"The cluster {entry.name!r} in {path} has the server "
        f"{entry.cluster.server!r}, "
        "which is not an http:// or https:// address"
    )


def _absolute(part: _Holder, base: Path, fields: Iterable[str]) -> _Holder:
    """The same with absolute paths in these fields."""
    paths = {name: str(base / path) for name in fields if (path := getattr(part, name))}
    return msgspec.structs.replace(part, **paths)


def _in_cluster(
    paths: list[Path], context: str | None, environ: Mapping[str, str], account: Path
) -> Access:
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    token, authority = account / "token", account / "ca.crt"
    looked = os.pathsep.join(map(str, paths))
    if not host or not token.exists():
        raise unreadable(
            f"There is no kubeconfig: {looked} does not exist; "
            "name one with --kubeconfig or KUBECONFIG"
        )
    if context:
        raise unreadable(f"There is no context {context!r}: {looked} does not exist")
    own = account / "namespace"
    try:
        namespace = own.read_text(encoding="utf-8").strip() if own.exists() else ""
    except (OSError, UnicodeDecodeError):
        namespace = ""
    return Access(
        context="",
        cluster_name="in-cluster",
        user_name="service account",
        namespace=one_line(namespace) or "default",
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        cluster=Cluster(certificate_authority=str(authority) if authority.exists() else ""),
        user=User(token_file=str(token)),
        origin=str(account),
        base=account,
        files=(*paths, token, authority),
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def unreadable(message: str) -> ApiError:
    """The error about what a kubeconfig, or a file that it names, says."""
    return ApiError(Reason.UNREADABLE, message)
