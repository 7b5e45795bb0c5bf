"""Scenarios about harm done to mxmirage while it runs: others' hands on its rules, kills, stops, reloads."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time

from campaign import Result, Scenario
from lab import HOST, SOURCES_V4, SOURCES_V6, wait_until
from netns_world import World, v4, v6
from nft import Nft

STREAMS = [f"connect@{v4(1)}", f"connect@{v6(1)}", f"connect,src={SOURCES_V4[1]}@{v4(2)}", f"connect,mark=7@{v6(2)}",
           f"connect,dev=wan@{v4(3)}", f"raw,src={SOURCES_V4[0]}@{v4(4)}", f"raw,src={SOURCES_V6[0]}@{v6(4)}"]
ATTACK_HZ = 100
ATTACKS = 40
TABLE, EGRESS = "inet mxmirage", "netdev mxmirage"


class Attacker:
    """Another program's hands on the rules, a hundred times a second for as long as the body takes."""

    def __init__(self, world: World, commands: list[str]) -> None:
        self._nft = Nft(world.lab, HOST)
        self._commands = commands
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._attack)
        self.tries = 0

    def _attack(self) -> None:
        begun = time.monotonic()
        while not self._stop.is_set():
            self._nft.attempt(self._commands[self.tries % len(self._commands)])
            self.tries += 1
            self._stop.wait(max(0.0, begun + self.tries / ATTACK_HZ - time.monotonic()))

    def __enter__(self) -> Attacker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._nft.close()


def other_hands(world: World, rng: random.Random) -> Result:
    with world.guarded(rng, STREAMS) as run:
        before = world.nft.rules(TABLE), world.nft.rules(EGRESS)
        handle = world.nft.handle("inet", "mxmirage")
        commands = ["flush ruleset", f"delete table {TABLE}", f"delete table inet handle {handle}",
                    f"add table {TABLE} {{ flags dormant; }}", f"flush table {TABLE}",
                    f"flush chain {TABLE} guard_output", f"delete chain {TABLE} guard_postrouting",
                    f"insert rule {TABLE} guard_output accept", f"insert rule {TABLE} divert_output accept",
                    f"add element {TABLE} exclude4 {{ {v4(1)} }}", f"flush set {TABLE} ports",
                    "delete table netdev mxmirage", "flush table netdev mxmirage", "flush ruleset netdev",
                    "delete table bridge mxmirage", "flush ruleset bridge"]
        rng.shuffle(commands)
        with run.probing() as probing, Attacker(world, commands) as attacker:
            wait_until(lambda: attacker.tries >= ATTACKS, 20, f"{ATTACKS} attacks")
        run.expect((world.nft.rules(TABLE), world.nft.rules(EGRESS)) == before, "the tables were changed by others")
        run.expect(probing.counts["greeted"], "nothing was diverted meanwhile")
    return run.result


def kills(world: World, rng: random.Random) -> Result:
    """At random moments, under load. Somebody starts it again at once, as systemd would."""
    which = rng.choice(("warden", "responder", "both"))
    mxmirage = world.mxmirage
    with world.guarded(rng, STREAMS) as run:
        with run.probing(rate=2000) as probing:
            time.sleep(rng.uniform(0.05, 0.1))
            if which == "responder":
                mxmirage.kill_responder()
            else:
                (mxmirage.kill_warden if which == "warden" else mxmirage.kill_both)()
                if rng.random() < 0.5:
                    world.nft("list tables")
                mxmirage.start()
            time.sleep(0.1)
        run.result.no_divert_ms = round(probing.gap_ms)
        run.expect(probing.counts["greeted"], "nothing was diverted")
    return run.result


def standstill(world: World, rng: random.Random) -> Result:
    """Nobody answers, and the rules stand."""
    mxmirage = world.mxmirage
    how = rng.choice(("warden stopped", "responder stopped", "both stopped", "accept queue full", "listener gone"))
    world.sysctl(HOST, "net/core/somaxconn", 8 if how == "accept queue full" else 4096)
    with world.guarded(rng, STREAMS) as run:
        responder = mxmirage.responder()
        stopped = {"warden stopped": [mxmirage.warden], "both stopped": [mxmirage.warden, responder],
                   "listener gone": []}.get(how, [responder])
        with run.probing(rate=2000) as probing:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            if how == "listener gone":
                mxmirage.kill_both()
            time.sleep(0.3)
        if how == "listener gone":
            run.expect(probing.counts["refused"] + probing.counts["reset"], "no connection was refused")
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        if how != "listener gone":
            probing = run.probe_until(lambda probing: probing.counts["greeted"])
            run.expect(probing.counts["greeted"], f"{how}: nothing is diverted after it goes on")
    return run.result


def reloads(world: World, rng: random.Random) -> Result:
    """Good and broken files in turn; the rules change with the good ones alone, and never for a moment to none."""
    mxmirage = world.mxmirage
    good = mxmirage.file.read_text()
    broken = rng.choice(('[divert]\nexclude = ["192.0.2.300/24"]\n', "[divert\n", '[divert]\nports = [25, "x"]\n',
                         "[nonsense]\na = 1\n"))

    def reload() -> subprocess.CompletedProcess:
        """By the socket's name: the file is the daemon's to read."""
        return world.lab.run(HOST, mxmirage.binary, "reload", "--socket", mxmirage.socket, check=False)

    try:
        with world.guarded(rng, STREAMS) as run:
            with run.probing() as probing:
                for number in range(4):
                    before = world.nft.rules(TABLE)
                    if number % 2:
                        mxmirage.file.write_text(broken)
                        run.expect(reload().returncode != 0, f"a broken file was loaded: {broken!r}")
                        run.expect(world.nft.rules(TABLE) == before, f"a broken file changed the rules: {broken!r}")
                    else:
                        mxmirage.file.write_text(good.replace("exclude = [", f'exclude = ["{v4(200 + number)}/32", '))
                        done = reload()
                        run.expect(done.returncode == 0, f"a good file was not loaded: {done.stderr.strip()}")
                        run.expect(world.nft.rules(TABLE) != before, "a good file changed nothing")
            run.expect(probing.counts["greeted"], "nothing was diverted meanwhile")
    finally:
        mxmirage.file.write_text(good)
    return run.result


SCENARIOS = [
    Scenario(7, "others' hands on the rules", other_hands),
    Scenario(8, "kill -9 under load", kills),
    Scenario(10, "nobody answers", standstill),
    Scenario(13, "reload, broken file", reloads),
]
