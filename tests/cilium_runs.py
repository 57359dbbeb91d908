"""Recorded runs of the `cilium` command, and a program that runs them again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec
from hypothesis import strategies as st

from collectors.cilium.answer import Reading
from collectors.process import Completed
from collectors.sanitize import printable, printable_bytes
from collectors.source import ReadError

RECORDINGS = Path(__file__).parent / "recordings"
NAMES = tuple(sorted(path.parent.parent.name for path in RECORDINGS.glob("*/cli/index.json")))
"""The recordings that hold runs of the command."""

Parse: TypeAlias = Callable[[Completed], Reading]

_STAND_IN = """#!{python} -S
import json, os, sys
words, left = [], sys.argv[1:]
while left:
    word = left.pop(0)
    if word in ("--kubeconfig", "--context", "--namespace", "--wait-duration"):
        left.pop(0)
    else:
        words.append(word)
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
folder = {folder!r}
entries = json.load(open(os.path.join(folder, "index.json")))
entry = next(each for each in entries if each["argv"] == words)
for stream, name in ((1, entry["stdout"]), (2, entry["stderr"])):
    left = open(os.path.join(folder, name), "rb").read()
    while left:
        left = left[os.write(stream, left):]
sys.exit(entry["exit"])
"""


def recorded(name: str, *argv: str) -> Completed:
    """One run of a recording, by its argv."""
    return next(run for words, run in runs(name) if words == argv)


def runs(name: str) -> Iterator[tuple[tuple[str, ...], Completed]]:
    """The runs of a recording with their argv."""
    folder = RECORDINGS / name / "cli"
    for entry in json.loads((folder / "index.json").read_text()):
        yield (
            tuple(entry["argv"]),
            Completed(
                code=entry["exit"],
                out=(folder / entry["stdout"]).read_bytes(),
                err=printable_bytes((folder / entry["stderr"]).read_bytes()),
                took=entry["seconds"],
            ),
        )


def error_case(name: str) -> Completed:
    """One of the runs in `cli-errors`, where a stream that stayed empty has no file."""
    base = RECORDINGS / "cli-errors" / name
    meta = base.with_name(f"{name}.meta").read_text()
    told = dict(line.split(": ", 1) for line in meta.splitlines())
    streams = []
    for suffix in ("stdout", "stderr"):
        file = base.with_name(f"{name}.{suffix}")
        streams.append(file.read_bytes() if file.exists() else b"")
    return Completed(
        int(told["rc"]), streams[0], printable_bytes(streams[1]), float(told["wall_s"])
    )


def error_cases(*words: str) -> tuple[str, ...]:
    """The names of the cases in `cli-errors` whose command line has all these words."""
    return tuple(
        sorted(
            file.stem
            for file in (RECORDINGS / "cli-errors").glob("*.meta")
            if {*words} <= {*file.read_text().splitlines()[0].split()}
        )
    )


def stand_in(folder: Path, name: str) -> Path:
    """An executable that prints and exits as a recording says; `calls` tells how it was called."""
    program = folder / f"cilium-{name}"
    program.write_text(
        _STAND_IN.format(
            python=sys.executable,
            folder=str(RECORDINGS / name / "cli"),
            log=str(program.with_suffix(".calls")),
        )
    )
    program.chmod(0o755)
    return program


def calls(program: Path) -> list[list[str]]:
    """The arguments of every call of a stand-in, in order."""
    log = program.with_suffix(".calls")
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def answer_of(parse: Parse, completed: Completed) -> Reading | ReadError:
    """What a command's run comes to: a reading, or the error in its place."""
    try:
        return parse(completed)
    except ReadError as problem:
        return problem


def refused(parse: Parse, completed: Completed) -> ReadError:
    """The error that the run of a command comes to."""
    answer = answer_of(parse, completed)
    assert isinstance(answer, ReadError), answer
    return answer


def assert_printable(answer: Reading | ReadError) -> None:
    """Every string of an answer may be printed."""
    if isinstance(answer, ReadError):
        strings = [answer.message]
    else:
        strings = [*answer.problems, *map(_text, answer.records)]
        strings += [record.key for record in answer.records]
    for string in strings:
        assert printable(string) == string


def _text(record: object) -> str:
    # Encoding leaves what is unsafe as escapes, which reading them again brings back.
    return "\n".join(_strings(json.loads(msgspec.json.encode(record))))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _strings(item)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["\x1b]52;c;x\x07", "\u202e", "QAEBAA==", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
"""Any JSON value, hostile text included."""


def shaped_like(keys: tuple[str, ...]) -> st.SearchStrategy[dict[str, object]]:
    """Objects with some of these keys and any values: they get further than arbitrary JSON."""
    return st.dictionaries(st.sampled_from(keys), JSON, max_size=len(keys))


def completed_runs(out: st.SearchStrategy[bytes]) -> st.SearchStrategy[Completed]:
    """Runs that printed something, said something printable, and ended somehow."""
    said = st.text(max_size=200).map(printable) | st.sampled_from(
        [
            "Errors retrieving peering state: failed to fetch bgp state from a: b\n\n",
            "\nError: Unable to get BGP routes: failed to unmarshal bgp routes from x: y\nz",
            "failed to fetch bgp state from : ",
        ]
    )
    return st.builds(Completed, st.integers(-15, 255), out, said, st.just(0.1))
