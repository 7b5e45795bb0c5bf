"""The campaign's table: a row a scenario, whatever was run."""

from __future__ import annotations

import math
import time
from collections import Counter

from campaign import Outcome, Result, Scenario

FINE, UNTRUE, LEAK, INTERRUPTED = 0, 1, 3, 130  # exit codes

_COLUMNS = (  # heading, key of a row
    ("scenario", "scenario"), ("runs", "runs"), ("void", "void"), ("probes", "sent"), ("canary", "canary"),
    ("inverse", "inverse"), ("expected", "as_said"), ("arrived", "arrived"), ("s/run", "seconds"),
    ("longest time without divert", "no_divert"))


def complaints(outcome: Outcome) -> list[str]:
    """What is wrong with a run, as lines; none for a good one."""
    where = f"{outcome.stage}:{outcome.number} run {outcome.run}"
    if outcome.void:
        return [f"{where}: void: {outcome.void}"]
    if not outcome.result:
        return []
    result = outcome.result
    return [*([f"{where}: ARRIVED {result.arrived} {result.capture}".rstrip()] if outcome.arrived else []),
            *(f"{where}: did not work: {text}" for text in result.inverse),
            *(f"{where}: {text}" for text in result.wrong)]


class Progress:
    """A line as each scenario has done a share of its runs."""

    def __init__(self, picked: list[tuple[str, Scenario]], asked: int) -> None:
        self._share = {(stage, scenario.number): min(scenario.chunk, asked) for stage, scenario in picked}
        self._asked = asked
        self._began = time.monotonic()
        self._done: dict[tuple[str, int], Counter[str]] = {key: Counter() for key in self._share}

    def line(self, outcome: Outcome) -> str:
        """After this run; "" where the share is not done yet."""
        key = outcome.stage, outcome.number
        done = self._done[key]
        done.update(runs=1, arrived=outcome.arrived, probes=outcome.result.sent if outcome.result else 0,
                    void=int(bool(outcome.void)))
        if done["runs"] % self._share[key] and done["runs"] != self._asked:
            return ""
        void = f", {done['void']} void" * bool(done["void"])
        return (f"{outcome.stage}:{outcome.number}: {done['runs']} of {self._asked} runs{void}, {done['probes']} probes, "
                f"{done['arrived']} arrived, after {time.monotonic() - self._began:.0f} s")


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of the values does not pass."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def rows(picked: list[tuple[str, Scenario]], outcomes: list[Outcome], asked: int) -> list[dict]:
    return [_row(stage, scenario, [o for o in outcomes if (o.stage, o.number) == (stage, scenario.number)], asked)
            for stage, scenario in picked]


def _row(stage: str, scenario: Scenario, outcomes: list[Outcome], asked: int) -> dict:
    results = [o.result for o in outcomes if o.result]
    arrived: Counter[str] = Counter()
    for result in results:
        arrived.update(result.arrived)
    gaps = [r.no_divert_ms for r in results if r.no_divert_ms is not None]
    figures: dict[str, list[float]] = {}
    for result in results:
        for name, value in result.figures.items():
            figures.setdefault(name, []).append(value)
    return {
        "stage": stage, "number": scenario.number, "name": scenario.name,
        "runs": len(outcomes), "asked": asked, "void": sum(bool(o.void) for o in outcomes),
        "skipped": next((o.skipped for o in outcomes if o.skipped), ""),
        "sent": sum(r.sent for r in results),
        "canary": sum(r.canary for r in results), "results": len(results),
        "inverse": sum(not r.inverse for r in results), "as_said": sum(not r.wrong for r in results),
        "arrived": sum(arrived.values()), "arrived_by_kind": dict(arrived),
        "seconds_per_run": sum(o.seconds for o in outcomes) / len(outcomes) if outcomes else 0,
        "no_divert_ms": _spread(gaps) if gaps else None,
        "figures": {name: _spread(values) for name, values in figures.items()},
        "points": _points(scenario, results),
        "notes": sorted({note for r in results for note in r.notes}),
    }


def _points(scenario: Scenario, results: list[Result]) -> dict[str, int] | None:
    """What the runs have had of the points that they go through in turn."""
    of: dict[str, int] = {}
    for result in results:
        of |= {name: max(count, of.get(name, 0)) for name, count in result.points.items()}
    covered = {point for result in results for point in result.covered}
    return {"covered": len(covered), "of": sum(of.values()), "turns": scenario.turns} if of else None


def _spread(values: list[float]) -> dict[str, float]:
    return {f"p{n}": percentile(values, n / 100) for n in (50, 99, 100)}


def _said(spread: dict[str, float]) -> str:
    if spread["p50"] == spread["p100"]:
        return f"{spread['p50']:g}"
    return f"p50 {spread['p50']:g}, p99 {spread['p99']:g}, max {spread['p100']:g}"


def table(all_rows: list[dict]) -> str:
    cells = [[heading for heading, _ in _COLUMNS], *([_cell(row, key) for _, key in _COLUMNS] for row in all_rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(_COLUMNS))]
    lines = []
    for line, row in zip(cells, [None, *all_rows]):
        left = line[0].ljust(widths[0])
        lines.append("  ".join([left, *(c.rjust(w) for c, w in zip(line[1:-1], widths[1:-1])), line[-1]]).rstrip())
        if row and row["arrived"]:
            lines.append(f"    arrived: {_pairs(row['arrived_by_kind'])}")
        for name, spread in row["figures"].items() if row else ():
            lines.append(f"    {name}: {_said(spread)}")
        if row and (points := row["points"]):
            lines.append(f"    points covered: {points['covered']} of {points['of']}, all in {points['turns']} runs")
        for note in row["notes"] if row else ():
            lines.append(f"    not shown: {note}")
        if row and row["skipped"]:
            lines.append(f"    skipped: {row['skipped']}")
    return "\n".join(lines)


def _pairs(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in sorted(values.items()))


def _cell(row: dict, key: str) -> str:
    if key == "scenario":
        return f"{row['stage']}:{row['number']} {row['name']}"
    if key in ("canary", "inverse", "as_said"):
        return "all" if row[key] == row["results"] else f"{row[key]}/{row['results']}"
    if key == "runs" and row["runs"] != row["asked"]:
        return f"{row['runs']} of {row['asked']}"
    if key == "seconds":
        return f"{row['seconds_per_run']:.2f}"
    if key == "no_divert":
        return f"{_said(row['no_divert_ms'])} ms" if row["no_divert_ms"] else ""
    return str(row[key])


def verdict(all_rows: list[dict], no_divert_p99_ms: float, interrupted: bool = False) -> int:
    if any(row["arrived"] for row in all_rows):
        return LEAK
    if not all(_true(row, no_divert_p99_ms) for row in all_rows):
        return UNTRUE
    if interrupted:
        return INTERRUPTED
    return FINE if all(row["runs"] == row["asked"] for row in all_rows) else UNTRUE


def _true(row: dict, no_divert_p99_ms: float) -> bool:
    """Of what was run."""
    gaps, points = row["no_divert_ms"], row["points"]
    return (not row["void"] and all(row[key] == row["results"] for key in ("canary", "inverse", "as_said"))
            and not (gaps and gaps["p99"] > no_divert_p99_ms)
            and not (points and row["runs"] >= points["turns"] and points["covered"] < points["of"]))
