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
from multiprocessing.synchronize import Event
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


def run_task(task: Task, module: ModuleType, seed: int, outcomes: multiprocessing.Queue, stop: Event) -> None:
    scenario = next(s for s in module.SCENARIOS if s.number == task.number)
    left = iter(task.runs)
    run = next(left, None)
    while run is not None and not stop.is_set():  # a world that broke is made anew
        try:
            with module.world() as world:
                while run is not None:
                    outcome = run_once(scenario, task.stage, world, seed, run)
                    if stop.is_set():  # it was cut off
                        return
                    outcomes.put(outcome)
                    run = next(left, None)
                    if outcome.void:
                        break
        except Exception:  # noqa: BLE001 (whatever it was: the run is void, and the text says so)
            if stop.is_set():
                return
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


def work(tasks: multiprocessing.Queue, seed: int, outcomes: multiprocessing.Queue, stop: Event) -> None:
    """A worker: a lab's namespaces are named by its process. What the terminal sends is for the campaign to judge."""
    os.setsid()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    while not stop.is_set() and (task := tasks.get()):
        run_task(task, load(task.stage), seed, outcomes, stop)


class Interruption:
    """Context manager: true once the campaign has been asked to end."""

    def __init__(self) -> None:
        self.asked = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.asked

    def _ask(self, *_: object) -> None:
        self.asked = True


def run_tasks(tasks: list[Task], jobs: int, seed: int, show: Callable[[Outcome], None],
              interruption: Interruption) -> list[Outcome]:
    waiting, done, stop = multiprocessing.Queue(), multiprocessing.Queue(), multiprocessing.Event()
    workers = [multiprocessing.Process(target=work, args=(waiting, seed, done, stop)) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for task in [*tasks, *[None] * jobs]:
        waiting.put(task)
    outcomes = []
    while True:
        if interruption and not stop.is_set():
            print("leak: ends here, and takes down what it has made", file=sys.stderr, flush=True)
            stop.set()
            for worker in workers:
                worker.terminate()
        working = any(worker.is_alive() for worker in workers)
        try:
            outcome = done.get(timeout=0.2)
        except queue.Empty:
            if not working:
                break
            continue
        outcomes.append(outcome)
        show(outcome)
    waiting.cancel_join_thread()
    return outcomes


def chunks(stage: str, scenario: Scenario, runs: int) -> list[Task]:
    return [Task(stage, scenario.number, range(first, min(first + scenario.chunk, runs)))
            for first in range(0, runs, scenario.chunk)]


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
    progress = report.Progress(picked, options.runs)

    def show(outcome: Outcome) -> None:
        """As it happens: what went wrong in full, the rest as a line now and then."""
        for line in (*report.complaints(outcome), progress.line(outcome)):
            if line:
                print(line, file=sys.stderr, flush=True)

    outcomes: list[Outcome] = []
    with Interruption() as interruption:
        for stage, module in stages.items():
            tasks = [task for name, s in picked if name == stage for task in chunks(stage, s, options.runs)]
            jobs = min(options.jobs, getattr(module, "JOBS", options.jobs), len(tasks))
            if tasks and not interruption:
                outcomes += run_tasks(tasks, jobs, options.seed, show, interruption)
    rows = report.rows(picked, outcomes, options.runs)
    seconds = time.monotonic() - began
    if options.json:
        json.dump({"seed": options.seed, "seconds": seconds, "interrupted": bool(interruption), "scenarios": rows},
                  sys.stdout, indent=2)
        print()
    else:
        print(report.table(rows))
        print(f"{len(outcomes)} of {len(picked) * options.runs} runs in {seconds:.0f} s, seed {options.seed}"
              f"{', interrupted' * bool(interruption)}")
    return report.verdict(rows, NO_DIVERT_P99_MS, bool(interruption))


if __name__ == "__main__":
    sys.exit(main())
