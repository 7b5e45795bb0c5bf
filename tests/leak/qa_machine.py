"""What a run of the nspawn stage needs: a lab, an oracle that has seen the canary, and a machine with the package
installed and a LAN that its configuration excludes. Each run has one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import zones
from campaign import Result, Void
from knocks import Knocks
from lab import HOST, INET, LAN, LAN_GATEWAY_V4, Lab, LabError, wait_until
from machine import Machine
from oracle import Oracle

PROBES_PER_SECOND = 1500
BELIEVED_PER_SECOND = 1000
BEYOND = "198.51.100.200"  # an address of the internet that is no MX
# What has to work all the time: where from, where to, which port.
OPEN_WAYS = (*((HOST, address, 25) for address in zones.LAN_ADDRESSES), (HOST, BEYOND, 465), (HOST, BEYOND, 587),
             (LAN, LAN_GATEWAY_V4, 25))
GREETED = b"220 "

CONFIGURATION = f"[divert]\nexclude = {json.dumps(zones.LAN_EXCLUDE)}\n"
# What a careless administrator's script might do, a hundred times a second.
FLUSHER = """while :; do
nft flush ruleset
for table in "inet mxmirage" "netdev mxmirage" "bridge mxmirage"; do nft delete table $table; nft flush table $table; done
sleep 0.01
done 2>/dev/null"""


class QaMachine:
    """Context manager. `result` gathers what the run shows; finish() completes it."""

    def __init__(self, answering: bool) -> None:
        self._answering = answering  # does somebody answer on port 25 of the internet?
        self._stack = ExitStack()
        self.result = Result()

    def __enter__(self) -> QaMachine:
        with ExitStack() as stack:
            self.lab = stack.enter_context(Lab())
            self.oracle = Oracle(self.lab)
            try:
                self.oracle.canary()
            except LabError as blind:
                raise Void(str(blind)) from None
            self.result.canary = True
            self._open_doors(INET, *[25] * self._answering, 465, 587)
            self._open_doors(LAN, 25)
            self._open_doors(HOST, 25)
            self.machine = Machine(self.lab)
            self.machine.install()
            self.machine.write("/etc/mxmirage/mxmirage.toml", CONFIGURATION)
            stack.callback(self.machine.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        bad = kind or self.result.arrived or self.result.wrong
        if bad and self.machine.leader and (file := os.environ.get("MXMIRAGE_JOURNAL")):
            Path(file).write_text(self.machine.journal())
        self._stack.close()

    def _open_doors(self, space: str, *ports: int) -> None:
        self.lab.start_python(space, "doors.py", *map(str, ports), stdout=subprocess.PIPE).stdout.readline()

    def arm(self) -> None:
        """Boots, and starts mxmirage as a user would."""
        self.machine.boot()
        self.machine.systemctl("enable", "--now", "mxmirage")

    def kill(self, *pids: int) -> None:
        """SIGKILL to those that are there still; returns when they are gone."""
        for pid in filter(None, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in filter(None, pids):
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10, f"process {pid} to be gone")

    def expect(self, holds: object, text: str) -> None:
        if not holds:
            self.result.wrong.append(text)

    def expect_back(self, seconds: float = 10) -> None:
        """The daemon is there again, and what is diverted is answered."""
        try:
            wait_until(lambda: self.greets(HOST, zones.internet_addresses()[0], 25), seconds, "a greeting")
        except LabError:
            self.expect(False, "nobody greets what is diverted")

    def expect_closed(self, when: str) -> None:
        """For the text alone: what arrives is found by finish() too."""
        seen = self.oracle.seen()
        if seen and not self.result.arrived:
            self.result.wrong.append(f"arrived {when}: {seen}")
            self.result.arrived = seen

    def expect_opens(self, how: str) -> None:
        """After the last look at what arrived: port 25 is open now."""
        self.result.arrived = self.oracle.seen()
        with self.probes():
            time.sleep(0.3)
        self.expect(set(self.oracle.seen()) > set(self.result.arrived), f"{how} does not open port 25")
        self.oracle.reset()

    @contextmanager
    def probes(self) -> Iterator[None]:
        """Connections to MX hosts of both families across whatever happens in between."""
        with Knocks(self.lab, PROBES_PER_SECOND) as knocks:
            yield
        said = knocks.said
        self.result.sent += said["started"]
        if said["started"] < BELIEVED_PER_SECOND * said["seconds"]:
            raise Void(f"{said['started']} probes in {said['seconds']:.1f} s are too few")

    @contextmanager
    def flushes(self) -> Iterator[None]:
        """A script in the machine flushes and deletes rules in a loop."""
        script = subprocess.Popen(self.machine.inside("sh", "-c", FLUSHER), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            script.kill()
            script.wait()
            self.machine.run("pkill", "-f", "nft flush ruleset", check=False)

    @contextmanager
    def greetings(self) -> Iterator[None]:
        """Takes the longest time without a greeting for what is diverted."""
        ended, worst, target = threading.Event(), [0.0], zones.internet_addresses()[0]

        def watch() -> None:
            last = time.monotonic()
            while not ended.is_set():
                if self.greets(HOST, target, 25, 0.5):
                    now = time.monotonic()
                    worst[0], last = max(worst[0], now - last), now
                time.sleep(0.002)
            worst[0] = max(worst[0], time.monotonic() - last)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.result.no_divert_ms = max(worst[0] * 1000, self.result.no_divert_ms or 0)

    def greets(self, space: str, address: str, port: int, seconds: float = 1) -> bool:
        return not self.refusal(space, address, port, seconds)

    def refusal(self, space: str, address: str, port: int, seconds: float) -> str:
        """What is in the way of a greeting; "" when it came."""
        step = "connecting"
        with self.lab.socket(space, address) as sock:
            sock.settimeout(seconds)
            try:
                sock.connect((address, port))
                step = "greeting"
                said = sock.recv(4)
            except OSError as error:
                return f"{step}: {error}"
        return "" if said == GREETED else f"said {said!r}"

    def check_inverse(self, *without: tuple[str, str, int]) -> None:
        """What must work does, but for ways that another firewall has shut."""
        for way in OPEN_WAYS:
            if way not in without and (why := self.refusal(*way, 3)):
                self.result.inverse.append(f"from {way[0]} to {way[1]} port {way[2]}: {why}")

    def finish(self) -> Result:
        self.result.arrived = self.result.arrived or self.oracle.seen()
        return self.result
