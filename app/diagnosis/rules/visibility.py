"""CS8: what ciliscope could not read, and why: rights, sources, the command, the clock.

The other rules are silent about what they could not read; these say what that is. They never fail:
not to know is *unknown*, and one missing right or one dead connection is reported once. Source of
the words of a refusal: Kubernetes apiserver pkg/endpoints/handlers/responsewriters/errors.go,
`forbiddenMessage`: `RESOURCE "NAME" is forbidden: User "U" cannot VERB resource "R" in API group
"G" [in the namespace "N" | at the cluster scope]`, `forbidden: User "U" cannot VERB path "P"`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.diagnosis.inputs import not_granted
from app.diagnosis.rules.agent_health import agent_errors, commands, exec_forbidden
from app.diagnosis.rules.pods import live, pod_ref
from app.model.case import CLOCKS_AGREE, Case
from app.model.finding import Evidence, Finding, Ref, Severity, Topic
from app.model.health import BGPV1_REMOVED, node_unready
from app.model.wording import named, quoted, span
from app.state import kinds
from app.state.kinds import Kind
from app.state.snapshot import SourceHealth, State
from collectors.kubernetes.resources import Rights, resources

_WORDS = re.compile(r'(?:[^\s:]+(?: "[^"]*")? is )?forbidden: User .+?(?= \(HTTP \d+\)|; grant |$)')
_WHO = re.compile(r'User "([^"]+)"')
_VERB = re.compile(r"cannot (\w+) (?:resource|path) ")
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal."""

    source: str
    """Label of the source that met it."""
    words: str
    """What the API server said, without what our side says around it."""
    who: str
    """Who was refused, as a subject of a role binding; "" where it was not told."""
    verb: str
    """What was refused: `list`; "" where it was not told."""


def refusals(case: Case, sources: Iterable[SourceHealth]) -> tuple[Refusal, ...]:
    """The refusals that these sources met, each wording once."""
    by_kind = {kind: error for kind, _, error in agent_errors(case) if exec_forbidden(error)}
    found: dict[str, Refusal] = {}
    for source in sources:
        # A command that ran has no error of its own: what each agent's exec met is in its answer.
        said = source.error or by_kind.get(source.kind, "") or str(source.state)
        shown = _WORDS.search(said)
        words = shown[0] if shown else said
        found.setdefault(words, _refusal(source.label, words))
    return tuple(found.values())


def _refusal(label: str, words: str) -> Refusal:
    who, verb = _WHO.search(words), _VERB.search(words)
    return Refusal(label, words, _subject(who[1]) if who else "", verb[1] if verb else "")


def _subject(user: str) -> str:
    namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
    return f"ServiceAccount {namespace}/{name}" if user.startswith(_ACCOUNT) else f"User {user}"


WAITING = 15.0
"""Seconds after which a source that has not answered yet, or no more, is worth a word."""
_SHOWN = 4
"""Of so many sources the name, and what was said, is shown: there may be one for each node."""

_COMMANDS_WHY = (
    "what only the agents know is unknown: sessions as they see them, the routes they announce, "
    "their own status"
)
_WHY: Mapping[Kind[object], str] = MappingProxyType(
    {
        kinds.VERSION: "it is unknown whether the API server answers, and which version it is",
        kinds.OPERATOR_LOG: "what the operator did and refused is known from conditions alone",
        kinds.AGENT_LOGS: "why a session is down can be told from its state alone",
        **dict.fromkeys(kinds.COMMANDS, _COMMANDS_WHY),
    }
)
_TOO_OLD = "does not know"
"""What the refusal of a program that is too old says: `collectors.cilium.answer`."""
_ENDED = "had not ended after"
"""What is said of a command that took too long: an agent may keep it (`collectors.cilium.cli`)."""


def forbidden(case: Case) -> Iterator[Finding]:
    """CS801: a right is missing; once for each right, however many sources need it."""
    rules, why = _reading_list(case.namespace)
    groups: dict[Rights, list[SourceHealth]] = {}
    for health in case.snapshot.health.values():
        rights = rules.get(health.kind)
        if rights is not None and (health.state is State.FORBIDDEN or _cannot_exec(case, health)):
            groups.setdefault(rights, []).append(health)
    for rights, sources in groups.items():
        sources.sort(key=lambda health: health.label)
        yield _forbidden(case, rights, sources, why[sources[0].kind])


def failing(case: Case) -> Iterator[Finding]:
    """CS802: a source fails, is stale, or has not answered yet."""
    why = _reading_list(case.namespace)[1]
    for health in case.snapshot.health.values():
        if health.kind is kinds.CLI_VERSION:  # nothing is judged by it
            continue
        waits = case.age(health.since) or 0.0
        late = health.state in (State.LOADING, State.STALE) and waits >= WAITING
        if health.state is State.FAILING or late:
            yield _failing(case, health, why.get(health.kind, "what it tells is unknown"))


