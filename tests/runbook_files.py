"""Small runbooks for tests: as text, as hypothesis builds them, and as they are walked."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from app.runbooks.engine import Hand
from app.runbooks.schema import END, Choice, Look, Manual, Next, Runbook, Step, StepVerdict

SMALL = """\
title: A session is down
when: Something is down.
parameters:
  session: {kind: session, ask: "Which?", optional: true}
steps:
  - id: state
    ask: Is {session} up?
    look:
      - {findings: [CS401], about: session}
    next: {pass: end, fail: fixed, unknown: end}
  - id: fixed
    ask: Is it up now?
    look:
      - findings: [CS401]
    verify: true
    next: {pass: end}
"""
"""A runbook with nothing wrong in it."""

EVER = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
"""A moment."""

HAND = Hand("ann@desk", EVER)
"""Somebody."""


def manual(*keys: str) -> Manual:
    """A manual step's question; `works` and `fails` where nothing is named."""
    verdicts = {"works": "pass", "fails": "fail", "unsure": "unknown"}
    return Manual(
        do="Look at it.",
        choices=tuple(
            Choice(key=key, says=f"It {key}", verdict=StepVerdict(verdicts[key]))
            for key in keys or ("works", "fails", "unsure")
        ),
    )


def step(id_: str, passed: str = END, fail: str = END, unknown: str = END, **more: object) -> Step:
    """A step that is answered by hand, unless it is told otherwise."""
    asked = {} if "look" in more or "action" in more else {"manual": manual()}
    known: dict[str, object] = {"ask": f"Is {id_} well?", **asked, **more}
    return Step(id=id_, next=Next(passed=passed, fail=fail, unknown=unknown), **known)  # type: ignore[arg-type]


def book(*steps: Step, **more: object) -> Runbook:
    """A runbook of these steps."""
    known: dict[str, object] = {"name": "small", "title": "Small", "when": "Ever.", **more}
    return Runbook(steps=steps, **known)  # type: ignore[arg-type]


def looks(*codes: str) -> tuple[Look, ...]:
    """A look at findings."""
    return (Look(findings=codes),)


_IDS = st.sampled_from(["a", "b", "c", "d", "e"])


@st.composite
def runbooks(draw: st.DrawFn) -> Runbook:
    """Runbooks with steps that lead anywhere, also nowhere and in circles."""
    ids = draw(st.lists(_IDS, min_size=1, max_size=5))
    places = st.sampled_from([*ids, END, END, "", "nowhere"])
    return book(
        *(
            step(id_, draw(places), draw(places), draw(places), verify=draw(st.booleans()))
            for id_ in ids
        )
    )


@st.composite
def sound_runbooks(draw: st.DrawFn) -> Runbook:
    """Runbooks in which every step leads to later ones alone, as sound ones do; some are not."""
    count = draw(st.integers(1, 6))
    ids = [f"s{number}" for number in range(count)]
    steps = []
    for number, id_ in enumerate(ids):
        later = st.sampled_from([*ids[number + 1 :], END])
        follows = ids[number + 1] if number + 1 < count else END
        steps.append(step(id_, draw(st.sampled_from([follows, END])), draw(later), draw(later)))
    return book(*steps)
