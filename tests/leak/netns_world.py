"""The world of the namespace stage: the lab, its witness, servers that must be reached, and what a run does.

A run is always the same: without any rules its very probes are sent and the witness must see each kind of them,
or the run is void; mxmirage starts; from the moment it says that it is ready, probes come without a pause while
the scenario does its harm; at the end nothing may have arrived, and what must work must work.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import zones
from campaign import Result, Void
from lab import HOST, INET, LAN, SOURCES_V4, SOURCES_V6, Lab, LabError, wait_until
from mxmirage import ROOT, Mxmirage
from nft import Nft
from servers import Servers
from witness import WIRE, Witness

RATE = 1500  # probes a second, of all streams together
PEER_SHARE = 0.3  # of the runs have somebody who answers on port 25 of the internet
CANARY_EACH = 3
CANARY_S = 10.0
PATIENCE_S = 10.0
PROBE_S = 0.15
PROBES_MAX = 30
SETTLE_S = 0.02

_SUBMISSION = (465, 587)


def build_directory() -> Path:
    return Path(os.environ.get("MXMIRAGE_BUILD", ROOT / "build")).resolve()


def v4(number: int) -> str:
    """An address of the internet for a stream of its own."""
    return f"198.51.100.{number}"


def v6(number: int) -> str:
    return f"2001:db8:100::{number:x}"


class Probing:
    """A prober that runs until the end of its `with`; then `counts` adds up its streams, `by_stream` has each."""

    def __init__(self, world: World, space: str, streams: list[str], rate: float) -> None:
        self.counts: Counter[str] = Counter()
        self.by_stream: dict[str, Counter[str]] = {}
        self.gap_ms = -1.0
        self._process = world.lab.start(space, world.probe, "-r", str(rate), *streams, stdout=subprocess.PIPE)
        self._process.stdout.readline()  # it has begun

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            said = self._process.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired as error:
            raise Void("the prober does not end") from error
        if self._process.returncode != 0:
            raise Void(f"the prober ended with {self._process.returncode}")
        answer = json.loads(said)
        self.gap_ms = answer["gap_ms"]
        for stream in answer["streams"]:
            row = Counter(stream["errors"])
            row.update({name: count for name, count in stream.items() if isinstance(count, int)})
            self.by_stream[stream["stream"]] = row
            self.counts.update(row)


class Run:
    """One run in the making."""

    def __init__(self, world: World, streams: list[str], space: str) -> None:
        self.world = world
        self.streams = streams
        self.space = space
        self.result = Result()

    @contextmanager
    def probing(self, streams: list[str] | None = None, rate: float = RATE,
                space: str | None = None) -> Iterator[Probing]:
        """Probes for as long as the body takes; they are underway when it begins."""
        probing = Probing(self.world, space or self.space, streams or self.streams, rate)
        try:
            time.sleep(0.01)
            yield probing
        finally:
            probing.end()
            self.result.sent += probing.counts["sent"]

    def probe_until(self, done: Callable[[Probing], object]) -> Probing:
        """Probes for a moment, and where that is not enough once more, some seconds in all: a busy host has no processor
        for the responder at once."""
        for _ in range(PROBES_MAX):
            with self.probing() as probing:
                time.sleep(PROBE_S)
            if done(probing):
                break
        return probing

    def expect(self, true: object, text: str) -> None:
        if not true:
            self.result.wrong.append(text)


class World:
    """Context manager."""

    def __init__(self) -> None:
        self.probe = build_directory() / "tests" / "leak" / "leak-probe"
        if not self.probe.exists():
            raise LabError(f"{self.probe}: no such program; build it, or set MXMIRAGE_BUILD to the build's directory")
        self._stack = ExitStack()
        self._made: dict[str, Any] = {}

    def __enter__(self) -> World:
        with ExitStack() as stack:
            self.lab = stack.enter_context(Lab())
            for space, lines in ((INET, [f"link add {WIRE} type bridge", f"link set {WIRE} up promisc on"]),):
                self.ip(space, *lines)
            self.sysctl(HOST, "net/ipv4/ip_forward", 1)
            self.sysctl(HOST, "net/ipv6/conf/all/forwarding", 1)
            self.witness = Witness(self.lab)
            stack.callback(self.witness.close)
            self.nft = Nft(self.lab, HOST)  # as a foreign program of the host
            stack.callback(self.nft.close)
            self.servers = Servers(self.lab)
            stack.callback(self.servers.close)
            for space, port in ((LAN, 25), (HOST, 25), *((INET, port) for port in _SUBMISSION)):
                self.servers.listen(space, port)
            self.mxmirage = Mxmirage(self.lab)
            stack.callback(self.end_mxmirage)
            # Neighbours are found, addresses are no longer tentative: a canary is not to wait for these.
            wait_until(lambda: not self.inverse(0.2), 10, "everything to be reached without mxmirage")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        """What make() returned the first time: a thing that all runs of a world share."""
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]

    def ip(self, space: str, *lines: str) -> None:
        self.lab.run(space, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def sysctl(self, space: str, name: str, value: object) -> None:
        self.lab.run(space, "sh", "-c", f"echo {value} > /proc/sys/{name}")

    @contextmanager
    def guarded(self, rng: random.Random, streams: list[str], space: str = HOST, foreign: str = "",
                peer: bool = False, start: bool = True) -> Iterator[Run]:
        """A run from canary to inverse. foreign: rules that others have loaded before us. peer: somebody
        answers on port 25 of the internet in every run. Without start the caller arms, and resets the witness."""
        run = Run(self, streams, space)
        listeners: list[socket.socket] = []
        self.clean()
        try:
            if rng.random() < PEER_SHARE or peer:
                listeners = self.servers.listen(INET, 25)
            if foreign:
                self.nft(foreign)
            self.canary(run, space, streams)
            if start:
                self.mxmirage.start()
                self.witness.reset()
            yield run
            time.sleep(SETTLE_S)
            run.result.arrived = self.witness.seen()
            if run.result.arrived:
                self._save_capture(run)
            run.result.inverse += self.inverse()
        finally:
            self.servers.drop(listeners)
            self.end_mxmirage()
            self.clean()

    def canary(self, run: Run, space: str, streams: list[str]) -> None:
        """With no rules of ours the witness must see every stream."""
        self.witness.reset()
        self.lab.run(space, self.probe, "-n", str(CANARY_EACH), "-r", "0", "-l", "20", *streams)
        addresses = [stream.rpartition("@")[2] for stream in streams]
        deadline = time.monotonic() + CANARY_S
        while missing := self.witness.missing(addresses):
            if time.monotonic() > deadline:
                blind = [s for s in streams if s.rpartition("@")[2] in missing]
                raise Void(f"the oracle did not see the canary: {', '.join(blind)}")
            time.sleep(0.005)
        if sum(self.witness.seen().values()) < len(streams):
            raise Void(f"the oracle saw less than was sent: {self.witness.seen()}")
        run.result.canary = True

    def inverse(self, patience: float = PATIENCE_S) -> list[str]:
        """What must work, and does not."""
        lan_v4, lan_v6 = zones.LAN_ADDRESSES
        checks = [(HOST, lan_v4, 25, LAN), (HOST, lan_v6, 25, LAN),
                  (INET, SOURCES_V4[1], 25, HOST), (INET, SOURCES_V6[1], 25, HOST)]
        checks += [(HOST, address, port, INET) for port in _SUBMISSION for address in (v4(251), v6(251))]
        return [f"{space} to {address} port {port}: {said}" for space, address, port, greets in checks
                if not (said := self.greeting(space, address, port, patience)).startswith(f"220 {greets} ")]

    def greeting(self, space: str, address: str, port: int, patience: float = PATIENCE_S) -> str:
        with self.lab.socket(space, address) as client:
            client.settimeout(patience)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            try:
                client.connect((address, port))
                return client.recv(100).decode("ascii", "replace")
            except OSError as error:
                return str(error)

    def end_mxmirage(self) -> None:
        """Whatever state its processes are in; the rules go, too."""
        process = self.mxmirage.process
        if process and process.poll() is None:
            for pid in (self.mxmirage.responder(), process.pid):
                if pid:
                    os.kill(pid, signal.SIGCONT)
            self.mxmirage.stop()
        self.mxmirage.process = None

    def clean(self) -> None:
        """No rules on the host. What is ours goes the way that a user has."""
        if "mxmirage" in self.nft("list tables"):
            done = self.mxmirage.command("guard", "disarm")
            if done.returncode != 0:
                raise LabError(f"mxmirage guard disarm: {done.stderr.strip()}")
        self.nft("flush ruleset")
        if left := self.nft("list tables"):
            raise LabError(f"rules are left on the host: {left}")

    def _save_capture(self, run: Run) -> None:
        path = build_directory() / "leak" / f"{time.time_ns()}.pcap"
        self.witness.save(path)
        run.result.capture = str(path)

