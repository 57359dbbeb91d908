"""What the command line takes: its commands, their flags, and the help that tells of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NoReturn

from app.config.config_file import SettingsError
from app.config.settings import OPTIONS, THEME_NAMES, parse_duration
from app.diagnosis.inputs import CATEGORIES
from app.report.tables import WORDS as TABLE_WORDS
from collectors.sanitize import printable

CHECK_OUTPUTS = ("text", "short", "json", "junit", "markdown")

RUNBOOK_WORDS = ("list", "show", "run", "resume", "export", "validate")

CONFIG_WORDS = ("path", "show", "validate")

_DESCRIPTION = """\
Troubleshoot Cilium's BGP load balancing: what is broken, on which evidence.

Without a command the dashboard opens on the cluster of the current kubeconfig context.
"""
_EPILOG = """\
examples:
  ciliscope                              the dashboard on the current context
  ciliscope --context home-ops --no-cli  another context, without exec into the agents
  ciliscope check                        what is wrong, why, and what to do about it
  ciliscope explain service home/web     the way of a service, hop by hop, to the router
  ciliscope runbook run lb-unreachable --param service=home/web
                                         the same as questions, one after another
  ciliscope get services -o wide         which address, pool and announcing nodes, once
  ciliscope lab                          the dashboard on a practice cluster of its own
  ciliscope lab --practice               the same, with a fault to be found
  ciliscope lab home -- get sessions     any command on the practice cluster

environment:
  KUBECONFIG, CILISCOPE_CONFIG, and for each setting of the config file a variable:
  {variables}

exit codes:
  0 answered, nothing found   1 check found something   2 usage, settings, no terminal
  3 something could not be read   130 interrupted