def command(case: Case) -> Iterator[Finding]:
    """CS803: there is no `cilium` command that can be used."""
    tried = [each for each in commands(case) if each.state not in (State.OFF, State.LOADING)]
    if not tried or case.snapshot.health_of(kinds.VERSION).state in (State.FAILING, State.STALE):
        return  # it is not run, or fails as everything does
    broken = [each for each in tried if _unusable(each)]
    if any(_TOO_OLD in each.error for each in tried):
        yield _command(case, tried, "is too old for what it is asked", _upgrade_words())
    elif any(each.state is State.ABSENT for each in tried):
        yield _command(case, tried, "is missing", "install cilium-cli 0.18.6 or later")
    elif len(broken) == len(tried) and not any(_ENDED in each.error for each in tried):
        words = "run it by hand, and see that it reaches the cluster that this program reads"
        yield _command(case, tried, "fails whatever it is asked", words)


def clocks(case: Case) -> Iterator[Finding]:
    """CS804: the local clock and the API server's differ."""
    skew = case.clock_skew
    if skew is None:
        return
    health = case.snapshot.health_of(kinds.VERSION)
    # The answer may have been on its way for half the time the request took.
    if abs(skew) - (health.took or 0.0) / 2 <= CLOCKS_AGREE:
        return
    order = "ahead of" if skew > 0 else "behind"
    yield Topic("CS804", Severity.WARN, Ref("Cluster")).finding(
        summary=f"the API server's clock is {span(abs(skew))} {order} the local one",
        evidence=(case.saw(kinds.VERSION, "GET /version", "Date", f"{skew:+.1f} s"),),
        remedy="set both clocks by NTP; until then ages shown here are off by as much, leases and "
        "certificates may seem expired or not yet valid",
        command="date -u; kubectl get --raw /version -v=8 2>&1 | grep -i 'date:'",
    )


def _reading_list(
    namespace: str,
) -> tuple[Mapping[Kind[object], Rights], Mapping[Kind[object], str]]:
    """What right each kind takes, and what cannot be judged without it."""
    known = resources(namespace)
    execs = Rights(("",), ("pods/exec",), ("create", "get"), (), namespace)
    log = Rights(("",), ("pods/log",), ("get",), (), namespace)
    rules: dict[Kind[object], Rights] = {
        **{kinds.KINDS[each.kind]: each.rights() for each in known},
        **dict.fromkeys(kinds.COMMANDS, execs),
        **dict.fromkeys(kinds.LOGS, log),
        kinds.VERSION: Rights((), ("/version",), ("get",), (), ""),
    }
    return rules, {**_WHY, **{kinds.KINDS[each.kind]: each.why for each in known}}


def _cannot_exec(case: Case, health: SourceHealth) -> bool:
    """Whether a command ran and was refused by every agent, or some: it answers all the same."""
    return health.kind in kinds.COMMANDS and any(
        kind == health.kind and exec_forbidden(error) for kind, _, error in agent_errors(case)
    )


def _forbidden(case: Case, rights: Rights, sources: list[SourceHealth], why: str) -> Finding:
    one, refs = sources[0], tuple(Ref("Source", each.label) for each in sources)
    said = refusals(case, sources)
    what = f"{'/'.join(rights.verbs)} {'/'.join(rights.resources)}"
    where = f" in namespace {rights.namespace}" if rights.namespace else ""
    who = next((each.who for each in said if each.who), "")
    severity = Severity.INFO if all(map(not_granted, sources)) else Severity.UNKNOWN
    return Topic("CS801", severity, refs[0]).finding(
        summary=f"{_labels(sources)}: not allowed to {what}{where}, so {why}",
        evidence=tuple(
            Evidence(each.source, what + where, "refusal", each.words) for each in said[:_SHOWN]
        ),
        remedy=f"grant this{f' to {who}' if who else ''}, in a {_role(rights)}:\n"
        f"{rights_yaml(rights)}" + _exec_warning(one.kind),
        command=_can_i(rights, next((each.verb for each in said if each.verb), "")),
        about=refs,
    )


def _labels(sources: list[SourceHealth]) -> str:
    return named((each.label for each in sources), _SHOWN)


def _exec_warning(kind: Kind[object]) -> str:
    if kind not in kinds.COMMANDS:
        return ""
    return "\nor run without it, by --no-cli: exec into the agents is as good as root on the nodes"


def _role(rights: Rights) -> str:
    return f"Role in namespace {rights.namespace}" if rights.namespace else "ClusterRole"


def rights_yaml(rights: Rights) -> str:
    """The RBAC rule, ready to be put under `rules:`."""
    if rights.resources == ("/version",):
        return "- nonResourceURLs: [/version]\n  verbs: [get]"
    lines = [
        f"- apiGroups: [{', '.join(group or _CORE for group in rights.api_groups)}]",
        f"  resources: [{', '.join(rights.resources)}]",
    ]
    if rights.resource_names:
        lines.append(f"  resourceNames: [{', '.join(rights.resource_names)}]")
    return "\n".join((*lines, f"  verbs: [{', '.join(rights.verbs)}]"))


