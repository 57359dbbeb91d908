"""CS6: what network policies keep from the backends of a service."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

CODES: tuple[Code, ...] = (
    Code(
        code="CS602",
        title="A network policy of Cilium's is invalid",
        severities=(Severity.WARN,),
        meaning=(
            "The operator looks at every CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy "
            "and says in the condition `Valid` whether it is one. The agents come to the same end "
            "and do not take what is not: all of it, were only one of its rules wrong. They go on "
            "enforcing what they last took of it, if they ever did, and nothing of it after a "
            "restart. Whom it should protect may therefore be open, and what it should allow may "
            "be dropped by another policy.\n\n"
            "A CiliumNetworkPolicy with a `nodeSelector` is told as well where the operator calls "
            "it valid: no agent takes one. A NetworkPolicy of Kubernetes has no status; nobody "
            "says whether Cilium took it.\n\n"
            "Policies are read on demand: by `ciliscope check`, `explain` and `get policies`, and "
            "in the dashboard while something that is open asks for them."
        ),
        check=(
            "`kubectl get ciliumnetworkpolicies,ciliumclusterwidenetworkpolicies -A` (column "
            "VALID), `ciliscope get policies`, and in the log of an agent `Unable to add "
            "CiliumNetworkPolicy`."
        ),
        fix="Correct what the message names in the manifest and apply it again.",
        source=(
            "Cilium operator/pkg/networkpolicy/validator.go, pkg/policy/api/rule_validation.go, "
            "pkg/policy/k8s/cilium_network_policy.go, 1.17 to 1.21"
        ),
    ),
    Code(
        code="CS603",
        title="Network policies select the backends of a service",
        severities=(Severity.INFO,),
        meaning=(
            "It is no fault. It is worth knowing when an address is announced and connections to "
            "it time out all the same: what comes from outside has the identity `world`, and once "
            "a policy with rules for ingress selects a pod, nothing gets in but what a policy "
            "allows (`enable-policy: default`; with `always` that is so without any policy, with "
            "`never` nothing is enforced). With `policy-audit-mode` it is let in and noted. "
            "Policies that are about egress alone are not told: replies go out whatever they "
            "say.\n\n"
            "That no rule lets in anything from outside is said only where it is certain: every "
            "policy was read and is valid, every backend is denied by default, and every rule for "
            "ingress is empty or names pods alone. A rule with an entity, an address range, a "
            "group or a node, or without a `from`, may let in whom it must; then the policies are "
            "only named. Services before which the same policies stand are told together.\n\n"
            "Which pods a policy selects is told by the labels of their CiliumEndpoints, as the "
            "agents see them; where there are none (`disable-endpoint-crd`) nothing is said."
        ),
        check=(
            "`ciliscope get policies` and `ciliscope get endpoints -o wide`; on the backend's "
            "node, in the agent's pod, `hubble observe --verdict DROPPED --to-pod NAMESPACE/POD`."
        ),
        fix=(
            "If clients outside are to be served, allow them in a policy that selects the pods: "
            "`fromEntities: [world]`, or `fromCIDR` with their ranges (`ipBlock` in a "
            "NetworkPolicy). With `externalTrafficPolicy: Cluster` what another node passed on "
            "may bear that node's address."
        ),
        source=(
            "Cilium Documentation/security/policy/intro.rst, pkg/policy/api/rule_validation.go, "
            "pkg/k8s/apis/cilium.io/utils/utils.go, 1.17 to 1.21; Kubernetes "
            "networking.k8s.io/v1 NetworkPolicySpec"
        ),
    ),
)
