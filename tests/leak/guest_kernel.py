"""Scenario 26: who may touch the rules on this kernel; kills; taking over what a killed daemon left; power loss."""

from __future__ import annotations

import json
import random
import time

from campaign import Result
from guest_image import Kernel
from guest_world import PATIENCE, GuestWorld
from lab import LabError, wait_until

_TABLES = ("inet mxmirage", "netdev mxmirage")
# Without systemd: no socket is handed over.
_BY_HAND = "systemd-run --quiet --unit=by-hand --service-type=notify mxmirage run -c /etc/mxmirage/mxmirage.toml"


def kernel(world: GuestWorld, rng: random.Random) -> Result:
    world.begin(rng)
    for kernel in world.kernels:
        for faults in ((_ownership, _kills, _restarts), (_by_hand,), (_power_loss,)):
            world.fresh(kernel)
            for fault in faults:
                fault(world, kernel, rng)
                world.settle()
                world.expect_closed(fault.__name__.strip("_"))
            world.expect_open_ways()
    return world.result


def _ownership(world: GuestWorld, kernel: Kernel, rng: random.Random) -> None:
    """Under systemd: with the daemon, without it, and after systemd itself was executed anew."""
    world.arm()
    state = world.guard()
    world.expect(state.get("armed") and state.get("owner"), f"the guard is {state}")
    world.expect(state.get("persist") == kernel.persist, f"persist is {state.get('persist')}")
    said = world.shell("chrt --pid $(systemctl show -P MainPID mxmirage)")
    world.expect("SCHED_RR" in said, f"the warden is not ahead of a busy host: {said}")
    _said_of_it(world, kernel)
    with world.probes(), world.flushes():
        for way in ("true", "systemctl kill -s KILL mxmirage", "systemctl stop mxmirage", "systemctl daemon-reexec"):
            world.shell(way)
            for table in _TABLES:
                for what in (f"delete table {table}", f"flush table {table}", f"add chain {table} mine"):
                    world.expect(not world.succeeds(f"nft {what}"), f"after {way}, `nft {what}` is allowed")
            world.expect_closed(f"after {way}, with flushes")
        world.shell("systemctl start mxmirage")
        world.expect_back("after it was stopped")


def _said_of_it(world: GuestWorld, kernel: Kernel) -> None:
    """prove and doctor, as a user asks them."""
    proof = json.loads(world.shell("mxmirage prove --json || true"))
    world.expect(proof["verdict"] == "proven", f"prove says {proof['verdict']}: {proof['unproven']}, "
                 f"{[c for c in proof['canaries'] if not c['in_order']]}")
    world.expect_closed("of the canaries of prove")
    found = json.loads(world.shell("mxmirage doctor --json || true"))["findings"]
    # Nobody serves names here, and doctor has to see that; beside it there is nothing that is wrong.
    amiss = [f for f in found if f["state"] in ("fail", "unknown")]
    world.expect([f["check"] for f in amiss] == ["dns"], f"doctor found {amiss}")
    release = world.shell("uname -r").strip()
    for check, text in (("kernel", f"{release} loads the whole ruleset"), ("kernel", "egress chains on devices"),
                        ("kernel", "which outlive it (PERSIST)" if kernel.persist else "none that outlive it"),
                        ("queue", "escapes can be named by nft_queue"), ("guard", "armed, and owned")):
        world.expect([f for f in found if f["check"] == check and text in f["found"]],
                     f"doctor does not say {text!r} of {check}: {[f['found'] for f in found if f['check'] == check]}")


def _kills(world: GuestWorld, kernel: Kernel, rng: random.Random) -> None:
    with world.probes(), world.flushes():
        for whom in rng.sample(("main", "all", "responder", "all"), 4):
            time.sleep(rng.uniform(0, 0.5))
            world.shell("pkill -KILL -P $(systemctl show -P MainPID mxmirage)" if whom == "responder" else
                        f"systemctl kill --kill-who={whom} -s KILL mxmirage", check=False)
            world.expect_back(f"after {whom} was killed")


def _restarts(world: GuestWorld, kernel: Kernel, rng: random.Random) -> None:
    """Of everything, the owner's socket included."""
    with world.probes():
        for what in ("mxmirage-guard.socket", "'mxmirage*'"):
            world.shell(f"systemctl restart {what}")
            world.expect_back(f"after {what} was restarted")
            world.expect_closed(f"after {what} was restarted")
    world.expect(world.guard().get("owner"), "nobody owns the rules after the restart")


def _by_hand(world: GuestWorld, kernel: Kernel, rng: random.Random) -> None:
    """Its own socket, and beside it what needs no owner."""
    world.shell(_BY_HAND)
    world.expect_back("when started by hand")
    state = world.guard()
    world.expect(state.get("armed"), f"the guard is {state}")
    with world.probes():
        for _ in range(3):
            time.sleep(rng.uniform(0, 1))
            world.shell("systemctl kill --kill-who=all -s KILL by-hand")
            time.sleep(rng.uniform(0.2, 1))
            world.expect_closed("after kill -9, before it is back")
            world.shell("systemctl reset-failed by-hand; " + _BY_HAND)
            world.expect_back("after it took over what it had left")
        # Who may take away the part without an owner does; what verifies the rules puts it back.
        world.shell("nft flush ruleset")
        world.expect_closed("when others flushed the rules")
        try:
            wait_until(lambda: world.guard().get("static"), PATIENCE, "the static wall")
        except LabError:
            world.expect(False, "nobody puts the static wall back")
        world.shell("systemctl kill --kill-who=all -s KILL by-hand")
        world.settle()


def _power_loss(world: GuestWorld, kernel: Kernel, rng: random.Random) -> None:
    """The reset button, with probes from the first moment of the boot."""
    world.shell("systemctl enable mxmirage guest-probe doors; sync")
    boot = world.lab.guest.boot_id()
    world.lab.guest.reset()
    world.expect_booted(boot, "after the power loss")
