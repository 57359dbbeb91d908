"""CS8: what stands between the operator and the cluster."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

CODES: tuple[Code, ...] = (
    Code(
        code="CS801",
        title="A right is missing",
        severities=(Severity.UNKNOWN, Severity.INFO),
        meaning=(
            "The cluster knows us and says no. What depends on it is not judged, and is neither "
            "called well nor broken. Each missing right is told once, with all that needs it and "
            "the API server's own words. It is asked for again every few minutes.\n\n"
            "The rights to network policies and CiliumEndpoints are optional: nothing but CS602 "
            "and CS603 is judged from them. Where one is missing that is worth knowing, and what "
            "was asked for is judged all the same."
        ),
        check="`kubectl auth can-i`, as the finding writes it; `ciliscope get sources`.",
        fix=(
            "Grant the rule that the finding prints; the whole list of rights is in "
            "`docs/rights.md`. For exec, consider `--no-cli` instead: it is as good as root on the "
            "nodes."
        ),
        source="Kubernetes RBAC; the reading list in collectors/kubernetes/resources.py",
    ),
    Code(
        code="CS802",
        title="A source fails or is silent",
        severities=(Severity.UNKNOWN,),
        meaning=(
            "It could not be read, or was not heard of for longer than it should be quiet. What "
            "it last said stands, and grows old. When the API server itself does not answer, that "
            "is told once and the others follow from it."
        ),
        check="`ciliscope get sources`, `kubectl get --raw /version`.",
        fix="The error says what is in the way; reading is tried again by itself.",
        source="The state of each source, as the monitor keeps it",
        follows_from=("CS102", "CS106", "CS112", "CS114", "CS802", "CS803"),
    ),
    Code(
        code="CS803",
        title="There is no usable cilium command",
        severities=(Severity.WARN,),
        meaning=(
            "It is not installed, too old for what it is asked, or fails whatever it is asked. "
            "With BGPv2 sessions are known from the API all the same, with some seconds of lag, "
            "but not what is really announced; with BGPv1 the command is the only witness."
        ),
        check="`cilium version --client`, `cilium bgp peers`.",
        fix=(
            "Install cilium-cli 0.18.6 or later, name it with `--cilium`, or say `--no-cli`: then "
            "nothing is missed."
        ),
        source="cilium-cli 0.16 to 0.19; `docs/cilium.md`",
    ),
    Code(
        code="CS804",
        title="Clocks differ",
        severities=(Severity.WARN,),
        meaning=(
            "The API server's `Date` and the local clock are more than 5 seconds apart. Ages and "
            "times of events are off by as much."
        ),
        check="`date -u` beside the `Date` of `kubectl get --raw /version -v=8`.",
        fix="Set both clocks by NTP.",
        source="RFC 9110 section 6.6.1 (Date)",
    ),
)
"""Every code of the block."""
