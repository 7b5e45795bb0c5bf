"""soak.py [MINUTES] [--seed S]: mxmirage in a lab of its own, in smart mode with its real profiles, at half the rate that
it can take here, with hostile clients all the time and a fault each minute. Are memory and descriptors flat, the counts
exact, and does nothing leave the host? Exit status 1 if not. Ctrl-C ends it early, with what it has shown.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from faults import Fault, schedule  # noqa: E402 (the lab is found by the line above)
from lab import HOST, LabError, wait_until  # noqa: E402
from mail_load import PATIENCE_S, Round, Sources  # noqa: E402
from mxmirage import ROOT  # noqa: E402
from samples import Sampler, busy, read  # noqa: E402
from verdict import COLUMNS, Findings, Happened, table, wrong  # noqa: E402
from world import World  # noqa: E402

ROUND_S = 60
PROBE_S = 10  # at the maximal rate, beforehand
FAULT_AFTER = 0.2  # of a round
RECOVERS_WITHIN_S = 20
IDLE_WITHIN_S = 330  # whom a flush of conntrack has cut off is missed when a server's patience ends
HOSTILE = "192.0.2.13", "2001:db8:0:1::13"


class Interrupted(Exception):
    """Ctrl-C: time for the result."""


class Soak:
    def __init__(self, world: World, rounds: int, round_s: float, seed: int, file: Path,
                 stop: threading.Event) -> None:
        self._world, self._mxmirage, self._lab = world, world.mxmirage, world.lab
        self._rounds, self._round_s, self._file, self._stop = rounds, round_s, file, stop
        self._rng = random.Random(seed)
        self._under_way: list[Round] = []
        self.findings = Findings(seed)

    def run(self) -> Findings:
        findings = self.findings
        Sources.add(self._lab)
        self._begun = time.monotonic()
        with ExitStack() as stack:
            sampler = stack.enter_context(Sampler(self._mxmirage, self._begun, self._file))
            sampler.take()
            findings.fresh = {role: sampler.last(role).samples[0] for role in ("warden", "responder")}
            try:
                self._measure()
                self._hostile = self._lab.start(HOST, sys.executable, Path(__file__).with_name("hostile.py"), *HOSTILE,
                                                stdout=subprocess.PIPE, text=True)
                for number, fault in enumerate(schedule(self._rng, self._rounds), 1):
                    self._round(number, fault)
            except Interrupted:
                print("interrupted: waiting for what is under way", file=sys.stderr)
            except (LabError, RuntimeError, OSError, subprocess.TimeoutExpired) as failure:
                findings.errors.append(f"{type(failure).__name__}: {failure}")
            findings.seconds = time.monotonic() - self._begun
            self._end()
            sampler.take()
            findings.idle = {role: sampler.last(role).samples[-1] for role in ("warden", "responder")}
        findings.series = sampler.series
        return findings

    def _measure(self) -> None:
        """As fast as it goes, row by row of the mix and all together: half of that is the load."""
        probe = Round(self._mxmirage, self._lab, self._rng, 0, PROBE_S)
        self._under_way.append(probe)
        self._pause(PROBE_S)
        self._rates = {}
        for name, result in probe.results().items():
            done = result["sent"] + sum(f["messages"] for f in result["failures"])
            self._rates[name] = done / result["measured"]["seconds"] / 2
        self.findings.max_rate = 2 * sum(self._rates.values())
        print(f"at most {self.findings.max_rate:,.0f} messages/s; seed {self.findings.seed}", file=sys.stderr)

    def _round(self, number: int, fault: Fault | None) -> None:
        mark, begun = busy(), time.monotonic()
        accepted = self._accepted()
        self._under_way.append(Round(self._mxmirage, self._lab, self._rng, number, self._round_s, self._rates))
        if fault:
            self._pause(self._round_s * FAULT_AFTER)
            try:
                self._do(fault)
            except (LabError, RuntimeError, OSError, subprocess.TimeoutExpired) as failure:
                self.findings.errors.append(f"{fault.name}: {type(failure).__name__}: {failure}")
        self._pause(begun + self._round_s - time.monotonic())
        self._collect()
        now = busy()
        resident = [read(pid, 0).resident_kb / 1024 for pid in (self._mxmirage.responder(), self._mxmirage.warden)]
        print(f"{number}/{self._rounds}: {self._accepted() - accepted:,} accepted; RSS {resident[0]:.1f} + "
              f"{resident[1]:.1f} MB; {100 * (now[0] - mark[0]) / (now[1] - mark[1]):.0f} % of the CPUs; "
              f"{self._last_fault() if fault else 'no fault'}; outside: {self._world.oracle.seen() or 'nothing'}",
              file=sys.stderr, flush=True)

    def _pause(self, seconds: float) -> None:
        """Here it may be interrupted, and not in the middle of a fault."""
        if self._stop.wait(max(0, seconds)):
            raise Interrupted

    def _do(self, fault: Fault) -> None:
        begun = time.monotonic()
        happened = Happened(begun - self._begun, fault.name, 0, None)
        self.findings.happened.append(happened)
        fault.do(self._world, self._rng, self._round_s * (1 - FAULT_AFTER) / 2)
        over = time.monotonic()
        happened.took_s = over - begun
        base = self._accepted()
        while time.monotonic() < over + RECOVERS_WITHIN_S:
            if self._accepted() > base:
                happened.still_s = time.monotonic() - over
                return
            time.sleep(0.02)
        self.findings.errors.append(f"{fault.name}: no message in {RECOVERS_WITHIN_S} s behind it")

    def _last_fault(self) -> str:
        fault = self.findings.happened[-1]
        return f"{fault.name}, {fault.took_s:.1f} s, mail after {fault.still_s or float('inf'):.2f} s"

    def _accepted(self) -> int:
        """Without a namespace to enter: the control socket is a file."""
        done = subprocess.run([self._mxmirage.binary, "status", "--json", "--socket", self._mxmirage.socket],
                              capture_output=True, text=True, timeout=30, check=True, start_new_session=True)
        return json.loads(done.stdout)["messages"]["accepted"]

    def _collect(self, last: bool = False) -> None:
        """The senders that have ended; at the end all of them."""
        for part in self._under_way:
            if part.is_over() or last:
                self.findings.said[part.number] = part.said()
        self._under_way = [part for part in self._under_way if part.number not in self.findings.said]

    def _end(self) -> None:
        """Everything comes to rest, then it is counted."""
        findings, mxmirage = self.findings, self._mxmirage
        try:
            for part in self._under_way:
                part.interrupt()
            self._collect(last=True)
            if hasattr(self, "_hostile"):
                self._hostile.terminate()
                findings.hostile = json.loads(self._hostile.communicate(timeout=PATIENCE_S)[0])
            mxmirage.wait_idle(IDLE_WITHIN_S)
            findings.status = mxmirage.status()
            rows = mxmirage.sources()
        except (LabError, RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as failure:
            findings.errors.append(f"at the end: {type(failure).__name__}: {failure}")
            rows = {}
        for turn in range(Sources.TURNS):
            own = [rows.get(source, {}) for source in Sources.of(turn)]
            findings.counted[turn] = {column: sum(row.get(column, 0) for row in own) for column in COLUMNS}
        findings.hostile_counted = sum(rows.get(source, {}).get("accepted", 0) for source in HOSTILE)
        findings.seen, findings.frames = self._world.oracle.seen(), self._world.oracle.frames()


def soak(minutes: float, seed: int, round_s: float, file: Path, stop: threading.Event) -> Findings:
    """Makes the lab and all that is in it, and takes it down. Ends early when `stop` is set."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with World(with_postfix=False, mode="smart") as world:
        return Soak(world, max(5, round(minutes * 60 / round_s)), round_s, seed, file,
                    stop).run()


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__.partition(":")[2])
    parser.add_argument("minutes", nargs="?", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="of the faults and the load")
    parser.add_argument("--round", type=float, default=ROUND_S, help="seconds from one fault to the next (60)")
    parser.add_argument("--samples", type=Path, default=ROOT / "build" / "soak.jsonl", help="where samples are kept")
    asked = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    findings = soak(asked.minutes, asked.seed, asked.round, asked.samples, stop)
    print("\n".join(table(findings)))
    bad = list(wrong(findings))
    print("\n" + ("\n".join(f"WRONG: {what}" for what in bad) or "all as it must be"))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