_CORE = '""'


def _can_i(rights: Rights, refused: str) -> str:
    """Asks for the verb that was refused, where the refusal tells it."""
    verb, what = refused if refused in rights.verbs else rights.verbs[-1], rights.resources[0]
    if "/" in what.removeprefix("/"):
        what, _, subresource = what.partition("/")
        part = f" --subresource={subresource}"
        verb = rights.verbs[0]
    else:
        group = rights.api_groups[0] if rights.api_groups else ""
        what, part = f"{what}.{group}" if group else what, ""
    name = f"/{rights.resource_names[0]}" if rights.resource_names else ""
    where = f" -n {rights.namespace}" if rights.namespace else ""
    return f"kubectl auth can-i {verb} {what}{name}{part}{where}"


def _failing(case: Case, health: SourceHealth, why: str) -> Finding:
    ref = Ref("Source", health.label)
    api = health.kind == kinds.VERSION
    return Topic("CS802", Severity.UNKNOWN, ref).finding(
        summary=f"{_failing_words(case, health)}, so {why}",
        evidence=(_evidence(case, health),),
        remedy=_failing_remedy(health),
        command="kubectl get --raw /version" if api else "ciliscope get sources",
        blames=() if api else _blamed(case, health),
    )


def _blamed(case: Case, health: SourceHealth) -> tuple[Ref, ...]:
    """What may keep a source from answering: the API server, and a node that it goes through.

    `cilium status` waits minutes for an agent on a node that is cut off (`docs/cilium.md`); a log
    comes from the kubelet of the container's node.
    """
    refs = [Ref("Source", health.label)]
    refs.append(Ref("Source", case.snapshot.health_of(kinds.VERSION).label))
    if health.kind in (*kinds.COMMANDS, *kinds.LOGS):
        found = sorted(case.records[kinds.NODES].items())
        refs += [Ref("Node", name) for name, node in found if node_unready(node)]
    if health.kind == kinds.OPERATOR_LOG:
        refs += [pod_ref(found.pod) for found in live(case, "operator")]
    return tuple(refs)


def _failing_words(case: Case, health: SourceHealth) -> str:
    name = "the API server" if health.kind == kinds.VERSION else health.label
    for_ = span(case.age(health.since) or 0.0)
    if health.state is State.LOADING:
        return f"{name}: no answer yet after {for_}"
    state = "is silent" if health.state is State.STALE else "cannot be read"
    error = f" ({quoted(health.error)})" if health.error else ""
    last = case.age(health.read_at)
    never = "and was never read" if last is None else f"and was last read {span(last)} ago"
    return f"{name} {state} since {for_}{error} {never}"


def _failing_remedy(health: SourceHealth) -> str:
    if health.kind == kinds.VERSION:
        return (
            "see that the API server runs, that this machine reaches it, and that the credentials "
            "are still good; what is shown is what was last known"
        )
    if health.error:
        return "the error says what is in the way; it is tried again by itself"
    asked = "has not answered yet" if health.state is State.LOADING else "fell silent"
    return (
        f"nothing says what is in the way: it {asked}; see whether the API server, or the agents "
        "that the command asks, are slow, and wait: it is tried again by itself"
    )


def _evidence(case: Case, health: SourceHealth) -> Evidence:
    value = f"{health.state}{f': {health.error}' if health.error else ''}"
    if health.next_try is not None:
        wait = (health.next_try - case.now).total_seconds()
        value += f"; next attempt {f'in {span(wait)}' if wait > 0 else 'now'}"
    return Evidence(health.label, "source", "state", value, case.age(health.read_at))


def _unusable(health: SourceHealth) -> bool:
    return health.state in (State.FAILING, State.ABSENT)


def _upgrade_words() -> str:
    return (
        "install cilium-cli 0.18.6 or later, and see that `cilium` on the PATH is that program: "
        "inside an agent's image another one has the same name"
    )


def _command(case: Case, tried: list[SourceHealth], what: str, remedy: str) -> Finding:
    bad = next((each for each in tried if _TOO_OLD in each.error), tried[0])
    v1 = (0, 0) < case.version < BGPV1_REMOVED and bool(case.records[kinds.PEERING_POLICIES])
    lost = (
        "sessions and routes of BGPv1 are not known at all, as nothing else tells them"
        if v1
        else "sessions are known from the API alone, and what is really announced is not"
    )
    return Topic("CS803", Severity.WARN, Ref("Cluster")).finding(
        summary=f"the cilium command {what}, so {lost}: {quoted(bad.error) or bad.state}",
        evidence=tuple(_evidence(case, each) for each in tried if each.error),
        remedy=f"{remedy}; name another program with --cilium, or do without by --no-cli",
        command="cilium version --client",
        about=tuple(Ref("Source", each.label) for each in tried if _unusable(each)),
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (forbidden, failing, command, clocks)
"""Every rule of the block CS8."""
