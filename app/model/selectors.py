"""Whether a label selector selects: Kubernetes semantics, and the labels Cilium adds."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.kubernetes.records import LabelSelector, Requirement, Service

SERVICE_NAME_LABEL = "io.kubernetes.service.name"
SERVICE_NAMESPACE_LABEL = "io.kubernetes.service.namespace"


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether the labels fulfil every requirement; an empty selector selects all.

    What an absent selector (None) means differs per field (`docs/cilium.md`, "Selectors"), so the
    caller decides that. An unknown operator fulfils nothing.
    """
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _fulfils(requirement, labels) for requirement in selector.match_expressions
    )


def service_labels(service: Service) -> Mapping[str, str]:
    """The labels that pools and advertisements see: the service's own and two virtual ones.

    Cilium operator/pkg/lbipam/service_store.go, pkg/bgp/manager/reconciler/service.go.
    """
    return {
        **service.metadata.labels,
        SERVICE_NAME_LABEL: service.name,
        SERVICE_NAMESPACE_LABEL: service.namespace,
    }


def describe(selector: LabelSelector) -> str:
    """The selector as kubectl writes one: `a=b,c in (d,e),!f`; "everything" for an empty one."""
    parts = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    parts += [_words(requirement) for requirement in selector.match_expressions]
    return ",".join(parts) or "everything"


def _words(requirement: Requirement) -> str:
    values = ",".join(requirement.values)
    match requirement.operator:
        case "Exists":
            return requirement.key
        case "DoesNotExist":
            return f"!{requirement.key}"
        case operator:
            return f"{requirement.key} {operator.lower()} ({values})"


def _fulfils(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
