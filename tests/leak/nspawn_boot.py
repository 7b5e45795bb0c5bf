"""Scenario 23: boot, shutdown, reboot, power loss, a crash loop; a probe at every moment of each."""

from __future__ import annotations

import random
import time

from campaign import Result
from lab import HOST, LINKS, wait_until
from qa_machine import CONFIGURATION, QaMachine

SERVICE = "mxmirage.service"
REBOOT_STATUS = 133  # how systemd-nspawn says that the machine wants to be started again
CRASHES = 25
# The machine's network comes up as late as the rules of systemd's order allow, and no later.
NETWORK = """[Unit]
DefaultDependencies=no
After=network-pre.target
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-ip -force -batch /etc/wan.batch

[Install]
WantedBy=sysinit.target
"""


def boot(world: QaMachine, rng: random.Random) -> Result:
    machine = world.machine
    machine.write("/etc/systemd/system/wan.service", NETWORK)
    machine.write("/etc/wan.batch", "\n".join(line for line in LINKS[HOST] if "lan" not in line) + "\n")
    world.arm()
    machine.systemctl("enable", "wan")
    broken = rng.random() < 0.5
    with world.probes():
        for off in rng.sample((_power_off, _reboot, _cut_power), 3):
            off(world)
            world.expect_closed(f"at or after {off.__name__.strip('_')}")
            # The kernel's part of a boot: no rules, and no link until the machine itself brings it up.
            world.lab.run(HOST, "ip", "link", "set", "wan", "down")
            machine.forget_rules()
            machine.boot()
            world.expect(machine.show("wan.service", "ActiveState") == "active", "the machine's network is not up")
            world.expect_back()
            world.expect_closed("at boot")
        with world.flushes():
            _crash_loop(world)
            world.expect_closed("in a crash loop")
            _broken_configuration(world)
            world.expect_closed("with a broken configuration")
        if broken:
            _boot_broken(world)
            world.expect_closed("at a boot with a broken configuration")
    world.check_inverse()
    return world.finish()


def _power_off(world: QaMachine) -> None:
    world.machine.shut_down()
    time.sleep(0.3)


def _reboot(world: QaMachine) -> None:
    status = world.machine.shut_down("reboot")
    world.expect(status == REBOOT_STATUS, f"a reboot ended with status {status}")


def _cut_power(world: QaMachine) -> None:
    world.machine.cut_power()
    time.sleep(0.3)


def _crash_loop(world: QaMachine) -> None:
    """As fast as it comes back: systemd's usual limit is 5 starts in 10 seconds."""
    for _ in range(CRASHES):
        wait_until(lambda: world.machine.pid(SERVICE), 10, "the service to come back")
        world.kill(world.machine.pid(SERVICE))
    world.expect_back()


def _broken_configuration(world: QaMachine) -> None:
    machine = world.machine
    machine.run("sh", "-c", "echo '[divrt]' >/etc/mxmirage/mxmirage.toml")
    machine.systemctl("restart", SERVICE, check=False)
    machine.systemctl("restart", "mxmirage-guard.service", check=False)
    time.sleep(2.5)
    _mend(world)


def _mend(world: QaMachine) -> None:
    world.machine.run("sh", "-c", "cat >/etc/mxmirage/mxmirage.toml", stdin=CONFIGURATION)
    world.machine.systemctl("restart", "mxmirage-guard.service", check=False)
    world.machine.systemctl("restart", SERVICE, check=False)
    world.expect_back()


def _boot_broken(world: QaMachine) -> None:
    """A mistake in the file must not open the port at the next boot."""
    machine = world.machine
    machine.run("sh", "-c", "echo '[divrt]' >/etc/mxmirage/mxmirage.toml")
    machine.shut_down()
    world.lab.run(HOST, "ip", "link", "set", "wan", "down")
    machine.forget_rules()
    machine.start()
    wait_until(lambda: machine.systemctl("is-active", "wan", check=False) == "active", 30, "the machine's network")
    time.sleep(1)
    _mend(world)
