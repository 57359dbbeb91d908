"""The command line: parses, calls, prints, exits. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.settings import OPTIONS, Settings, SettingsError, load, parse_duration

USAGE_ERROR = 2
INTERRUPTED = 130

GET_WORDS = (
    "pods",
    "nodes",
    "sessions",
    "routes",
    "services",
    "pools",
    "logs",
    "config",
    "sources",
)

_DESCRIPTION = """\
Troubleshoot Cilium's BGP load balancing: what is broken, on which evidence.

Without a command the dashboard opens on the cluster of the current kubeconfig context.
"""
_EPILOG = """\
examples:
  ciliscope                              the dashboard on the current context
  ciliscope --context home-ops --no-cli  another context, without exec into the agents
  ciliscope get services -o wide         which address, pool and announcing nodes, once
  ciliscope lab                          the dashboard on a practice cluster of its own
  ciliscope lab home -- get sessions     any command on the practice cluster

environment:
  KUBECONFIG, CILISCOPE_CONFIG, and for each setting of the config file a variable:
  {variables}

exit codes:
  0 answered   2 usage, settings, no terminal   3 something could not be read   130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, inner = _split(words)
    try:
        options = _parser().parse_args(words)
        if options.command == "lab":
            return _lab(options, inner)
        if inner is not None:
            return _refuse("-- stands only after lab, before the command to run on it")
        return _run(options, {})
    except SystemExit as finished:  # argparse has printed help, the version or what is wrong
        return finished.code if isinstance(finished.code, int) else USAGE_ERROR
    except SettingsError as problem:
        return _refuse(str(problem))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `ciliscope get … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    """What stands before the first `--`, and what stands after it (None: there is none)."""
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    program = "kubectl ciliscope" if Path(sys.argv[0]).name.startswith("kubectl-") else "ciliscope"
    shared = _connection_flags()
    variables = ", ".join(option.variable for option in OPTIONS)
    parser = argparse.ArgumentParser(
        prog=program,
        description=_DESCRIPTION,
        epilog=_EPILOG.format(variables=variables),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    get = commands.add_parser(
        "get",
        parents=[shared],
        allow_abbrev=False,
        help="print one thing once: " + ", ".join(GET_WORDS),
        description="Read what is needed, print it, exit. 0: all was read; 3: something needed "
        "could not be read (what could be is printed all the same, the rest told on stderr).",
    )
    get.add_argument("what", choices=GET_WORDS, metavar="WHAT", help=", ".join(GET_WORDS))
    get.add_argument("-o", "--output", choices=("table", "wide", "json"), default="table")
    get.add_argument(
        "--timeout", default="20s", metavar="DURATION", help="how long to wait for answers (20s)"
    )
    lab = commands.add_parser(
        "lab",
        parents=[shared],
        allow_abbrev=False,
        usage=f"{program} lab [SCENARIO | --replay DIR] [--serve | --list | -- COMMAND …]",
        help="a practice cluster on loopback, or a recording of a real one",
        description="Start a small cluster of our own and open the dashboard on it, or run "
        "COMMAND (any other ciliscope command line) against it.",
    )
    lab.add_argument("scenario", nargs="?", metavar="SCENARIO", help="which one (default: home)")
    lab.add_argument("--replay", metavar="DIR", help="serve a recording, frozen, instead")
    lab.add_argument("--serve", action="store_true", help="print the kubeconfig's path and wait")
    lab.add_argument("--list", action="store_true", help="list the scenarios")
    lab.add_argument(
        "--seed", type=int, default=0, metavar="N", help="for what Cilium leaves to chance (0)"
    )
    return parser


def _connection_flags() -> argparse.ArgumentParser:
    """Flags that stand before or after the command; absent ones leave no trace."""
    flags = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
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
    return flags


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


def _settings(options: argparse.Namespace, given: Mapping[str, str]) -> Settings:
    """Settings from the command line; `given` (what the lab sets) stands above it."""
    flags: dict[str, str | None] = {
        option.field: given.get(option.field) or getattr(options, option.field, None)
        for option in OPTIONS
    }
    file = getattr(options, "config", None)
    return load(flags, path=Path(file) if file else None)


def _run(options: argparse.Namespace, given: Mapping[str, str]) -> int:
    settings = _settings(options, given)
    if options.command == "get":
        return _get(options, settings)
    return _dashboard(settings)


def _get(options: argparse.Namespace, settings: Settings) -> int:
    try:
        deadline = parse_duration(options.timeout)
    except ValueError:
        return _refuse(f"--timeout is {options.timeout!r}; it must be a duration, as 20s or 1m")
    from app.feeds import Wiring
    from app.get import run

    return run(Wiring(settings), options.what, options.output, deadline)


def _dashboard(settings: Settings) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _refuse("the dashboard needs a terminal; `ciliscope get WHAT` prints without one")
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        return _refuse(
            "TERM=dumb cannot show the dashboard; set TERM to what your terminal is, or use "
            "`ciliscope get WHAT`"
        )
    from app.feeds import Wiring
    from app.tui import run_dashboard

    return run_dashboard(Wiring(settings))


def _lab(options: argparse.Namespace, inner: list[str] | None) -> int:
    from app.lab import launch

    if options.list:
        for name, description in launch.scenarios():
            sys.stdout.write(f"{name:<28} {description}\n")
        return 0
    if options.scenario and options.replay:
        return _refuse("lab takes a SCENARIO or --replay DIR, not both")
    if options.serve and inner is not None:
        return _refuse("lab takes --serve or -- COMMAND, not both")
    for word in ("kubeconfig", "context", "cilium", "at"):
        if hasattr(options, word):
            return _refuse(f"lab brings its own --{word}")
    command = options if inner is None else _parser().parse_args(inner)
    if inner is not None and command.command == "lab":
        return _refuse("a lab cannot run inside a lab")
    replay = Path(options.replay) if options.replay else None
    try:
        with launch.start_lab(options.scenario, replay=replay, seed=options.seed) as lab:
            given = {"kubeconfig": str(lab.kubeconfig), "context": lab.context}
            given["cilium"] = str(lab.cilium)
            if lab.at is not None:
                given["at"] = lab.at.isoformat()
            if options.serve:
                sys.stderr.write(_how_to_use(given))
                return launch.serve(lab, sys.stdout)
            return _run(command, given)
    except launch.LabFailed as problem:
        return _refuse(str(problem))


def _how_to_use(given: Mapping[str, str]) -> str:
    names = {"kubeconfig": "KUBECONFIG", "cilium": "CILISCOPE_CILIUM", "at": "CILISCOPE_AT"}
    words = [f"{names[field]}={shlex.quote(given[field])}" for field in names if field in given]
    return f"The lab runs until ctrl-c. In another shell:\n  export {' '.join(words)}\n"


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"ciliscope: {sentence}\n")
    return USAGE_ERROR
