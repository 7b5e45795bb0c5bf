"""What a run of the bench says: lines on the terminal, docs/PERFORMANCE.md and a plot."""

import argparse
import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import plot
from rows import DIVERTED, NO_BOUND, PEER, RAW, SINK, SMART, SOURCE
from sinks import CLIENT_CPU, SINK_CPU

WIDTHS = (60, 9, 31, 31, 31, 24)

OTHERS_AT_MOST = 0.05  # of the CPUs' time: more shows in the figures


@dataclass
class RowResult:
    title: str
    unit: str
    figures: dict[str, list[dict]]  # by taker, a result a run

    def us(self, taker: str) -> float:
        return median(r["us"] for r in self.figures[taker])

    def rate(self, taker: str) -> float:
        return median(r["rate"] for r in self.figures[taker])

    def ratios(self) -> list[float]:
        """CPU of mxmirage's sink mode, of what there is to hold it against, run by run."""
        of, against = (DIVERTED, SINK) if DIVERTED in self.figures else (SINK, PEER)
        if of not in self.figures or against not in self.figures:
            return []
        return [a["us"] / b["us"] for a, b in zip(self.figures[of], self.figures[against])]


@dataclass
class ClaimResult:
    text: str
    seen: list[float]
    bound: str
    held: bool
    floor: list[float]  # the same of raw, where that says something


@dataclass
class Results:
    rows: list[RowResult] = field(default_factory=list)
    claims: list[ClaimResult] = field(default_factory=list)

    def add(self, title: str, unit: str, figures: dict[str, list[dict]]) -> None:
        self.rows.append(RowResult(title, unit, figures))

    def claim(self, text: str, seen: list[float], bound: str, held, floor: list[float] | None = None) -> None:
        self.claims.append(ClaimResult(text, seen, bound, held(median(seen)), floor or []))

    def all_held(self) -> bool:
        return all(claim.held for claim in self.claims)

    def foreign(self) -> float:
        """The most that others took of the CPUs in a run."""
        return max((r["foreign"] for row in self.rows for runs in row.figures.values() for r in runs), default=0.0)


def spread(values: list[float]) -> str:
    digits = 0 if min(values) > 10 else 3
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def verdict(claim: ClaimResult) -> str:
    if claim.bound == NO_BOUND:
        return ""
    return "holds" if claim.held else "DOES NOT HOLD"


def floor(claim: ClaimResult) -> str:
    return f"raw: {median(claim.floor):.3f}" if claim.floor else ""


def cost(runs: list[dict]) -> str:
    """CPU time a message, rate, and of how much of its CPU the sink and the client made use."""
    us, rate, sink, client = (median(r[key] for r in runs) for key in ("us", "rate", "sink", "client"))
    return f"{us:.1f} µs, {rate:,.0f}/s, {100 * sink:.0f}:{100 * client:.0f} %"


def cells(row: RowResult) -> list[str]:
    """Title, raw, smtp-sink, sink mode, smart mode (through the divert: diverted in its place), ratio."""
    fields = [row.title, f"{row.us(RAW):.1f} µs" if RAW in row.figures else ""]
    if SOURCE in row.figures:
        return [row.title, "", *(f"{name}: {cost(row.figures[name])}" for name in row.figures), ""]
    for taker in (PEER, SINK, DIVERTED if DIVERTED in row.figures else SMART):
        fields.append(cost(row.figures[taker]) if taker in row.figures else "")
    return [*fields, spread(row.ratios()) if row.ratios() else ""]


def line(columns: list[str]) -> None:
    print("  ".join(text.ljust(width) for text, width in zip(columns, WIDTHS)).rstrip(), flush=True)


def print_heading() -> None:
    line(["", RAW, PEER, SINK, "smart mode (diverted)", "ratio"])


def print_row(row: RowResult) -> None:
    line(cells(row))


