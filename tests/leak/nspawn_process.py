"""Scenarios 9 and 24: processes that are killed, or lack memory, descriptors or threads."""

from __future__ import annotations

import random
import time
from pathlib import Path

from campaign import Result
from lab import wait_until
from machine import inner_pid
from memory_group import kill_for_memory
from qa_machine import QaMachine

SERVICE = "mxmirage.service"
KILLS = 4


def kill(world: QaMachine, rng: random.Random) -> Result:
    """kill -9 of the warden, the responder or both, with others flushing the rules all the while."""
    world.arm()
    with world.probes(), world.flushes():
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.1, 0.4))
            with world.greetings():
                warden, responder = world.machine.pid(SERVICE), world.machine.responder()
                world.kill(*rng.choice(((warden,), (responder,), (warden, responder), (responder, warden))))
                world.expect_back()
        world.machine.systemctl("stop", SERVICE)
        time.sleep(0.5)
    world.expect_closed("while nobody was there, or before")
    world.expect(world.machine.show("mxmirage-guard.socket", "ActiveState") == "active", "the owner's socket is lost")
    world.machine.systemctl("start", SERVICE)
    world.expect_back()
    world.check_inverse()
    return world.finish()


def starve(world: QaMachine, rng: random.Random) -> Result:
    """Killed for want of memory; no descriptor left; no thread to be had: each under load."""
    world.arm()
    with world.probes(), world.flushes():
        for way in rng.sample((_memory, _descriptors, _threads), 3):
            way(world)
            world.expect_back(20)
            world.expect_closed(way.__name__.strip("_"))
    world.check_inverse()
    return world.finish()


def _memory(world: QaMachine) -> None:
    for victim in (world.machine.responder, lambda: world.machine.pid(SERVICE)):
        wait_until(victim, 20, "the processes to be there")
        kill_for_memory(victim())
        world.expect_back(20)


def _descriptors(world: QaMachine) -> None:
    """As few as are in use: nothing can be accepted, no file read. Then the service is restarted like that."""
    for pid in filter(None, (world.machine.pid(SERVICE), world.machine.responder())):
        _limit(world, pid, "nofile", len(list(Path(f"/proc/{pid}/fd").iterdir())))
    time.sleep(0.5)
    world.machine.systemctl("reload", SERVICE, check=False)
    time.sleep(0.3)
    _with_limit(world, "LimitNOFILE=12")


def _threads(world: QaMachine) -> None:
    """Not one more process or thread for the service: then none at its start."""
    for pid in filter(None, (world.machine.pid(SERVICE), world.machine.responder())):
        _limit(world, pid, "nproc", 1)
    world.kill(world.machine.responder())  # and no other can be forked
    time.sleep(0.5)
    _with_limit(world, "TasksMax=1")


def _limit(world: QaMachine, pid: int, what: str, value: int) -> None:
    """As the service's own user, who may."""
    world.machine.run("setpriv", "--reuid=mxmirage", "--regid=mxmirage", "--clear-groups",
                      "prlimit", "--pid", str(inner_pid(pid)), f"--{what}={value}:{value}")


def _with_limit(world: QaMachine, setting: str) -> None:
    """The service cannot come up for a while; then it may again."""
    machine = world.machine
    drop_in = f"/run/systemd/system/{SERVICE}.d/limit.conf"
    machine.run("sh", "-c", f"mkdir -p {Path(drop_in).parent} && cat >{drop_in}", stdin=f"[Service]\n{setting}\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "--no-block", SERVICE)
    time.sleep(1.5)
    machine.run("rm", drop_in)
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", SERVICE, check=False)
