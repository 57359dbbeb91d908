"""CS6: what stands behind a service, and whether it answers."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

CODES: tuple[Code, ...] = (
    Code(
        code="CS601",
        title="A service has no ready endpoint",
        severities=(Severity.FAIL, Severity.WARN, Severity.UNKNOWN),
        meaning=(
            "Nothing can answer: the service has no EndpointSlice, an empty one, or one whose "
            "endpoints are not ready. Its address may be announced all the same. Pods outside "
            "Cilium's namespace are not read, so that the slices are all that is known of them; "
            "the finding's command lists the pods that the selector selects.\n\n"
            "It is a warning for a service without `selector`, whose endpoints somebody else has "
            "to write. Services of Cilium's own Ingress and Gateway are served by the proxy of "
            "each node and are not judged. It is unknown for half a minute after a change."
        ),
        check=(
            "`kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=NAME -o yaml` "
            "and `kubectl get pods -n NAMESPACE -l SELECTOR`."
        ),
        fix=(
            "No endpoint at all: compare `spec.selector` with the labels of the pods, see whether "
            "the workload is scaled to zero or its pods are Pending, and, where there is no "
            "EndpointSlice either, whether the kube-controller-manager runs. Endpoints that are "
            "not ready: look at the readiness probe of the pods."
        ),
        source="Kubernetes discovery.k8s.io/v1 EndpointConditions",
        follows_from=("CS112",),
    ),
    Code(
        code="CS605",
        title="A TCP connection to an address of a service failed",
        severities=(Severity.WARN,),
        meaning=(
            "The address was probed on request, by a TCP connection to a port of the service, "
            "from the machine that runs ciliscope. An address of a load balancer does not answer "
            "to ping, so that is never tried. Where the probe starts matters: a machine in the "
            "nodes' own subnet may fail where others succeed."
        ),
        check="`curl -v --connect-timeout 3 telnet://ADDRESS:PORT`.",
        fix=(
            "Follow the service's way with `ciliscope explain service NAMESPACE/NAME`. If every "
            "hop is ok, compare the router's table, and look at firewalls, "
            "`loadBalancerSourceRanges` and network policies."
        ),
        source="Cilium datapath: load balancer addresses answer only on service ports",
        follows_from=(
            "CS201",
            "CS202",
            "CS501",
            "CS503",
            "CS504",
            "CS505",
            "CS507",
            "CS508",
            "CS601",
        ),
    ),
)