def print_targets(results: Results) -> None:
    print("\nTargets")
    for claim in results.claims:
        print(f"  {claim.text:<82} {spread(claim.seen):<24} {claim.bound:<14} {verdict(claim):<14} {floor(claim)}".rstrip())
    hour = per_hour(results)
    if hour:
        print("\n" + hour)
    print("\n" + others(results.foreign()))


def others(share: float) -> str:
    trust = "" if share <= OTHERS_AT_MOST else ": TOO BUSY TO TRUST THESE FIGURES, run it again on a quiet machine"
    return f"Others took at most {100 * share:.0f} % of the CPUs' time in any run{trust}."


def print_others(share: float) -> None:
    """Before the first run."""
    if share > OTHERS_AT_MOST:
        print(f"Others take {100 * share:.0f} % of the CPUs' time now: too much to trust what follows.\n")


def per_hour(results: Results) -> str:
    """In the form that senders publish their rates in."""
    row = next((r for r in results.rows if r.title.startswith("100 KB, 20 connections, pipelined")), None)
    if row is None or SMART not in row.figures:
        return ""
    sentences = []
    for taker in (PEER, SINK, SMART):
        busy = median(r["sink"] for r in row.figures[taker])
        sentences.append(f"{taker}: {row.rate(taker) * 3600 / 1e6:.1f} million seen, with {100 * busy:.0f} % of one CPU; "
                         f"{3600 / row.us(taker):.1f} million is what a CPU of its own would carry")
    return "Messages of 100 KB an hour, pipelined, 20 connections, one CPU: " + ". ".join(sentences) + "."


def machine() -> str:
    model = next((text.split(":")[1].strip() for text in open("/proc/cpuinfo") if text.startswith("model name")),
                 platform.machine())
    postfix = subprocess.run(["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True)
    return (f"{model}, {os.cpu_count()} cores, Linux {platform.release()}; smtp-sink and smtp-source of Postfix "
            f"{postfix.stdout.strip() or '(unknown)'}; sink on CPU {SINK_CPU}, client on CPU {CLIENT_CPU}")


def method(args: argparse.Namespace) -> str:
    return (f"CPU time of the sink's process per message (or connection), and messages per second; medians of {args.runs} "
            f"alternating runs of {args.seconds:g} s where there is a target, of fewer and shorter ones elsewhere. The "
            "ratio is the CPU time of sink mode to smtp-sink's, or diverted to direct, run by run, with its extremes. "
            "The two shares are those of the sink's and of the client's CPU that were in use: the larger one sets the rate. "
            "\"raw\" reads and throws away, of BDAT without copying: the kernel's share, which a sink can only add to. The client is "
            "`mxmirage gen`, one thread, with the same options for every sink; from 32 KB on it sends one shared text "
            "without copying it. In smart mode one message in 10,000 is refused; these are counted and not in the figures.")


def preamble(args: argparse.Namespace) -> str:
    return f"{machine()}\n{method(args)}\nrun as: {args.command}\n"


def markdown(results: Results, args: argparse.Namespace) -> str:
    text = ["# How fast mxmirage is", "",
            "Written by the bench itself: `" + args.command + "`. Absolute figures are this machine's; the ratios are "
            "what to go by.", "",
            machine() + ". " + method(args), "",
            "![CPU time per message](performance.svg)", "", "## Targets", "",
            "| | seen | target | | reading alone |", "|---|---|---|---|---|"]
    text += [f"| {c.text} | {spread(c.seen)} | {c.bound} | {verdict(c)} | {floor(c)} |" for c in results.claims]
    text += ["", per_hour(results), "", "## Everything", "",
             "| | raw | smtp-sink | sink mode | smart mode (diverted) | ratio |", "|---|---|---|---|---|---|"]
    text += ["| " + " | ".join(cells(row)) + " |" for row in results.rows]
    text += ["", others(results.foreign()), ""]
    return "\n".join(text)


def write(results: Results, args: argparse.Namespace, where: Path) -> None:
    where.mkdir(exist_ok=True)
    (where / "PERFORMANCE.md").write_text(markdown(results, args))
    (where / "performance.svg").write_text(plot.bars(results))
