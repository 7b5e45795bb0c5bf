"""Scenarios 9 and 24: processes that are killed, or lack memory, descriptors or threads."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from campaign import Result, Skip
from lab import wait_until
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
                for pid in rng.choice(((warden,), (responder,), (warden, responder), (responder, warden))):
                    if pid:
                        os.kill(pid, signal.SIGKILL)
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
    """The kernel's own killer, by a memory limit that the processes have long passed."""
    root = Path("/sys/fs/cgroup/memory")
    if not (root / "memory.limit_in_bytes").exists():
        raise Skip("the memory limits of control groups version 1 are not there")
    for victim in (world.machine.pid(SERVICE), world.machine.responder()):
        if not victim:
            continue
        group = root / f"mxm-{os.getpid()}"
        group.mkdir()
        try:
            (group / "memory.limit_in_bytes").write_text("64K")
            (group / "memory.swappiness").write_text("0")
            (group / "cgroup.procs").write_text(str(victim))
            # The limit is met when a page is touched next; the kernel takes the process then.
            wait_until(lambda: _killed_for_memory(group) or not Path(f"/proc/{victim}").exists(), 20,
                       "the kernel to kill for want of memory")
        finally:
            wait_until(lambda: not (group / "cgroup.procs").read_text(), 20, "the control group to be empty")
            group.rmdir()
        world.expect_back(20)


def _killed_for_memory(group: Path) -> bool:
    return any(line.startswith("oom_kill ") and int(line.split()[1]) for line in
               (group / "memory.oom_control").read_text().splitlines())


def _descriptors(world: QaMachine) -> None:
    """As few as are in use: nothing can be accepted, no file read. Then the service is restarted like that."""
    for pid in filter(None, (world.machine.pid(SERVICE), world.machine.responder())):
        world.machine.run("true")
        _limit(pid, "nofile", len(list(Path(f"/proc/{pid}/fd").iterdir())))
    time.sleep(0.5)
    world.machine.systemctl("reload", SERVICE, check=False)
    time.sleep(0.3)
    _with_limit(world, "LimitNOFILE=12")


def _threads(world: QaMachine) -> None:
    """Not one more process or thread for the service: then none at its start."""
    for pid in filter(None, (world.machine.pid(SERVICE), world.machine.responder())):
        _limit(pid, "nproc", 1)
    if responder := world.machine.responder():
        os.kill(responder, signal.SIGKILL)  # and no other can be forked
    time.sleep(0.5)
    _with_limit(world, "TasksMax=1")


def _limit(pid: int, what: str, value: int) -> None:
    import resource
    number = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}[what]
    resource.prlimit(pid, number, (value, value))


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
