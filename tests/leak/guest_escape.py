"""Scenario 25: the escape queue of kernels that have nft_queue: with its listener, without, with one that dies while
packets wait, with one that does not read until there is no room."""

from __future__ import annotations

import json
import random
import time

from campaign import Result
from guest_lab import BIN, V4_PEER, V6_PEER
from guest_world import PATIENCE, GuestWorld
from lab import HOST, LabError, wait_until

# Somebody's rule that keeps every connection from the divert: all of them meet the queue.
_FOREIGN = "table inet foreign { chain c { type filter hook output priority raw; tcp dport 25 notrack; }; }"
_QUEUES = "/proc/net/netfilter/nfnetlink_queue"
_SENDER = "sneaky"
_WAITING, _NO_ROOM = 2, 5  # columns there


def escape(world: GuestWorld, rng: random.Random) -> Result:
    world.begin(rng)
    for kernel in world.kernels:
        world.fresh(kernel)
        world.arm()
        means = _status(world)["guard"]["escape_queue"]
        world.expect(means == "nft_queue", f"escapes are seen by {means}")
        world.shell(f"nft '{_FOREIGN}'")
        _listened_to(world)
        with world.probes():
            for fault in rng.sample((_nobody, _killed, _no_room), 3):
                fault(world)
                world.settle()
                world.expect_closed(fault.__name__.strip("_"))
                _wait_for_listener(world)
        said = world.says(HOST, f"{V4_PEER}/25", f"{V6_PEER}/25")
        world.expect(set(said) == {"ConnectionRefusedError"}, f"a sender that is stopped sees {said}")
        world.shell("nft delete table inet foreign")
        world.expect_back("when nothing keeps connections from the divert any more")
        world.expect_closed("at the end")
        world.expect_open_ways()
    return world.result


def _status(world: GuestWorld) -> dict:
    return json.loads(world.shell("mxmirage status --json"))


def _queue(world: GuestWorld) -> list[int]:
    """The kernel's own words about the queue; [] without a listener."""
    return [int(word) for word in world.shell(f"cat {_QUEUES}").split()]


def _wait_for_listener(world: GuestWorld) -> None:
    try:
        wait_until(lambda: _queue(world), PATIENCE, "a listener")
    except LabError:
        world.expect(False, "nobody listens to the queue")


def _listened_to(world: GuestWorld) -> None:
    """Whoever sends is named: by its user and service; the sandbox hides other users' processes."""
    _wait_for_listener(world)
    world.shell(f"systemd-run --quiet --unit={_SENDER} {BIN}/guest-probe 10 3 connect4 {V4_PEER} {V6_PEER}")
    wanted = (0, f"/system.slice/{_SENDER}.service", V4_PEER)
    rows: list[dict] = []

    def named() -> bool:
        rows[:] = [row for row in _status(world)["escapes"] if row["path"] == "output"]
        return wanted in {(row["uid"], row["cgroup"], row["to"]) for row in rows}

    try:
        wait_until(named, PATIENCE / 3, "the sender's name")
    except LabError:
        world.expect(False, f"who sent is not named: {rows}")


def _nobody(world: GuestWorld) -> None:
    world.shell("systemctl stop mxmirage")
    world.expect(not _queue(world), "somebody listens to the queue while the daemon is stopped")
    time.sleep(1)
    world.expect_closed("with nobody who listens")
    world.shell("systemctl start mxmirage")


def _killed(world: GuestWorld) -> None:
    """While packets wait for a word from it."""
    world.shell("systemctl kill --kill-who=main -s STOP mxmirage")
    try:
        wait_until(lambda: (_queue(world) or [0] * 9)[_WAITING], PATIENCE / 3, "packets that wait")
    except LabError:
        world.expect(False, "no packet waits in the queue")
    world.shell("systemctl kill --kill-who=main -s KILL mxmirage")


def _no_room(world: GuestWorld) -> None:
    """Until the kernel has no room for another; then the listener goes on."""
    world.shell("systemctl kill --kill-who=main -s STOP mxmirage")
    try:
        wait_until(lambda: (_queue(world) or [0] * 9)[_NO_ROOM], PATIENCE / 3, "a queue without room")
    except LabError:
        world.expect(False, f"the queue has room for all: {_queue(world)}")
    world.expect_closed("with a full queue")
    world.shell("systemctl kill --kill-who=main -s CONT mxmirage")
