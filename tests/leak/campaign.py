"""What a leak campaign is made of, whichever stage its runs take place in: scenarios, runs, results.

A stage is a module stage_NAME.py beside this file. It exposes

    SCENARIOS   a list of Scenario
    world()     a context manager that makes what the runs need; each chunk of runs has one of its own
    JOBS        how many of its worlds may stand side by side (optional; without it as many as the campaign likes)

and a scenario's function takes that world and a random generator, which is the run's alone, and returns
a Result. It raises Void where the run proves nothing (the oracle did not see the canary) and Skip where this
machine cannot show the thing at all. What it raises otherwise makes the run void, too, and is shown.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class Void(Exception):
    """The run proves nothing; the text says why."""


class Skip(Exception):
    """This machine cannot show the scenario; the text says what it lacks."""


@dataclass
class Result:
    """What one run has shown. A run is fine when nothing arrived, and `inverse` and `wrong` are empty."""

    sent: int = 0  # probes across the fault
    canary: bool = False  # the oracle has seen every one of the run's kinds of probe while there were no rules
    arrived: dict[str, int] = field(default_factory=dict)  # what the oracle saw under the rules, by kind
    inverse: list[str] = field(default_factory=list)  # what should have worked and did not
    wrong: list[str] = field(default_factory=list)  # what the client or the kernel showed and should not have
    no_divert_ms: float | None = None  # after a kill: the longest time without an answer of ours
    capture: str = ""  # the file with the frames, where something arrived
    notes: list[str] = field(default_factory=list)  # what this machine could not show
    figures: dict[str, float] = field(default_factory=dict)  # further measures: the table shows the worst of each
    # Where the runs go through points in turn: which this one has had, and how many there are, by way.
    covered: set[tuple] = field(default_factory=set)
    points: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    number: int  # as in the list of the campaign
    name: str
    function: Callable[[Any, Draws], Result]
    chunk: int = 25  # runs that share a world
    seconds_max: int = 60  # a run that takes longer is void
    turns: int = 0  # so many runs go through all points: a campaign of as many must have had them all


@dataclass
class Outcome:
    """One run in the table: a Result, or the reason why there is none."""

    stage: str
    number: int
    run: int
    seconds: float
    result: Result | None = None
    void: str = ""
    skipped: str = ""

    @property
    def arrived(self) -> int:
        return sum(self.result.arrived.values()) if self.result else 0


class Draws(random.Random):
    """What a run draws: the same whatever else is run beside it."""

    turn: int  # goes up by one from run to run: for what is gone through in order


def generator(seed: int, stage: str, number: int, run: int) -> Draws:
    draws = Draws(f"{seed} {stage} {number} {run}")
    draws.turn = seed + run
    return draws
