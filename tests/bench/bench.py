"""
./dev bench: what mxmirage and Postfix's smtp-sink take per message.

Runs in network namespaces of its own, so that the machine's own network is not touched. Exit status 1
when one of the targets does not hold, 2 when a run was void, 77 without root.
"""

import argparse
import contextlib
import dataclasses
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import report
import rows
from rows import DIVERTED, PEER, RAW, SINK, SMART, Claim, Row
from sinks import Host, Mxmirage, Raw, SmtpSink, Void

ROOT = Path(__file__).resolve().parents[2]
WARM_UP_S = 4.0
SPARE_DESCRIPTORS = 100  # beside one per connection, on either side
IDLE_FOR_SMTP_SINK = 1000  # with 19,900 it would need minutes: its timers are a linear list


class Bench:
    """Measures rows in turn; what drifts, drifts for all takers, since their runs alternate: A B C A B C …"""

    def __init__(self, args: argparse.Namespace, load: measure.Load) -> None:
        self.args, self.load = args, load
        self.results = report.Results()
        self.takers: dict = {}  # by name; raw by name and size
        self.void = False

    def chosen(self, title: str) -> bool:
        return re.search(self.args.only, title) is not None

    def measure(self, title: str, runs: list[list[dict]], names: tuple, claims: list[Claim], unit: str) -> None:
        figures = {name: list(column) for name, column in zip(names, zip(*runs))}
        self.results.add(title, unit, figures)
        report.print_row(self.results.rows[-1])
        for claim in claims:
            if claim.of in figures and claim.against in figures:
                self.claim(claim, claim.text, figures)

    def claim(self, claim: Claim, text: str, figures: dict[str, list[dict]]) -> None:
        def ratios(of: str) -> list[float]:
            return [a[claim.figure] / b[claim.by or claim.figure] for a, b in zip(figures[of], figures[claim.against])]

        # Of what is held against smtp-sink: where reading alone is.
        floor = ratios(RAW) if claim.against == PEER and RAW in figures else []
        self.results.claim(text, ratios(claim.of), claim.bound, claim.held, floor)

    def row(self, row: Row, runs: int, seconds: float) -> None:
        if not self.chosen(row.title):
            return
        takers = [self.takers.get((name, row.size)) or self.takers[name] for name in row.takers]
        options = [row.own.get(name, row.options) for name in row.takers]
        try:
            self.measure(row.title, [[self.load.run(taker, row.size, how, seconds) for taker, how in zip(takers, options)]
                                     for _ in range(runs)], row.takers, row.claims, row.unit)
        except Void as void:
            self.failed(row.title, void)

    def failed(self, title: str, void: Void) -> None:
        print(f"{title}: void: {void}", file=sys.stderr)
        self.void = True

    def source(self, connections: int, runs: int, messages: int) -> None:
        title = f"100 KB through smtp-source, {connections} connection{'s' * (connections > 1)}"
        if not self.chosen(title):
            return
        claim = rows.SOURCE_CLAIM
        # It keeps its connections: few messages each would measure how they are set up.
        messages = max(messages, rows.SOURCE_MESSAGES_EACH * connections)
        try:
            takers = {**self.takers, RAW: self.takers[RAW, rows.UNTIL_DOT]}
            taken = [[measure.source(takers[name], connections, 102400, messages) for name in rows.SOURCE_TAKERS]
                     for _ in range(runs)]
        except Void as void:
            self.failed(title, void)
            return
        text = claim.text.format(connections, "s" * (connections > 1))
        self.measure(title, taken, rows.SOURCE_TAKERS, [dataclasses.replace(claim, text=text)], "message")

    def client(self, runs: int, seconds: float, messages: int) -> None:
        """The client against its peer: how many messages a second each makes."""
        if not self.chosen(rows.CLIENT_TITLE):
            return
        sink = self.takers[SINK]
        names = (rows.SOURCE, rows.GEN, rows.GEN_PIPELINED)
        self.measure(rows.CLIENT_TITLE, [
            [measure.source(sink, 20, 1024, messages), self.load.run(sink, 1024, rows.ONE_AT_A_TIME, seconds),
             self.load.run(sink, 1024, rows.PIPELINED, seconds)] for _ in range(runs)], names, rows.CLIENT_CLAIMS, "message")

    def idle(self, runs: int, seconds: float) -> None:
        """Beside idle connections: the rate, and on a sink just started, what each of them takes of memory."""
        idle = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS, 19900)
        for name, sink, count, times in ((PEER, SmtpSink, IDLE_FOR_SMTP_SINK, 1), (SINK, Mxmirage, idle, runs)):
            title = f"1 KB, 20 beside {count:,} idle"
            if not self.chosen(title):
                continue
            with sink(f"{name} beside idle", 4028) as taker:
                taken = [[self.load.run(taker, 1024, [*rows.ONE_AT_A_TIME, "--idle", str(count)], seconds),
                          self.load.run(taker, 1024, rows.ONE_AT_A_TIME, seconds)] for _ in range(times)]
            beside, alone = zip(*taken)
            memory = beside[0]["idle_memory"] / count
            self.measure(title, [[one] for one in beside], (name,), [], "message")
            print(f"    without idle: {report.cost(list(alone))}; an idle connection takes {memory:,.0f} B")
            if name == SINK:
                claim = rows.IDLE_CLAIM
                self.claim(claim, claim.text.format(count), {claim.of: list(beside), claim.against: list(alone)})
                self.results.claim("user memory of an idle connection, bytes", [memory],
                                   f"at most {rows.MEMORY_AT_MOST}", lambda seen: seen <= rows.MEMORY_AT_MOST)

    def run(self) -> None:
        args = self.args
        with contextlib.ExitStack() as stack:
            for number, size in enumerate((rows.UNTIL_DOT, *rows.SIZES)):
                self.takers[RAW, size] = stack.enter_context(Raw(size, 2530 + number))
            self.takers[PEER] = stack.enter_context(SmtpSink())
            self.takers[SINK] = stack.enter_context(Mxmirage(SINK, 4025))
            self.takers[SMART] = stack.enter_context(Mxmirage(SMART, 4026, smart=True))
            host = stack.enter_context(Host())
            self.takers[DIVERTED] = stack.enter_context(Mxmirage(DIVERTED, 4027, host=host))
            # It remembers who tried what: pages that a test of minutes has behind it are there before it counts.
            self.load.run(self.takers[SMART], 1024, rows.PIPELINED, WARM_UP_S)
            report.print_heading()
            for row in rows.CLAIMED:
                self.row(row, args.runs, args.seconds)
            for row in rows.DIVERT[:1] if args.quick else rows.DIVERT:
                self.row(row, max(2, args.runs // 2), args.seconds)
            for connections in rows.SOURCE_CONNECTIONS:
                self.source(connections, 1 if args.quick else 3, 400 if args.quick else 2000)
            self.client(max(2, args.runs // 2), args.seconds, 4000 if args.quick else 20000)
            self.idle(max(2, args.runs // 2), args.seconds)
            others = [] if args.targets else rows.grid((10240,), (20,)) if args.quick else rows.grid()
            for row in others:
                self.row(row, 2 if args.quick else 3, args.seconds / 2)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build"), help="where mxmirage and the tools were built")
    parser.add_argument("--runs", type=int, default=5, help="of each sink in each row with a target (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured in each of these runs (1)")
    parser.add_argument("--quick", action="store_true", help="few rows, 2 runs of 0.4 s: a first look")
    parser.add_argument("--targets", action="store_true",
                        help="without the rows of every size and number of connections: some four minutes")
    parser.add_argument("--only", default="", metavar="REGEX", help="the rows whose titles match")
    parser.add_argument("--report", action="store_true",
                        help="write docs/PERFORMANCE.md and docs/performance.svg of this run")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.runs, args.seconds = 2, 0.4
    args.command = shlex.join(["./dev", "bench", *(a for a in sys.argv[1:] if a != "--inside")])
    return args


def main() -> int:
    args = options()
    for needed in ("smtp-sink", "smtp-source", "taskset", "unshare", "nsenter", "ip"):
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
    print(report.preamble(args))
    report.print_others(measure.busy_now())
    with tempfile.TemporaryDirectory(prefix="mxmirage-bench-") as directory:
        bench = Bench(args, measure.Load(Mxmirage.binary, Path(directory)))
        try:
            bench.run()
        except Void as void:
            bench.failed("bench", void)
    report.print_targets(bench.results)
    if args.report:
        report.write(bench.results, args, ROOT / "docs")
    return 2 if bench.void else 0 if bench.results.all_held() else 1


if __name__ == "__main__":
    sys.exit(main())