"""


def grammar() -> argparse.ArgumentParser:
    """Parses one command line; ends with SystemExit where there is nothing left to do."""
    program = "kubectl ciliscope" if Path(sys.argv[0]).name.startswith("kubectl-") else "ciliscope"
    shared = _connection_flags()
    variables = ", ".join(option.variable for option in OPTIONS)
    parser = _Parser(
        prog=program,
        description=_DESCRIPTION,
        epilog=_EPILOG.format(variables=variables),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    add = partial(commands.add_parser, parents=[shared], allow_abbrev=False)
    get = add(
        "get",
        help="print one thing once: " + ", ".join(TABLE_WORDS),
        description="Read what is needed, print it, exit. 0: all was read; 3: something needed "
        "could not be read (what could be is printed all the same, the rest told on stderr).",
    )
    get.add_argument("what", choices=TABLE_WORDS, metavar="WHAT", help=", ".join(TABLE_WORDS))
    get.add_argument("-o", "--output", choices=("table", "wide", "json"), default="table")
    _add_timeout(get, "20s")
    _add_check(add)
    _add_explain(add)
    _add_runbook(add)
    config = add(
        "config",
        help="the config file: its path, whether it is well formed, what is in force",
    )
    config.add_argument("word", choices=CONFIG_WORDS, help=", ".join(CONFIG_WORDS))
    add(
        "info",
        help="versions, files and the terminal, for a report of a problem",
    )
    lab = add(
        "lab",
        usage=f"{program} lab [SCENARIO | --replay DIR] "
        "[--practice | --serve | --list | -- COMMAND …]",
        help="a practice cluster on loopback, or a recording of a real one",
        description="Start a small cluster of our own and open the dashboard on it, or run "
        "COMMAND (any other ciliscope command line) against it.",
    )
    lab.add_argument("scenario", nargs="?", metavar="SCENARIO", help="which one (default: home)")
    lab.add_argument("--replay", metavar="DIR", help="serve a recording, frozen, instead")
    lab.add_argument(
        "--practice",
        action="store_true",
        help="hide which fault it is (without SCENARIO one is drawn), tell it in the end",
    )
    lab.add_argument("--serve", action="store_true", help="print the kubeconfig's path and wait")
    lab.add_argument("--list", action="store_true", help="list the scenarios")
    lab.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="for what Cilium leaves to chance (0), and which fault --practice draws",
    )
    return parser


def _add_check(add: Callable[..., _Parser]) -> None:
    check = add(
        "check",
        help="what is wrong, on which evidence, and what to do about it",
        description="Read everything, say what is wrong, exit. 0: nothing at or above the "
        "threshold; 1: findings; 3: nothing found, but not everything could be judged. "
        "Categories: " + ", ".join(CATEGORIES) + ".",
    )
    check.add_argument(
        "categories",
        nargs="*",
        metavar="CATEGORY",
        help="only these, or all that begin so, as bgp (default: all)",
    )
    check.add_argument("-o", "--output", choices=CHECK_OUTPUTS, default="text")
    check.add_argument(
        "--fail-on", choices=("fail", "warn"), default="fail", help="the threshold (fail)"
    )
    check.add_argument("--wait", metavar="DURATION", help="wait so long for the condition")
    check.add_argument(
        "--for",
        dest="condition",
        metavar="CONDITION",
        help="what to wait for: ok (no fail), no-warn, or 'CODE gone' (ok)",
    )
    check.add_argument(
        "--ignore", nargs="+", action="extend", default=[], metavar="CODE", help="leave these out"
    )
    check.add_argument(
        "--ignore-file", metavar="FILE", help="what to leave out (ciliscope-ignore.yaml)"
    )
    check.add_argument(
        "--no-ignore-file", action="store_true", help="read no ignore file, leave nothing out"
    )
    check.add_argument(
        "--expect", metavar="FILE|PROFILE", help="key parameters to hold the cluster to"
    )
    _add_timeout(check, "20s")


def _add_explain(add: Callable[..., _Parser]) -> None:
    explain = add(
        "explain",
        usage="%(prog)s (service NAMESPACE/NAME | ip ADDRESS | prefix CIDR | "
        "session NODE [PEER] | pool NAME | CODE) [-o text|json]",
        help="one service, address, prefix, session, pool or code in full",
        description="Tell all that is known of one thing and what is wrong with it. 2: there is "
        "no such thing; 3: what it takes to tell could not be read.",
    )
    explain.add_argument("what", metavar="WHAT", help="service, ip, prefix, session, pool, or CODE")
    explain.add_argument("names", nargs="*", metavar="NAME", help="which one")
    explain.add_argument("-o", "--output", choices=("text", "json"), default="text")
    _add_timeout(explain, "20s")


def _add_runbook(add: Callable[..., _Parser]) -> None:
    runbook = add(
        "runbook",
        usage="%(prog)s (list | show NAME | run NAME [--param K=V …] | resume FILE | "
        "export FILE | validate FILE) [-o text|json|markdown]",
        help="guided steps to the cause and the fix: list, show, run, resume, export, validate",
        description="Follow a runbook without a screen: each step is judged by the live data, "
        "what must be looked at by hand is answered by --answer or stays open. 0: nothing is "
        "wrong, or it is fixed; 1: a cause was found; 3: something is open or not known. In the "
        "dashboard `r` opens the runbook that fits.",
    )
    runbook.add_argument(
        "word", choices=RUNBOOK_WORDS, metavar="WORD", help=", ".join(RUNBOOK_WORDS)
    )
    runbook.add_argument("what", nargs="?", metavar="NAME|FILE", help="which one")
    runbook.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what the runbook is about, as service=home/web",
    )
    runbook.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="STEP=CHOICE",
        help="what was seen where ciliscope cannot look",
    )
    runbook.add_argument("-o", "--output", choices=("text", "json", "markdown"), default="")
    runbook.add_argument(
        "--allow",
        choices=("connectivity-test",),
        help="run it where a step offers it: it changes the cluster (show tells how)",
    )
    runbook.add_argument("--wait", metavar="DURATION", help="wait so long until it is fixed")
    runbook.add_argument(
        "--elsewhere", action="store_true", help="resume also in a context of another name"
    )
    runbook.add_argument(
        "--hide-addresses", action="store_true", help="print numbers in the place of addresses"
    )
    runbook.add_argument(
        "--no-transcript", action="store_true", help="keep no record in the state folder"
    )
    _add_timeout(runbook, "")


def _add_timeout(command: _Parser, default: str) -> None:
    command.add_argument(
        "--timeout", default=default, metavar="DURATION", help="how long to wait for answers (20s)"
    )


def flags_of(options: argparse.Namespace, given: Mapping[str, str]) -> dict[str, str | None]:
    """What the command line sets, by field; `given` (what a lab sets) takes precedence."""
    return {
        option.field: given.get(option.field) or getattr(options, option.field, None)
        for option in OPTIONS
    }


def config_file(options: argparse.Namespace) -> Path | None:
    """The file of `--config`; None where it was not given."""
    file = getattr(options, "config", None)
    return Path(file) if file else None


def duration(flag: str, text: str) -> float:
    """Seconds that a flag asks for. Raises SettingsError."""
    try:
        return parse_duration(text)
    except ValueError:
        message = f"{flag} is {text!r}; it must be a duration, as 20s or 1m"
        raise SettingsError(message) from None


def _connection_flags() -> _Parser:
    """Flags that stand before or after the command; absent ones leave no trace."""
    flags = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = flags.add_argument_group("connection")
    group.add_argument("--kubeconfig", metavar="FILE", help="the kubeconfig to use")
    group.add_argument("--context", metavar="NAME", help="the kubeconfig context to use")
    group.add_argument(
        "-n", "--namespace", metavar="NAME", help="the namespace Cilium runs in (kube-system)"
    )
    group.add_argument("--cilium", metavar="PROGRAM", help="the cilium command to run (cilium)")
    group.add_argument(
        "--no-cli",
        dest="cli",
        action="store_const",
        const="false",
        help="never run the cilium command: it execs into the agents",
    )
    group.add_argument(
        "--config", metavar="FILE", help="the config file (config.toml in the config folder)"
    )
    group.add_argument("--at", metavar="TIME", help="judge as of this moment (for recordings)")
    group.add_argument(
        "--ascii", action="store_const", const="true", help="draw with ASCII signs only"
    )
    group.add_argument("--theme", metavar="NAME", help=f"auto, {', '.join(THEME_NAMES)}")
    group.add_argument(
        "--mouse", action="store_const", const="true", help="take the mouse (default: leave it)"
    )
    return flags


class _Parser(argparse.ArgumentParser):
    """Refuses what it was given without repeating what that would do to a terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _Version(argparse.Action):
    """Prints the version; looking it up takes longer than all other parsing together."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("ciliscope")
        except PackageNotFoundError:
            found = "(not installed)"
        sys.stdout.write(f"ciliscope {found}\n")
        parser.exit()
