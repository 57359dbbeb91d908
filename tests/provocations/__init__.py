"""For each code what provokes it in the lab, and what comes close and must not.

One YAML file a block of codes; a row's `provoke` and `near` are scenarios of the lab, and `near`
may extend `provoke` to differ by just the deciding detail. Codes are those of a fail, a warning or
an unknown that nothing explains, unless `root` names the code that explains the provoked one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from app.config.expected_settings import ExpectedSetting
from app.diagnosis.catalog import CODES
from app.diagnosis.diagnoser import diagnose
from app.diagnosis.ignore_file import IgnoreEntry, expired_entries, read_entries
from app.lab.fields import LOADER
from app.lab.scenario import Scenario, read_scenario
from app.lab.store import JsonObject
from app.model.case import Case
from app.model.finding import Finding, Severity
from tests.lab_reading import read_inside

CLUSTER = Path(__file__).parent / "clusters" / "wiki.yaml"
"""What a row extends unless it says otherwise."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the user adds to the cluster: expectations, the outcome of probes, an ignore file."""

    expect: dict[str, str] = {}
    probe: dict[str, str] = {}
    """What a TCP probe of an address came to; "" for a connection."""
    ignore: tuple[JsonObject, ...] = ()


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one code is provoked, and nearly."""

    why: str
    """What decides between the two, in a sentence."""
    provoke: JsonObject
    near: JsonObject
    severity: Severity = Severity.FAIL
    root: str = ""
    """The code under which the provoked one is found; "" where nothing explains it."""
    beside: tuple[str, ...] = ()
    """What else the provoked cluster shows by itself."""
    near_shows: tuple[str, ...] = ()
    """What the near miss shows by itself; nothing, mostly."""
    asked: Asked = Asked()
    asked_near: Asked | None = None
    """What the user adds to the near miss; the same, for None."""


def code_of(name: str) -> str:
    """The code of a row: its name up to a slash, after which stands what tells it apart."""
    return name.partition("/")[0]


def rows() -> dict[str, Row]:
    """Every row by its name, such as CS201 or CS201/annotation. Raises msgspec.ValidationError."""
    found: dict[str, Row] = {}
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        document: object = yaml.load(path.read_text("utf-8"), Loader=LOADER)  # noqa: S506
        found |= msgspec.convert(document, dict[str, Row], strict=False)
    return found


def scenarios(row: Row, folder: Path) -> tuple[Scenario, Scenario]:
    """The provoking scenario and the near miss, by way of files as a user writes them."""
    common = {"description": row.why, "expect": {"sentence": row.why}}
    written = []
    for name, document in (("provoke", row.provoke), ("near", row.near)):
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"extends": str(CLUSTER), **common, **document}))
        written.append(str(path))
    return read_scenario(written[0]), read_scenario(written[1])


def findings(scenario: Scenario, asked: Asked, folder: Path) -> tuple[Finding, ...]:
    """What is found in a scenario's cluster."""
    expected = tuple(ExpectedSetting(key, value) for key, value in asked.expect.items())
    snapshot = read_inside(scenario)
    case = Case(snapshot, expected, asked.probe)
    return (*diagnose(case), *expired_entries(_entries(asked, folder), case.now))


def _entries(asked: Asked, folder: Path) -> tuple[IgnoreEntry, ...]:
    file = folder / "ignore.yaml"
    file.write_text(yaml.safe_dump([dict(entry) for entry in asked.ignore]))
    return read_entries(file, CODES)
