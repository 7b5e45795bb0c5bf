"""Scenarios about arming and replacing the rules: death, and each failure, at each netlink call in turn. All of
the new rules or all of the old ones stand afterwards, always, and who says that it is ready has the new ones."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from campaign import Draws, Result, Scenario, Void
from lab import HOST, SOURCES_V4, LabError
from netns_world import Run, World, build_directory, v4, v6

STREAMS = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect,dev=wan@{v4(2)}", f"raw,src={SOURCES_V4[0]}@{v4(3)}"]
DEATHS = ("die", "die-after")
ERRNOS = ("ENOBUFS", "EPERM", "EAGAIN", "EINTR", "ENOMEM")
# Faults of what is sent and received: at other calls there is nothing to lose.
_OF_DATA = {"short": ("sendto", "recvmsg"), "lost": ("sendto", "recvmsg")}
FAILURES = (*ERRNOS, *_OF_DATA)
# A run takes every so manieth point, its successor the next ones: after so many runs each has had its turn.
TURNS = 200
# A fault that makes it go round and round shows here. Once armed, it reads about what it stops until it is ready.
CALLS_MAX, CALLS_PER_SECOND_MAX = 2000, 2000
READY_S = 10
# Who owns a table is no part of what it says.
_OWNER = re.compile(r"^\s*(flags.*|# progname.*)\n|\s*# progname.*$", re.MULTILINE)


_READY = re.compile(rb"^.*\bready divert=yes\b.*$", re.MULTILINE)


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
        """`mxmirage run` until it is ready, or has ended: whether it got ready. Then it is killed. It is asked by
        its log: a supervisor's notification socket would make it wait before it ends."""
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        process = subprocess.Popen(self._command(fault, at, "run", "-c", file), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        try:
            return self._ready(process)
        finally:
            process.kill()
            process.wait()
            process.stderr.close()

    def _ready(self, process: subprocess.Popen) -> bool:
        deadline, said = time.monotonic() + READY_S, b""
        os.set_blocking(process.stderr.fileno(), False)
        while time.monotonic() < deadline:
            select.select([process.stderr], [], [], 0.02)
            said += process.stderr.read() or b""
            if _READY.search(said):
                return True
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


@dataclass(frozen=True)
class Way:
    """How rules come to stand: `arm` says whether it is done and says so."""

    name: str
    arm: Callable[[Installer, Path, str, int], bool]
    from_nothing: bool


_WAYS = tuple(Way(f"{verb}{' from nothing' * nothing}", arm, nothing) for nothing in (False, True)
              for verb, arm in (("guard arm", lambda i, *a: i.arm(*a) == 0), ("run", Installer.start)))


def _trace(installer: Installer) -> dict[str, list[str]]:
    """The netlink calls of each way, without a fault and without traffic."""
    calls = {}
    for way in _WAYS:
        installer.world.clean()
        for file in installer.files[:1] if way.from_nothing else installer.files:
            if not way.arm(installer, file, "", 0):
                raise Void(f"mxmirage cannot {way.name} without a fault")
        calls[way.name] = installer.calls()
    installer.world.clean()
    return calls


def _points(calls: list[str], faults: tuple[str, ...]) -> list[tuple[int, str]]:
    """(call, fault) for all that can happen at these calls."""
    return [(at, fault) for at, name in enumerate(calls, 1) for fault in faults if name in _OF_DATA.get(fault, (name,))]


def installation(world: World, rng: Draws, faults: tuple[str, ...]) -> Result:
    with world.guarded(rng, STREAMS, start=False) as run:
        installer = Installer(run)
        calls = world.once("calls of installing", lambda: _trace(installer))
        points = {name: _points(made, faults) for name, made in calls.items()}
        run.result.points = {name: len(of) for name, of in points.items()}
        turn = {name: of[rng.turn % TURNS::TURNS] for name, of in points.items()}
        first, *others = [way for way in _WAYS if not way.from_nothing]
        whole = {first.name: _whole(installer, first)}
        world.witness.reset()
        with run.probing():
            _replace(installer, first, whole[first.name], turn[first.name])
            for way in others:  # a daemon's tables are more than those that are armed by hand
                whole[way.name] = _whole(installer, way)
                _replace(installer, way, whole[way.name], turn[way.name])
        time.sleep(0.02)
        arrived = world.witness.seen()
        for way in _WAYS:
            if way.from_nothing:
                _from_nothing(installer, way, turn[way.name])
        world.clean()
        for name, made in calls.items():
            run.result.figures[f"calls of {name}"] = len(made)
        if not arrived:
            world.witness.reset()
    return run.result


def _whole(installer: Installer, way: Way) -> list[dict[str, str]]:
    """What stands after each of the two configurations, without a fault; the second stands at the end."""
    whole = []
    for file in installer.files:
        if not way.arm(installer, file, "", 0):
            raise Void(f"mxmirage cannot {way.name} without a fault")
        whole.append(installer.tables())
    if not whole[0] or any(whole[0].get(name) == rules for name, rules in whole[1].items()):
        raise Void("the two configurations give the same rules")
    return whole


def _replace(installer: Installer, way: Way, whole: list[dict[str, str]], points: list[tuple[int, str]]) -> None:
    """One set by the other, time and again: one or the other stands, and who says it is done has the new one."""
    stands = 1
    for at, fault in points:
        tables = _try(installer, way, 1 - stands, fault, at, whole, whole[1 - stands])
        stands = 1 if tables == whole[1] else 0


def _from_nothing(installer: Installer, way: Way, points: list[tuple[int, str]]) -> None:
    """All stands or nothing."""
    installer.world.clean()
    if not points:
        return
    if not way.arm(installer, installer.files[0], "", 0):
        raise Void(f"mxmirage cannot {way.name} without a fault")
    whole = installer.tables()
    for at, fault in points:
        installer.world.clean()
        _try(installer, way, 0, fault, at, [{}, whole], whole)


def _try(installer: Installer, way: Way, file: int, fault: str, at: int, allowed: list[dict[str, str]],
         new: dict[str, str]) -> dict[str, str]:
    """What stands after it."""
    run, began = installer.run, time.monotonic()
    done = way.arm(installer, installer.files[file], fault, at)
    tables, calls, what = installer.tables(), len(installer.calls()), f"{fault} at call {at} of {way.name}"
    if calls >= at:
        run.result.covered.add((way.name, at, fault))
    if done:
        _judge(run, f"{what}, which said it was done", tables, [new])
    _judge(run, what, tables, allowed)
    run.expect(calls < CALLS_MAX + CALLS_PER_SECOND_MAX * (time.monotonic() - began), f"{what}: it goes on and on")
    return tables


def deaths(world: World, rng: Draws) -> Result:
    return installation(world, rng, DEATHS)


def failures(world: World, rng: Draws) -> Result:
    return installation(world, rng, FAILURES)


SCENARIOS = [
    Scenario(11, "death at each netlink call", deaths, turns=TURNS),
    Scenario(12, "failure of each netlink call", failures, turns=TURNS),
]
