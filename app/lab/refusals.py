"""The ways in which a Kubernetes API server says no, with its own reasons and words.

Reasons, codes and messages: Kubernetes `apimachinery/pkg/api/errors/errors.go`, and for pod logs
`pkg/registry/core/pod/strategy.go`.
"""

from __future__ import annotations

from app.lab.store import JsonObject, Resource


class Refusal(Exception):
    """A request that is answered with a Status of failure."""

    def __init__(
        self, code: int, reason: str, message: str, details: JsonObject | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        """The HTTP status."""
        self.status: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({} if details is None else {"details": details}),
            "code": code,
        }
        """The body: a `metav1.Status`."""


class NoSuchPath(Exception):
    """A path the server does not know: 404 with the plain text `404 page not found`."""


def unauthorized() -> Refusal:
    """No token, or not the right one."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(
    user: str, verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = ""
) -> Refusal:
    """The user's rights do not cover the request (`authorizer/errors.go`)."""
    what = f"{resource.qualified} {quoted(name)}" if name else resource.qualified
    asked = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = f"in the namespace {quoted(namespace)}" if namespace else "at the cluster scope"
    return Refusal(
        403,
        "Forbidden",
        f"{what} is forbidden: User {quoted(user)} cannot {verb} resource {quoted(asked)} "
        f"in API group {quoted(resource.group)} {where}",
        _about(resource, name),
    )


def not_found(resource: Resource, name: str) -> Refusal:
    """There is no object of that name."""
    message = f"{resource.qualified} {quoted(name)} not found"
    return Refusal(404, "NotFound", message, _about(resource, name))


def method_not_allowed() -> Refusal:
    """The lab is read-only, and so is the method list of what it serves."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message, {})


def bad_request(message: str) -> Refusal:
    """A query the server cannot understand."""
    return Refusal(400, "BadRequest", message)


def invalid(message: str) -> Refusal:
    """Options that are understood and contradict each other or the type."""
    return Refusal(422, "Invalid", message)


def too_old(message: str) -> Refusal:
    """The version of a watch, or of a list's next page, is forgotten."""
    return Refusal(410, "Expired", message)


def too_large(version: int, current: int) -> Refusal:
    """A resourceVersion from the future, such as another cluster's."""
    return Refusal(
        504,
        "Timeout",
        f"Too large resource version: {version}, current: {current}",
        {
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
    )


def quoted(text: str) -> str:
    """A name in double quotes, as Go's `%q` writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _about(resource: Resource, name: str) -> JsonObject:
    details: JsonObject = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return {**details, "kind": resource.plural}
