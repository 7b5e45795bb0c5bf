"""Scenarios about arming and replacing the rules: death, and each failure, at each netlink call in turn. All of
the new rules or all of the old ones stand afterwards, always, and who says that it is ready has the new ones."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from campaign import Result, Scenario, Void
from lab import HOST, SOURCES_V4, LabError
from netns_world import Run, World, build_directory, v4, v6

STREAMS = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect,dev=wan@{v4(2)}", f"raw,src={SOURCES_V4[0]}@{v4(3)}"]
DEATHS = ("die", "die-after")
FAILURES = ("ENOBUFS", "EPERM", "EAGAIN", "EINTR", "ENOMEM", "short", "lost")
# Of the calls, so many a run: all have had their turn many times after some dozens of runs.
BY_HAND_POINTS = 16
DAEMON_POINTS = 6
FROM_NOTHING_POINTS = 4
CALLS_MAX = 2000  # a fault that makes it go round and round shows here
READY_S = 10
# Who owns a table is no part of what it says.
_OWNER = re.compile(r"^\s*(flags.*|# progname.*)\n|\s*# progname.*$", re.MULTILINE)


class Installer:
    """mxmirage as it arms one of two configurations, with a fault at a call."""

    def __init__(self, run: Run) -> None:
        self.run, self.world = run, run.world
        self._log = self.world.mxmirage.directory / "calls"
        own = self.world.mxmirage.file.read_text()
        self.files = []
        for name, extra in (("first", v4(210)), ("second", v4(220))):
            file = self.world.mxmirage.directory / f"{name}.toml"
            file.write_text(own.replace("exclude = [", f'exclude = ["{extra}/32", '))
            self.files.append(file)

    def tables(self) -> dict[str, str]:
        """The rules of each of our tables."""
        return {name: _OWNER.sub("", rules) for name, rules in self.world.nft.all_rules().items()
                if name.split()[1].startswith("mxmirage")}

    def arm(self, file: Path, fault: str = "", at: int = 0) -> int:
        """`mxmirage guard arm`. Its exit status, negative when it was killed."""
        return subprocess.run(self._command(fault, at, "guard", "arm", "-c", file), check=False, timeout=30,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def start(self, file: Path, fault: str = "", at: int = 0) -> bool:
        """`mxmirage run` until it is ready, or has ended: whether it got ready. Then it is killed."""
        path = self.world.mxmirage.directory / "fault.sock"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            notify.settimeout(0.02)
            process = subprocess.Popen(self._command(fault, at, "run", "-c", file), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       env=os.environ | {"NOTIFY_SOCKET": str(path)})
            try:
                return self._ready(notify, process)
            finally:
                process.kill()
                process.wait()

    def _ready(self, notify: socket.socket, process: subprocess.Popen) -> bool:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            try:
                if b"READY=1" in notify.recv(4096).split(b"\n"):
                    return True
            except TimeoutError:
                if process.poll() is not None:
                    return False
        self.run.expect(False, f"neither ready nor ended within {READY_S} s")
        return False

    def calls(self) -> list[str]:
        """The netlink calls that the last one made."""
        return self._log.read_text().split() if self._log.exists() else []

    def _command(self, fault: str, at: int, *argv: object) -> list[str]:
        self._log.unlink(missing_ok=True)
        library = build_directory() / "tests" / "leak" / "libleak-netlink-fault.so"
        if not library.exists():
            raise LabError(f"{library}: not built")
        # The process ID stays over exec: its children do not fail.
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{self.world.lab.name(HOST)}",
                "sh", "-c", 'export LEAK_FAULT_PID=$$; exec env LD_PRELOAD="$0" "$@"', str(library),
                f"LEAK_FAULT={fault}", f"LEAK_FAULT_AT={at}", f"LEAK_FAULT_LOG={self._log}",
                "ASAN_OPTIONS=verify_asan_link_order=0", *map(str, (self.world.mxmirage.binary, *argv))]


_SHOWING = re.compile(r"\tchain (escape_output|stopped) \{\n.*?\n\t\}\n\n?", re.DOTALL)
_SHOWN = re.compile(r"^.*\blimit rate .*\n", re.MULTILINE)


def _deciding(rules: str) -> str:
    """Without what only shows who was stopped: a fault there leaves it out, and all is stopped as before."""
    rules = _SHOWN.sub("", _SHOWING.sub("", rules)).replace("goto stopped", 'counter name "dropped_egress" drop')
    return "\n".join(line for line in rules.split("\n") if line.strip())


def _judge(run: Run, what: str, tables: dict[str, str], allowed: list[dict[str, str]]) -> None:
    for name in {name for rules in allowed for name in rules} | set(tables):
        run.expect(_deciding(tables.get(name, "")) in [_deciding(rules.get(name, "")) for rules in allowed],
                   f"{what}: table {name} is neither the old nor the new one")


def installation(world: World, rng: random.Random, faults: tuple[str, ...]) -> Result:
    with world.guarded(rng, STREAMS, start=False) as run:
        installer = Installer(run)
        by_hand = _whole(installer, lambda file: installer.arm(file) == 0)
        hand_calls = len(installer.calls())
        stands = 1
        world.witness.reset()
        with run.probing():
            for at in _points(rng, hand_calls, BY_HAND_POINTS):
                stands = _by_hand(installer, by_hand, stands, rng.choice(faults), at)
            # A daemon's tables are more than those that are armed by hand.
            by_daemon = _whole(installer, installer.start)
            daemon_calls = len(installer.calls())
            stands = 1
            for at in _points(rng, daemon_calls, DAEMON_POINTS):
                stands = _by_daemon(installer, by_daemon, stands, rng.choice(faults), at)
        time.sleep(0.02)
        arrived = world.witness.seen()
        for at in _points(rng, hand_calls, FROM_NOTHING_POINTS):
            _from_nothing(installer, by_hand[0], rng.choice(faults), at)
        world.clean()
        run.result.figures["calls of arming"] = hand_calls
        run.result.figures["calls of starting"] = daemon_calls
        if not arrived:
            world.witness.reset()
    return run.result


def _whole(installer: Installer, arm: Callable[[Path], bool]) -> list[dict[str, str]]:
    """What stands after each of the two configurations, without a fault; the second stands at the end."""
    whole = []
    for file in installer.files:
        if not arm(file):
            raise Void("mxmirage cannot arm without a fault")
        whole.append(installer.tables())
    if not whole[0] or any(whole[0].get(name) == rules for name, rules in whole[1].items()):
        raise Void("the two configurations give the same rules")
    return whole


def _points(rng: random.Random, calls: int, at_most: int) -> list[int]:
    return sorted(rng.sample(range(1, calls + 1), min(at_most, calls)))


def _by_hand(installer: Installer, whole: list[dict[str, str]], stands: int, fault: str, at: int) -> int:
    """Replaces one set by the other; which stands now."""
    status = installer.arm(installer.files[1 - stands], fault, at)
    tables, what = installer.tables(), f"{fault} at call {at} of guard arm"
    if status == 0:
        _judge(installer.run, f"{what}, which said it was done", tables, [whole[1 - stands]])
    _judge(installer.run, what, tables, whole)
    return 1 if tables == whole[1] else 0


def _by_daemon(installer: Installer, whole: list[dict[str, str]], stands: int, fault: str, at: int) -> int:
    ready = installer.start(installer.files[1 - stands], fault, at)
    tables, what = installer.tables(), f"{fault} at call {at} of run"
    if ready:
        _judge(installer.run, f"{what}, which said it was ready", tables, [whole[1 - stands]])
    _judge(installer.run, what, tables, whole)
    installer.run.expect(len(installer.calls()) < CALLS_MAX, f"{what}: it goes on and on")
    return 1 if tables == whole[1] else 0


def _from_nothing(installer: Installer, whole: dict[str, str], fault: str, at: int) -> None:
    installer.world.clean()
    status = installer.arm(installer.files[0], fault, at)
    tables, what = installer.tables(), f"{fault} at call {at} of the first guard arm"
    if status == 0:
        _judge(installer.run, f"{what}, which said it was done", tables, [whole])
    _judge(installer.run, what, tables, [{}, whole])


def deaths(world: World, rng: random.Random) -> Result:
    return installation(world, rng, DEATHS)


def failures(world: World, rng: random.Random) -> Result:
    return installation(world, rng, FAILURES)


SCENARIOS = [
    Scenario(11, "death at each netlink call", deaths),
    Scenario(12, "failure of each netlink call", failures),
]
