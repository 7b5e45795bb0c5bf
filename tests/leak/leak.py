"""leak.py [SCENARIO...] [--runs N] [--seed S] [--jobs J] [--json] [--list]: the leak campaign.

A SCENARIO is a number of the list (8), a stage (netns, nspawn, guest), or both (guest:25); without any, all
of the namespace stage. Exit codes: 0 fine; 1 a statement did not hold, or a run is void; 2 usage; 3 something
arrived.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import multiprocessing
import os
import queue
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]

import report  # noqa: E402 (found by the line above)
from campaign import Outcome, Scenario, Skip, Void, generator  # noqa: E402

STAGES = ("netns", "nspawn", "guest")
NO_DIVERT_P99_MS = 1000


@dataclasses.dataclass(frozen=True)
class Task:
    """Runs that share a world."""

    stage: str
    number: int
    runs: range


def load(stage: str) -> ModuleType | None:
    name = f"stage_{stage}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def chosen(words: list[str], stages: dict[str, ModuleType]) -> list[tuple[str, Scenario]]:
    known = [(stage, s) for stage, module in stages.items() for s in sorted(module.SCENARIOS, key=lambda s: s.number)]
    picked = []
    for word in words or ["netns"]:
        found = [(stage, s) for stage, s in known if word in (stage, str(s.number), f"{stage}:{s.number}")]
        if not found:
            raise LookupError(f"no scenario {word}; --list shows them")
        picked += [entry for entry in found if entry not in picked]
    return picked


def run_task(task: Task, module: ModuleType, seed: int, outcomes: multiprocessing.Queue) -> None:
    scenario = next(s for s in module.SCENARIOS if s.number == task.number)
    left = iter(task.runs)
    run = next(left, None)
    while run is not None:  # a world that broke is made anew
        try:
            with module.world() as world:
                while run is not None:
                    outcome = run_once(scenario, task.stage, world, seed, run)
                    outcomes.put(outcome)
                    run = next(left, None)
                    if outcome.void:
                        break
        except Exception:  # noqa: BLE001 (whatever it was: the run is void, and the text says so)
            outcomes.put(Outcome(task.stage, task.number, run if run is not None else task.runs[-1], 0,
                                 void=f"the world broke:\n{traceback.format_exc()}"))
            run = next(left, None)


def run_once(scenario: Scenario, stage: str, world: object, seed: int, run: int) -> Outcome:
    began = time.monotonic()
    outcome = Outcome(stage, scenario.number, run, 0)
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(scenario.seconds_max)
    try:
        outcome.result = scenario.function(world, generator(seed, stage, scenario.number, run))
    except Skip as reason:
        outcome.skipped = str(reason)
    except Void as reason:
        outcome.void = str(reason)
    except Exception:  # noqa: BLE001
        outcome.void = traceback.format_exc()
    finally:
        signal.alarm(0)
    outcome.seconds = time.monotonic() - began
    return outcome


def _too_long(*_: object) -> None:
    raise TimeoutError("the run takes too long")


def work(tasks: multiprocessing.Queue, seed: int, outcomes: multiprocessing.Queue) -> None:
    """A worker: a lab's namespaces are named by its process."""
    while task := tasks.get():
        run_task(task, load(task.stage), seed, outcomes)
    outcomes.put(None)


def run_tasks(tasks: list[Task], jobs: int, seed: int, show: Callable[[Outcome], None]) -> list[Outcome]:
    todo, done = multiprocessing.Queue(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=work, args=(todo, seed, done)) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for task in [*tasks, *[None] * jobs]:
        todo.put(task)
    outcomes, ended = [], 0
    while ended < jobs:
        try:
            outcome = done.get(timeout=5)
        except queue.Empty:
            if not any(worker.is_alive() for worker in workers):
                raise SystemExit("leak: a worker died; what it did is lost") from None
            continue
        if outcome is None:
            ended += 1
        else:
            outcomes.append(outcome)
            show(outcome)
    for worker in workers:
        worker.join()
    return outcomes


def chunks(stage: str, scenario: Scenario, runs: int) -> list[Task]:
    return [Task(stage, scenario.number, range(first, min(first + scenario.chunk, runs)))
            for first in range(0, runs, scenario.chunk)]


def show(outcome: Outcome) -> None:
    """As it happens: what went wrong in full, the rest as one line."""
    for line in report.complaints(outcome):
        print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev leak", description=__doc__.split("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    parser.add_argument("--runs", type=int, default=5, help="runs of each scenario (5)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the runs' random choices (the time)")
    parser.add_argument("--jobs", type=int, default=2 * os.cpu_count(), help="labs side by side (two a CPU)")
    parser.add_argument("--json", action="store_true", help="results as JSON instead of the table")
    parser.add_argument("--list", action="store_true", help="show the scenarios")
    options = parser.parse_args()

    stages = {stage: module for stage in STAGES if (module := load(stage))}
    if options.list:
        for stage, module in stages.items():
            for scenario in module.SCENARIOS:
                print(f"{stage}:{scenario.number:<4} {scenario.name}")
        return 0
    try:
        picked = chosen(options.scenarios, stages)
    except LookupError as error:
        parser.error(error.args[0])
    began = time.monotonic()
    outcomes: list[Outcome] = []
    for stage, module in stages.items():
        tasks = [task for name, s in picked if name == stage for task in chunks(stage, s, options.runs)]
        jobs = min(options.jobs, getattr(module, "JOBS", options.jobs), len(tasks))
        if tasks:
            outcomes += run_tasks(tasks, jobs, options.seed, show)
    rows = report.rows(picked, outcomes)
    if options.json:
        json.dump({"seed": options.seed, "seconds": time.monotonic() - began, "scenarios": rows}, sys.stdout, indent=2)
        print()
    else:
        print(report.table(rows))
        print(f"{len(outcomes)} runs in {time.monotonic() - began:.0f} s, seed {options.seed}")
    return report.verdict(rows, NO_DIVERT_P99_MS)


if __name__ == "__main__":
    sys.exit(main())
