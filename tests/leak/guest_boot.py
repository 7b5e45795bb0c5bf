"""Scenario 23: shutdown, reboot and boot, with probes from the first moment that there is a process of the guest's
until the machine is off."""

from __future__ import annotations

import random

from campaign import Result, Void
from guest_world import GuestWorld


def boot(world: GuestWorld, rng: random.Random) -> Result:
    world.begin(rng)
    for kernel in world.kernels:
        world.fresh(kernel)
        _canary(world)
        world.shell("systemctl enable --now mxmirage && systemctl start guest-probe")
        world.expect_back("when it was started")
        world.expect_closed("before the reboot")
        _reboot(world)
        world.expect_open_ways()
        _crash_loop(world, rng)
        _shut_down(world)
    return world.result


def _canary(world: GuestWorld) -> None:
    """The same boot without mxmirage: the oracle must see probes of both families, or the scenario is blind."""
    world.shell("systemctl enable guest-probe doors; sync")
    guest = world.lab.guest
    boot = guest.boot_id()
    world.shell("systemctl reboot --no-block")
    guest.wait_for_agent(not_boot=boot)
    world.lab.wait_for_boot()
    seen = world.oracle.seen()
    if not seen.get("v4_to_port_25") or not seen.get("v6_to_port_25"):
        raise Void(f"of the probes of a boot the oracle saw {seen}")
    world.shell("systemctl kill -s KILL guest-probe; systemctl stop guest-probe")
    world.all_seen()
    world.oracle.reset()


def _reboot(world: GuestWorld) -> None:
    boot = world.lab.guest.boot_id()
    world.shell("systemctl reboot --no-block")
    world.expect_booted(boot, "at the reboot")


def _crash_loop(world: GuestWorld, rng: random.Random) -> None:
    """As fast as it comes back: systemd's usual limit is 5 starts in 10 seconds."""
    with world.flushes():
        for _ in range(8):
            world.shell("systemctl kill -s KILL mxmirage; sleep 0.4", check=False)
        world.expect_back("after a crash loop")
        world.expect_closed("in a crash loop, with flushes")


def _shut_down(world: GuestWorld) -> None:
    """The last process that sends is the last that there is."""
    world.count_boot_probes()
    world.shell("systemctl poweroff --no-block")
    world.lab.guest.wait_off(300)
    world.count_boot_probes()
    world.expect_closed("at the shutdown")
