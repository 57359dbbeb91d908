"""CS2: LB-IPAM, and why a service has no address."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

_FAIL = (Severity.FAIL, Severity.UNKNOWN)
_SERVICE = "`kubectl get service -n NAMESPACE NAME -o yaml`"
_POOLS = "`kubectl get ciliumloadbalancerippools -o yaml`"
_SOURCE = "Cilium operator/pkg/lbipam/lbipam.go, 1.17 to 1.21"

CODES: tuple[Code, ...] = (
    Code(
        code="CS201",
        title="No pool in use selects the service",
        severities=_FAIL,
        meaning=(
            "LB-IPAM gives a service an address only from a pool whose `serviceSelector` matches "
            "the service's **labels** (and the two labels `io.kubernetes.service.name` and "
            "`io.kubernetes.service.namespace` that Cilium adds). Annotations do not count. A pool "
            "without `serviceSelector` selects every service.\n\n"
            "It follows from a pool's own finding where a pool selects the service and is disabled "
            "(CS208), in conflict (CS207) or refused (CS214)."
        ),
        check=f"Compare `kubectl get service -n NAMESPACE NAME --show-labels` with {_POOLS}.",
        fix=(
            "Write the label that the pool wants into `metadata.labels` of the Service:\n\n"
            "```yaml\nmetadata:\n  labels:\n    io.cilium/lb-ipam-pool: bgp-default\n```\n\n"
            "A service that Cilium makes for a Gateway takes its labels from "
            "`spec.infrastructure.labels` of the Gateway."
        ),
        source=f"{_SOURCE} (allocateIPAddress); service_store.go (svcLabels)",
        follows_from=("CS207", "CS208", "CS214", "CS801", "CS802"),
    ),
    Code(
        code="CS202",
        title="A pool is exhausted, and services wait for an address of it",
        severities=(Severity.FAIL,),
        meaning=(
            "Every pool that selects the waiting services has given out all its addresses of the "
            "family they need. With `allowFirstLastIPs: No` the first and last address of each "
            "CIDR block are never given out."
        ),
        check=f"{_POOLS}: the conditions `cilium.io/IPsTotal`, `IPsUsed` and `IPsAvailable`.",
        fix=(
            "Add a block to the pool, or release an address. Adding a block renumbers nothing; "
            "changing one may, on Cilium before 1.18.2 (cilium#40358)."
        ),
        source=f"{_SOURCE} (allocateIPAddress, updatePoolCounts)",
    ),
    Code(
        code="CS203",
        title="The requested address lies in no pool in use",
        severities=(Severity.FAIL, Severity.WARN),
        meaning=(
            "The service asks for an address by name (`spec.loadBalancerIP` or the annotation "
            "`lbipam.cilium.io/ips`), and no pool in use holds it. A block's CIDR is masked: "
            "192.168.100.200/28 begins at .192 and ends at .207.\n\n"
            "It is a warning where the text is no address at all: LB-IPAM ignores it and gives "
            "another one."
        ),
        check=f"{_POOLS}, and the annotations of the service with {_SERVICE}.",
        fix="Ask for an address of a pool, or add a block that holds the address.",
        source=f"{_SOURCE} (getSVCRequestedIPs, findRangeOfIP)",
        follows_from=("CS207", "CS208", "CS214"),
    ),
    Code(
        code="CS204",
        title="The requested address lies in a pool that does not select the service",
        severities=(Severity.FAIL,),
        meaning="Asking for an address by name does not replace the pool's `serviceSelector`.",
        check=f"Compare `kubectl get service -n NAMESPACE NAME --show-labels` with {_POOLS}.",
        fix="Give the service the labels the pool wants, or ask for an address of another pool.",
        source=f"{_SOURCE} (findRangeOfIP)",
        follows_from=("CS207", "CS208", "CS214"),
    ),
    Code(
        code="CS205",
        title="The requested address is held by another service, or kept back",
        severities=(Severity.FAIL,),
        meaning=(
            "Another service has the address and this one has no sharing key, or the address is "
            "the first or last of a CIDR block with `allowFirstLastIPs: No`."
        ),
        check="`kubectl get services -A -o wide`.",
        fix=(
            "Ask for another address, or let both share it: annotate both services with the same "
            "`lbipam.cilium.io/sharing-key`."
        ),
        source=f"{_SOURCE} (satisfySpecificIPRequests, handleNewPool)",
    ),
    Code(
        code="CS206",
        title="Services with one sharing key cannot share an address",
        severities=(Severity.FAIL, Severity.INFO),
        meaning=(
            "To share an address, services need the same sharing key, namespaces that permit each "
            "other (`lbipam.cilium.io/sharing-cross-namespace` on **both**), no port and protocol "
            "in common, the same `externalTrafficPolicy`, and with `Local` the same selector.\n\n"
            "It is worth knowing only (info) where each service has an address of its own: LB-IPAM "
            "does that without a word when sharing is not possible."
        ),
        check=f"{_SERVICE}, for both services.",
        fix="Change what the finding names, on both services.",
        source="Cilium operator/pkg/lbipam/service_store.go (isCompatible), 1.17 to 1.21",
    ),
    Code(
        code="CS207",
        title="A pool overlaps another one and gives no new addresses",
        severities=(Severity.FAIL, Severity.WARN),
        meaning=(
            "Of two pools with addresses in common Cilium puts the newer one out of use, all its "
            "ranges with it. Addresses that it gave before stay, until the operator restarts "
            "(CS218). Disabled pools take part in this; a pool can overlap itself."
        ),
        check=f"{_POOLS}: the condition `cilium.io/PoolConflict`.",
        fix="Change `spec.blocks` of one of the pools so that no address stands in both.",
        source=f"{_SOURCE} (settleConflicts)",
    ),
    Code(
        code="CS208",
        title="A disabled pool is the only one that could serve a service",
        severities=(Severity.WARN, Severity.FAIL),
        meaning="A pool with `spec.disabled: true` gives no new addresses; those it gave stay.",
        check=_POOLS + ".",
        fix="Remove `spec.disabled` from the pool, or label the service for a pool in use.",
        source=f"{_SOURCE} (LBRange.Disabled)",
    ),
    Code(
        code="CS209",
        title="Services ask for addresses and there is no pool",
        severities=_FAIL,
        meaning=(
            "LB-IPAM sleeps until the first CiliumLoadBalancerIPPool exists, and writes nothing on "
            "any service. Where another controller gives addresses, it is for that one to say why "
            "a service has none (unknown)."
        ),
        check="`kubectl get ciliumloadbalancerippools`.",
        fix=(
            "Create a pool:\n\n```yaml\napiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\n"
            "metadata:\n  name: default\nspec:\n  blocks:\n    - start: 192.0.2.100\n"
            "      stop: 192.0.2.199\n```\n\nOn Cilium 1.17 it is `cilium.io/v2alpha1`."
        ),
        source=f"{_SOURCE} (initialize)",
        follows_from=("CS318",),
    ),
    Code(
        code="CS210",
        title="LB-IPAM is switched off",
        severities=(Severity.FAIL, Severity.WARN, Severity.UNKNOWN),
        meaning=(
            "`enable-lb-ipam` is false in `cilium-config`, while services ask for addresses that "
            "LB-IPAM would give. It is a warning where they still have those that it gave: no "
            "change to them will be followed any more."
        ),
        check=(
            "`kubectl get configmap -n kube-system cilium-config -o yaml | grep enable-lb-ipam`."
        ),
        fix="Set the Helm value `enableLBIPAM: true` and restart the operator.",
        source="Cilium operator/pkg/lbipam/cell.go, from 1.17",
        follows_from=("CS701",),
    ),
    Code(
        code="CS211",
        title="Nobody here serves the service's `loadBalancerClass`",
        severities=_FAIL,
        meaning=(
            "LB-IPAM serves services without class, those of class `io.cilium/bgp-control-plane` "
            "while BGP is on, and those of class `io.cilium/l2-announcer` while L2 announcements "
            "are on. Any other class is for another controller, and none has given the service an "
            "address. The class of a service cannot be changed."
        ),
        check=_SERVICE + ".",
        fix="Switch the feature on, or recreate the service with another class or without one.",
        source=f"{_SOURCE} (isResponsibleForSVC); cell.go (classes)",
        follows_from=("CS301",),
    ),
    Code(
        code="CS212",
        title="A service gets no address of a family that it asks for",
        severities=(Severity.FAIL, Severity.WARN),
        meaning=(
            "Pools select the service, and none in use has a range of that address family. A "
            "dual-stack service then keeps the address of the other family and is called "
            "unsatisfied. It is a warning with `PreferDualStack`."
        ),
        check=f"{_SERVICE}: `spec.ipFamilies`, `spec.ipFamilyPolicy`; {_POOLS}.",
        fix=(
            "Add a block of the missing family to a pool that selects the service. Both families "
            "may come from different pools, if both select it."
        ),
        source=f"{_SOURCE} (serviceIPFamilyRequest, satisfyGenericIPRequests)",
        follows_from=("CS207", "CS208", "CS214"),
    ),
    Code(
        code="CS213",
        title="A service of LB-IPAM's has an address that no pool holds",
        severities=(Severity.WARN,),
        meaning=(
            "LB-IPAM takes away what it did not give, host names too. If it stays, another "
            "controller writes it again and again, or LB-IPAM has not looked since a pool changed."
        ),
        check=f"{_SERVICE} with `--show-managed-fields`: who wrote the status.",
        fix=(
            "Let one controller alone serve it: give the service the other controller's "
            "`loadBalancerClass`, or add a pool that holds the address."
        ),
        source=f"{_SOURCE} (stripOrImportIngresses); cilium#39805",
        follows_from=("CS103", "CS104", "CS214"),
    ),
    Code(
        code="CS214",
        title="A pool is refused, or LB-IPAM has not taken it up",
        severities=(Severity.FAIL, Severity.WARN),
        meaning=(
            "A block is a `cidr`, or `start` with or without `stop`, of one family, start before "
            "stop. Cilium logs `pool upsert failed` and writes no status. A common slip writes "
            "`start` and `stop` as two list items."
        ),
        check=f"{_POOLS}, and the operator's log.",
        fix=(
            "Correct `spec.blocks`:\n\n```yaml\nspec:\n  blocks:\n    - start: 192.0.2.100\n"
            "      stop: 192.0.2.199\n```"
        ),
        source=f"{_SOURCE} (ipRangeFromBlock, handleNewPool)",
        follows_from=("CS103", "CS104"),
    ),
    Code(
        code="CS215",
        title="LB-IPAM's verdict is missing or out of date",
        severities=(Severity.WARN, Severity.FAIL, Severity.UNKNOWN),
        meaning=(
            "All that a service needs is in place, and LB-IPAM says otherwise or nothing, for "
            "longer than it takes to react. Mostly no operator runs: LB-IPAM stands still then, "
            "and what it said last stays. It is a failure while the service has no address."
        ),
        check=(
            "`kubectl get pods -n kube-system -l name=cilium-operator` and "
            "`kubectl logs -n kube-system deployment/cilium-operator`."
        ),
        fix=(
            "Bring the operator back. If it runs, look in its log for `service upsert failed` and "
            "`pool upsert failed`."
        ),
        source=f"{_SOURCE} (setSVCSatisfiedCondition); cilium#41536",
        follows_from=("CS101", "CS102", "CS103", "CS104", "CS111", "CS114", "CS801", "CS802"),
    ),
    Code(
        code="CS216",
        title="A pool is nearly exhausted",
        severities=(Severity.WARN,),
        meaning=(
            "Fewer than 10 % of its addresses of a family are left. A pool of one or two addresses "
            "is meant to be full."
        ),
        check=f"{_POOLS}: the condition `cilium.io/IPsAvailable`.",
        fix="Add a block to the pool, or release addresses that are no longer needed.",
        source=f"{_SOURCE} (updatePoolCounts)",
        follows_from=("CS202",),
    ),
    Code(
        code="CS217",
        title="Services without class are not LB-IPAM's here",
        severities=_FAIL,
        meaning=(
            "`default-lb-service-ipam` names who serves services without `loadBalancerClass`: "
            "`lbipam`, `nodeipam` or `none`. Services that ask for an address wait in vain."
        ),
        check=(
            "`kubectl get configmap -n kube-system cilium-config -o yaml | "
            "grep default-lb-service-ipam`."
        ),
        fix=(
            "Set the Helm value `defaultLBServiceIPAM: lbipam` and restart the operator "
            "(cilium#40888), or give the services a class of LB-IPAM's."
        ),
        source="Cilium operator/pkg/lbipam/cell.go (DefaultLBServiceIPAM), 1.17 to 1.21",
        follows_from=("CS701",),
    ),
    Code(
        code="CS218",
        title="A restart of the operator may renumber services",
        severities=(Severity.WARN,),
        meaning=(
            "At its start the operator takes over only addresses of pools that are in use and "
            "select the service. Those of a disabled or conflicting pool are replaced then."
        ),
        check=f"{_POOLS} and `kubectl get services -A -o wide`.",
        fix="Put the pool back in use, or move the services to another pool.",
        source=f"{_SOURCE} (stripOrImportIngresses, findRangeOfIP); from the code, not observed",
        follows_from=("CS207", "CS208"),
    ),
)
