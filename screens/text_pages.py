"""The texts that keys and words open: why, a description, an object, a code, what is read."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from app.diagnosis.explain import ABOUT, NoSuchThing
from app.model.finding import Ref
from app.report.explanation_lines import code_lines, explanation_lines
from app.report.finding_lines import SCREEN
from app.report.lines import Line, lines_of, plain
from app.state.kinds import NODE_CONFIGS, OF_OBJECT
from app.state.snapshot import Snapshot
from screens.base.cluster_handle import ClusterLink
from screens.base.equivalents import ciliscope, explain_command, kubectl
from screens.base.selection import Equivalent, Selection
from screens.describe import describe
from screens.info_lines import info_lines
from screens.text_view import Text

if TYPE_CHECKING:
    from app.model.case import Case

_NOTHING_YET = (plain(" Nothing is read yet.", "none"),)

OBJECT_WAIT = 0.5
"""Seconds for which the key waits for an object; what comes later fills the text in."""


def why(link: ClusterLink, about: Selection) -> Text:
    """Why a thing is as it is: what `ciliscope explain` tells of it, made again on every change."""

    def tells(snapshot: Snapshot) -> Sequence[Line]:
        return _once_read(snapshot, lambda: _explained(link, snapshot, about))

    snapshot = link.monitor.snapshot
    commands = (explain_command(about.question, snapshot),) if about.question else ()
    return Text(title="why", tells=tells, about=about, equivalents=commands)


def description(link: ClusterLink, about: Selection) -> Text:
    """What is known of an object, without its YAML."""

    def tells(snapshot: Snapshot) -> Sequence[Line]:
        def told() -> Sequence[Line]:
            findings = link.judge.verdict(snapshot).concerning([about.ref])
            return describe(snapshot, about.ref, findings)

        return _once_read(snapshot, told)

    return Text(
        title="description",
        tells=tells,
        about=about,
        equivalents=(_kubectl(link, "describe", "its description", about.ref),),
    )


def yaml_of(link: ClusterLink, about: Selection, ref: Ref) -> Text:
    """An object that is being read; the text is told when it has come."""
    return Text(
        title="yaml",
        tells=lambda _: [plain(f" reading {ref} …", "none")],
        about=about,
        live=False,
        wrap=False,
        equivalents=(_kubectl(link, "get -o yaml", "its YAML", ref),),
    )


def code(name: str, snapshot: Snapshot) -> Text:
    """What a code means."""

    def tells(_: Snapshot) -> Sequence[Line]:
        return lines_of(code_lines(name))

    command = ciliscope(snapshot, "this page", "explain", name)
    return Text(title=name, tells=tells, live=False, equivalents=(command,))


def info(facts: Callable[[], Mapping[str, str]]) -> Text:
    """What is read, how each source is, and where files are kept."""

    def tells(snapshot: Snapshot) -> Sequence[Line]:
        return info_lines(snapshot, facts())

    return Text(title="Info", tells=tells)


def object_of(about: Selection, snapshot: Snapshot) -> Ref | None:
    """The object of the API that stands for a thing; None where there is none."""
    if about.ref.kind in OF_OBJECT:
        return about.ref
    node = about.ref.name.split("/", 1)[0]
    if about.ref.kind == "Session" and node in snapshot.records[NODE_CONFIGS]:
        return Ref("CiliumBGPNodeConfig", node)
    return None


def _once_read(snapshot: Snapshot, told: Callable[[], Sequence[Line]]) -> Sequence[Line]:
    return _NOTHING_YET if snapshot.setting_up else told()


def _explained(link: ClusterLink, snapshot: Snapshot, about: Selection) -> Sequence[Line]:
    case: Case = link.judge.case(snapshot)
    findings = link.judge.verdict(snapshot).findings
    what, *names = about.question or ("",)
    if what in ABOUT:
        try:
            return lines_of(explanation_lines(ABOUT[what](case, findings, names), SCREEN))
        except NoSuchThing as problem:
            return [plain(f" {problem}", "unknown")]
    concerned = link.judge.verdict(snapshot).concerning([about.ref])
    lines = describe(snapshot, about.ref, concerned)
    return [*lines, (), *lines_of(code_lines(names[0]))] if what == "code" else lines


def _kubectl(link: ClusterLink, verb: str, tells: str, ref: Ref) -> Equivalent:
    name = f"{ref.kind.lower()} {shlex.quote(ref.name)}"
    words = verb.replace("get", f"get {name}", 1) if verb.startswith("get") else f"{verb} {name}"
    return Equivalent(tells, kubectl(link.monitor.snapshot, words, ref.namespace))
