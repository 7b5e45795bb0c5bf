"""Scenario 27: each way in which systemd is known to lose a socket that it keeps for others (and some more), with
nobody of ours alive and the rules flushed in a loop. Afterwards the rules must still have their owner."""

from __future__ import annotations

import random
import time

from campaign import Result
from qa_machine import QaMachine

SERVICE, GUARD, SOCKET = "mxmirage.service", "mxmirage-guard.service", "mxmirage-guard.socket"
FILE = f"/lib/systemd/system/{SOCKET}"
NETFILTER = "12"  # as /proc/net/netlink has the family
ASKED = 150000
# Asks the kernel through the owner's socket, and reads none of the answers.
NOISE = f"""import os, socket, struct
sock = socket.socket(fileno=3)
request = struct.pack("=IHHIIBBH", 20, 0xa07, 0x301, 7, 0, 0, 0, 0)
for _ in range({ASKED}):
    try:
        sock.sendto(request, (0, 0))
    except OSError:
        pass
"""
NOISE_UNIT = f"""[Service]
Type=oneshot
Sockets={SOCKET}
ExecStart=python3 /etc/noise.py
"""


def lose(world: QaMachine, rng: random.Random) -> Result:
    world.machine.write("/etc/noise.py", NOISE)
    world.machine.write("/etc/systemd/system/noise.service", NOISE_UNIT)
    world.arm()
    ways = (_stopped, _start_limit, _unread, _unit_file, _failing_guard, _isolated, _executed_anew)
    with world.probes():
        for way in rng.sample(ways, len(ways)):
            with world.flushes():
                way(world)
                time.sleep(0.2)
            name = way.__name__.strip("_")
            world.expect_closed(name)
            world.expect(world.machine.show(SOCKET, "ActiveState") == "active", f"{name}: the socket is lost")
            if way is _unit_file:  # lost it is, but for the daemon's own descriptor
                world.machine.systemctl("restart", SOCKET, GUARD, SERVICE)
            world.machine.systemctl("start", SERVICE)
            world.expect_back()
            world.expect_closed(f"after {name}")
    world.check_inverse()
    return world.finish()


def _stopped(world: QaMachine) -> None:
    world.machine.systemctl("stop", SERVICE)
    world.machine.systemctl("stop", GUARD)


def _start_limit(world: QaMachine) -> None:
    """A daemon that cannot start, and is started all the time."""
    world.machine.run("sh", "-c", "chmod -x /usr/sbin/mxmirage")
    for _ in range(12):
        world.machine.systemctl("restart", SERVICE, check=False)
    world.machine.run("sh", "-c", "chmod +x /usr/sbin/mxmirage")


def _unread(world: QaMachine) -> None:
    """Answers that nobody reads fill the socket's buffer, then nobody of ours is there."""
    world.machine.systemctl("start", "noise")
    drops = [int(line.split()[8]) for line in world.machine.run("cat", "/proc/net/netlink").stdout.splitlines()[1:]
             if line.split()[1] == NETFILTER]
    world.expect(max(drops) > 0, "the socket's buffer was not full")
    world.machine.systemctl("stop", SERVICE)


def _unit_file(world: QaMachine) -> None:
    """daemon-reload while the socket's unit has no file, with the daemon at work."""
    world.machine.run("mv", FILE, "/root/")
    world.machine.systemctl("daemon-reload")
    time.sleep(0.3)
    world.machine.run("mv", f"/root/{SOCKET}", FILE)
    world.machine.systemctl("daemon-reload")


def _failing_guard(world: QaMachine) -> None:
    world.machine.systemctl("stop", SERVICE)
    world.machine.run("sh", "-c", "chmod -x /usr/sbin/mxmirage")
    world.machine.systemctl("restart", GUARD, check=False)
    time.sleep(1.5)
    world.machine.run("sh", "-c", "chmod +x /usr/sbin/mxmirage")


def _isolated(world: QaMachine) -> None:
    world.machine.systemctl("isolate", "rescue.target")
    time.sleep(0.3)
    world.machine.systemctl("isolate", "multi-user.target")


def _executed_anew(world: QaMachine) -> None:
    world.machine.systemctl("stop", SERVICE)
    world.machine.systemctl("daemon-reexec")
