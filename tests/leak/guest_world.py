"""What the runs of the guest stage need: the lab with a guest for each kernel, a package installed there, the oracle
outside, doors that must stay open; and one way to say what should hold.

A run goes over all kernels. On each, fresh() begins with a guest that has just booted, without any rules: the oracle
must see every probe of every kind there, or the run is void.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import zones
from campaign import Result, Void
from guest_image import KERNELS, Kernel
from guest_lab import BIN, PROBE_KINDS, V4_PEER, V6_PEER, GuestLab
from lab import HOST, INET, LAN, SOURCES_V4, SOURCES_V6, LabError, wait_until
from machine_root import dependencies, package_file
from mxmirage import ROOT
from oracle import Oracle

PATIENCE = 180  # seconds for what takes a few where the processor is not emulated
PEER_SHARE = 0.3  # of the runs have somebody who answers on port 25 of the internet
GREETING = "220 "
CONFIGURATION = f"[divert]\nexclude = {json.dumps(zones.LAN_EXCLUDE)}\n"
PACKAGE = "/root/mxmirage.deb"
# By the guest: to the LAN, to other ports of the internet, to itself.
_OUT = (*(f"{a}/25" for a in zones.LAN_ADDRESSES), f"{V4_PEER}/465", f"{V6_PEER}/465", f"{V4_PEER}/587", f"{V6_PEER}/587",
        f"{SOURCES_V4[1]}/25", f"{SOURCES_V6[1]}/25", "127.0.0.1/25")
# To the guest, which has a mail server.
_IN = tuple(f"{a}/25" for a in (SOURCES_V4[0], SOURCES_V6[0]))
_REACH = Path(__file__).with_name("guest_reach.py")


class GuestWorld:
    """Context manager."""

    def __init__(self, kernels: tuple[Kernel, ...] = KERNELS) -> None:
        self.kernels = kernels
        self.result = Result()
        self._stack = ExitStack()
        self._peer: subprocess.Popen | None = None

    def __enter__(self) -> GuestWorld:
        package, rules = package_file(), build_directory().parent / "rules"
        with ExitStack() as stack:
            self.lab = stack.enter_context(GuestLab(self.kernels, tuple(dependencies(package)), self._prepare,
                                                    {PACKAGE: package, str(rules): rules} | unit_tests()))
            self.oracle = Oracle(self.lab)
            self._doors(INET, 465, 587)
            self._doors(LAN, 25)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _prepare(self, lab: GuestLab) -> None:
        """In a guest that has booted, before its snapshot is taken."""
        lab.shell(f"dpkg -i {PACKAGE}; cat >/etc/mxmirage/mxmirage.toml <<'END'\n{CONFIGURATION}END\nsync", timeout=300)

    def _doors(self, space: str, *ports: int) -> subprocess.Popen:
        doors = self.lab.start_python(space, "doors.py", *map(str, ports), stdout=subprocess.PIPE)
        doors.stdout.readline()
        return doors

    def begin(self, rng: random.Random) -> None:
        """A new run."""
        self.result = Result(canary=True)
        if self._peer:
            self.lab.stop(self._peer)
        self._peer = self._doors(INET, 25) if rng.random() < PEER_SHARE else None

    def fresh(self, kernel: Kernel) -> None:
        self.lab.switch(kernel.name)
        if tables := self.lab.shell("nft list tables"):
            raise Void(f"rules before the run: {tables}")
        self.oracle.reset()
        try:
            self.oracle.canary()
        except LabError as blind:
            raise Void(str(blind)) from None
        sent = json.loads(self.lab.shell(f"{BIN}/guest-probe 500 0.4 {','.join(PROBE_KINDS)} {V4_PEER} {V6_PEER}"))["sent"]
        seen = self.oracle.seen()
        for family in ("v4", "v6"):
            count = sum(sent[kind] for kind, of in PROBE_KINDS.items() if of == family)
            if not 0 < count <= seen.get(f"{family}_to_port_25", 0):
                raise Void(f"of {count} probes by {family} the oracle saw {seen}")
        self.oracle.reset()
        # Only now: the canary has a packet of its own from port 25.
        self.shell("systemctl start doors")

    def scratch(self) -> Path:
        """A new directory, gone with the lab."""
        return Path(tempfile.mkdtemp(dir=self.lab.directory))

    # What can be done to the guest.

    def shell(self, script: str, check: bool = True, timeout: float = 300) -> str:
        return self.lab.shell(script, check, timeout)

    def succeeds(self, script: str) -> bool:
        return self.lab.run(HOST, "sh", "-c", script, check=False, timeout=300).returncode == 0

    def arm(self) -> None:
        """As a user would."""
        self.shell("systemctl enable --now mxmirage")
        self.expect_back("when it was started")

    def guard(self) -> dict:
        """`mxmirage guard status`."""
        done = self.lab.run(HOST, "mxmirage", "guard", "status", "--json", check=False)
        return json.loads(done.stdout) if done.returncode in (0, 1) and done.stdout else {}

    @contextmanager
    def probes(self) -> Iterator[None]:
        """Probes of all kinds across whatever happens in between."""
        self.lab.start_probes()
        try:
            yield
        finally:
            said = self.lab.stop_probes()
            self.result.sent += sum(said["sent"].values())
            if missing := [kind for kind, count in said["sent"].items() if not count]:
                raise Void(f"no probes of the kind {', '.join(missing)} were sent")

    @contextmanager
    def flushes(self) -> Iterator[None]:
        """A script of the guest's flushes and deletes rules in a loop."""
        self.shell("systemctl start flusher")
        try:
            yield
        finally:
            self.shell("systemctl stop flusher")

    def all_seen(self) -> dict[str, int]:
        """What the oracle saw, once nothing more comes of what is on its way, a connection's last packet among it."""
        before, seen = None, self.oracle.seen()
        while seen != before:
            time.sleep(1)
            before, seen = seen, self.oracle.seen()
        return seen

    # What should hold.

    def expect(self, holds: object, text: str) -> None:
        if not holds:
            self.result.wrong.append(f"{self.lab.kernel}: {text}")

    def expect_back(self, when: str, seconds: float = PATIENCE) -> None:
        """What is diverted is greeted."""
        try:
            wait_until(lambda: self.says(HOST, f"{V4_PEER}/25")[0].startswith(GREETING), seconds, "a greeting")
        except LabError:
            said = self.shell("systemctl status mxmirage mxmirage-guard.service mxmirage-guard.socket --no-pager | tail -40",
                              check=False)
            self.expect(False, f"nobody greets what is diverted {when}:\n{said}")

    def expect_booted(self, not_boot: str, when: str) -> None:
        """The guest is on its way up; from its first process on, probes have been sent, and none arrived."""
        self.lab.guest.wait_for_agent(not_boot)
        self.lab.wait_for_boot()
        self.expect_back(when)
        self.settle()
        self.count_boot_probes()
        self.expect_closed(when)

    def count_boot_probes(self) -> None:
        """Those of guest-probe.service, by what it said in all its boots so far."""
        log, last, total = self.lab.guest.probe_log, None, 0
        for line in log.read_text(errors="replace").splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue  # cut off by the end of the machine
            if last and said["uptime"] < last["uptime"]:
                total += sum(last["sent"].values())
            last = said
        log.write_text("")
        if not last:
            raise Void("guest-probe.service has said nothing")
        self.result.sent += total + sum(last["sent"].values())

    def expect_closed(self, when: str) -> None:
        if seen := self.oracle.seen():
            self.result.wrong.append(f"{self.lab.kernel}: arrived {when}: {seen}")
            for name, count in seen.items():
                self.result.arrived[name] = self.result.arrived.get(name, 0) + count
            self.oracle.reset()

    def expect_open_ways(self) -> None:
        for space, targets in ((HOST, _OUT), (INET, _IN)):
            for target, said in zip(targets, self.says(space, *targets), strict=True):
                if not said.startswith(GREETING):
                    self.result.inverse.append(f"{self.lab.kernel}: from {space} to {target}: {said}")
        # What the host's own mail server answers to the internet comes from port 25, and was meant to.
        seen = self.all_seen()
        if {"v4_from_port_25", "v6_from_port_25"} != set(seen):
            self.expect(False, f"with mail from the internet the oracle saw {seen}")
        self.oracle.reset()

    def says(self, space: str, *targets: str) -> list[str]:
        """What is said first there, or why nothing."""
        return self.lab.run(space, sys.executable, _REACH, "20", *targets).stdout.splitlines()

    def settle(self) -> None:
        time.sleep(0.3)


def unit_tests() -> dict[str, Path]:
    """Programs of tests/kern, by their path in the guest."""
    sources = sorted((ROOT / "tests/kern").glob("test_*.c"))
    return {f"/root/units/{source.stem}": build_directory() / "tests" / source.stem for source in sources}


def build_directory() -> Path:
    return Path(os.environ.get("MXMIRAGE_BUILD", ROOT / "build")).resolve()
