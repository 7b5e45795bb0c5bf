"""The campaign's table: a row a scenario, whatever was run."""

from __future__ import annotations

import math
from collections import Counter

from campaign import Outcome, Scenario

FINE, UNTRUE, LEAK = 0, 1, 3  # exit codes

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


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of the values does not pass."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def rows(picked: list[tuple[str, Scenario]], outcomes: list[Outcome]) -> list[dict]:
    return [_row(stage, scenario, [o for o in outcomes if (o.stage, o.number) == (stage, scenario.number)])
            for stage, scenario in picked]


def _row(stage: str, scenario: Scenario, outcomes: list[Outcome]) -> dict:
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
        "runs": len(outcomes), "void": sum(bool(o.void) for o in outcomes),
        "skipped": next((o.skipped for o in outcomes if o.skipped), ""),
        "sent": sum(r.sent for r in results),
        "canary": sum(r.canary for r in results), "results": len(results),
        "inverse": sum(not r.inverse for r in results), "as_said": sum(not r.wrong for r in results),
        "arrived": sum(arrived.values()), "arrived_by_kind": dict(arrived),
        "seconds_per_run": sum(o.seconds for o in outcomes) / len(outcomes) if outcomes else 0,
        "no_divert_ms": _spread(gaps) if gaps else None,
        "figures": {name: _spread(values) for name, values in figures.items()},
        "notes": sorted({note for r in results for note in r.notes}),
    }


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
    if key == "seconds":
        return f"{row['seconds_per_run']:.2f}"
    if key == "no_divert":
        return f"{_said(row['no_divert_ms'])} ms" if row["no_divert_ms"] else ""
    return str(row[key])


def verdict(all_rows: list[dict], no_divert_p99_ms: float) -> int:
    if any(row["arrived"] for row in all_rows):
        return LEAK
    for row in all_rows:
        gaps = row["no_divert_ms"]
        held = all(row[key] == row["results"] for key in ("canary", "inverse", "as_said"))
        if row["void"] or not row["runs"] or not held:
            return UNTRUE
        if gaps and gaps["p99"] > no_divert_p99_ms:
            return UNTRUE
    return FINE
