#!/usr/bin/python3
"""Compares the CPU time that mxmirage and Postfix's smtp-sink take per message.

Runs in a network namespace of its own, so that the machine's own network is not touched. Exit status 1
when one of the targets does not hold, 2 when a run was void, 77 without root.
"""

import argparse
import os
import platform
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sinks import CLIENT_CPU, SINK_CPU, Mxmirage, Raw, SmtpSink, Void, load

ROOT = Path(__file__).resolve().parents[2]
SPARE_DESCRIPTORS = 100  # beside one per connection, on either side
IDLE_FOR_SMTP_SINK = 1000  # with 19,900 it would need minutes: its timers are a linear list


@dataclass
class Row:
    title: str
    size: int  # octets a message
    options: list[str]
    at_most: float | None  # CPU per message, of smtp-sink's


ROWS = [
    Row("100 KB, 20 connections, pipelined", 102400, ["--pipelined"], 0.06),
    Row("1 KB, 20 connections, pipelined", 1024, ["--pipelined"], 0.60),
    Row("1 KB, 20 connections, one at a time", 1024, [], None),
    Row("1 KB, 50 connections of one message", 1024, ["--connections", "50", "--per-connection", "1"], None),
]
SMALL = ["--size", "1024"]
POLICY_AT_MOST = 1.15  # CPU of smart mode, of sink mode's
IDLE_AT_LEAST = 0.85  # rate beside idle connections, of the rate without them


def spread(values: list[float]) -> str:
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def verdict(held: bool | None) -> str:
    return {True: "holds", False: "DOES NOT HOLD", None: ""}[held]


def line(*columns: str) -> None:
    widths = (39, 13, 19, 19, 24, 8, 13)
    print("  ".join(text.ljust(width) for text, width in zip(columns, widths)).rstrip(), flush=True)


def describe(results: list[dict]) -> str:
    return f"{cost(results)} {median(r['rate'] for r in results):,.0f}/s"


def cost(results: list[dict]) -> str:
    return f"{median(r['us'] for r in results):.1f} µs"


def compare(row: Row, args: argparse.Namespace) -> bool:
    """A B C A B C …: what drifts, drifts for all."""
    with Raw(str(row.size)) as raw, SmtpSink() as theirs, Mxmirage() as ours:
        options = ["--size", str(row.size), *row.options]
        runs = [[load(args.load, sink, options, args.seconds) for sink in (raw, theirs, ours)]
                for _ in range(args.runs)]
    floor, their, our = zip(*runs)
    ratios = [o["us"] / t["us"] for o, t in zip(our, their)]
    held = None if row.at_most is None else median(ratios) <= row.at_most
    line(row.title, cost(floor), describe(their), describe(our), spread(ratios),
         f"<= {row.at_most:.2f}" if row.at_most is not None else "", verdict(held))
    return held is not False


def compare_modes(row: Row, args: argparse.Namespace) -> bool:
    """What the policy costs: smart mode with all profiles loaded, against sink mode."""
    with Mxmirage() as sink, Mxmirage(smart=True) as smart:
        options = ["--size", str(row.size), *row.options]
        runs = [[load(args.load, one, options, args.seconds) for one in (sink, smart)] for _ in range(args.runs)]
    plain, clever = zip(*runs)
    ratios = [c["us"] / p["us"] for p, c in zip(plain, clever)]
    held = median(ratios) <= POLICY_AT_MOST
    line(row.title + ", smart", "", describe(plain), describe(clever), spread(ratios), f"<= {POLICY_AT_MOST:.2f}",
         verdict(held))
    return held


def beside_idle(sink, idle: int, runs: int, args: argparse.Namespace) -> tuple[list, list]:
    alone, beside = [], []
    for _ in range(runs):
        alone.append(load(args.load, sink, SMALL, args.seconds))
        beside.append(load(args.load, sink, [*SMALL, "--idle", str(idle)], args.seconds))
    return alone, beside


def idle_rows(args: argparse.Namespace) -> bool:
    idle = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS
    idle = min(idle, 19900)
    with SmtpSink() as theirs:
        alone, beside = beside_idle(theirs, IDLE_FOR_SMTP_SINK, 1, args)
        line(f"1 KB, 20 beside {IDLE_FOR_SMTP_SINK:,} idle: rate", "", describe(beside), "",
             spread([b["rate"] / a["rate"] for a, b in zip(alone, beside)]))
    with Mxmirage() as ours:
        alone, beside = beside_idle(ours, idle, args.runs, args)
    ratios = [b["rate"] / a["rate"] for a, b in zip(alone, beside)]
    held = median(ratios) >= IDLE_AT_LEAST
    line(f"1 KB, 20 beside {idle:,} idle: rate", "", "", describe(beside), spread(ratios),
         f">= {IDLE_AT_LEAST:.2f}", verdict(held))
    line(f"1 KB, 20 beside {idle:,} idle: CPU", "", "", describe(alone),
         spread([b["us"] / a["us"] for a, b in zip(alone, beside)]))
    return held


def print_machine(args: argparse.Namespace) -> None:
    model = next((text.split(":")[1].strip() for text in open("/proc/cpuinfo")
                  if text.startswith("model name")), platform.machine())
    postfix = subprocess.run(["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True)
    print(f"{model}, {os.cpu_count()} cores, Linux {platform.release()}; smtp-sink of Postfix "
          f"{postfix.stdout.strip() or '(unknown)'}; sink on CPU {SINK_CPU}, client on CPU {CLIENT_CPU}")
    print(f"CPU time of the sink's process per message and messages per second; medians of {args.runs} "
          f"alternating runs of {args.seconds:g} s; mxmirage's ratio run by run, with its extremes.")
    print("raw reads and throws away: the kernel's share, under which no sink can get. Beside idle "
          "connections the ratio is to the same sink without them.")
    print(f"run as: {shlex.join(args.command)}\n")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build"), help="where mxmirage and the tools were built")
    parser.add_argument("--runs", type=int, default=5, help="of each sink in each row (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured in each run (2)")
    parser.add_argument("--quick", action="store_true", help="2 runs of half a second: a first look")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.runs, args.seconds = 2, 0.5
    args.load = f"{args.build}/tests/bench/bench-load"
    args.command = [a for a in sys.argv if a != "--inside"]
    return args


def main() -> int:
    args = options()
    for needed in ("smtp-sink", "taskset", "unshare", "ip"):
        if not shutil.which(needed, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            print(f"bench: no {needed}: install Debian's postfix, util-linux and iproute2", file=sys.stderr)
            return 2
    if len(os.sched_getaffinity(0)) < 2:
        print("bench: one CPU alone: sink and client would take turns on it", file=sys.stderr)
        return 2
    if not args.inside:
        if os.geteuid():
            print("bench: needs root for a network namespace of its own", file=sys.stderr)
            return 77
        os.execvp("unshare", ["unshare", "--net", sys.executable, __file__, "--inside", *sys.argv[1:]])

    # So that the sinks are stopped, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Mxmirage.binary = f"{args.build}/mxmirage"
    Raw.binary = f"{args.build}/tests/bench/bench-raw"
    print_machine(args)
    line("", "raw", "smtp-sink", "mxmirage", "ratio", "target")
    try:
        held = [compare(row, args) for row in ROWS] + [idle_rows(args)]
        line("", "", "sink mode", "smart mode", "ratio", "target")
        held += [compare_modes(row, args) for row in ROWS[:2]]
    except Void as void:
        print(f"bench: void: {void}", file=sys.stderr)
        return 2
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
