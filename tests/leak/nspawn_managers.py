"""Scenario 21: Debian's own firewall managers, started, reloaded and stopped beside mxmirage."""

from __future__ import annotations

import random
import time

from campaign import Result
from qa_machine import LAN, OPEN_WAYS, QaMachine

NFTABLES = (("systemctl", "start", "nftables"), ("systemctl", "reload", "nftables"),
            ("systemctl", "restart", "nftables"), ("nft", "-f", "/etc/nftables.conf"),
            ("systemctl", "stop", "nftables"))
FIREWALLD = (("systemctl", "start", "firewalld"), ("firewall-cmd", "--reload"), ("firewall-cmd", "--complete-reload"),
             ("systemctl", "restart", "firewalld"), ("systemctl", "stop", "firewalld"))
UFW = (("ufw", "--force", "enable"), ("ufw", "allow", "80/tcp"), ("ufw", "reload"), ("ufw", "disable"),
       ("systemctl", "start", "ufw"), ("systemctl", "restart", "ufw"), ("systemctl", "stop", "ufw"))


def managers(world: QaMachine, rng: random.Random) -> Result:
    """All three in any order, with the daemon, and after it was stopped."""
    world.arm()
    before = world.machine.run("mxmirage", "guard", "status", "--json").stdout.split('"firewall"')[0]
    for stopped in (False, True):
        if stopped:
            world.machine.systemctl("stop", "mxmirage.service")
        with world.probes():
            for manager in rng.sample((NFTABLES, FIREWALLD, UFW), 3):
                for number, command in enumerate(manager):
                    _manage(world, *command)
                    time.sleep(rng.uniform(0, 0.1))
                    if number == 1:  # at work: what comes in is its own business
                        world.check_inverse(*(way for way in OPEN_WAYS if way[0] == LAN))
        world.expect_closed("with the daemon stopped" if stopped else "with the daemon at work")
        after = world.machine.run("mxmirage", "guard", "status", "--json", check=False).stdout.split('"firewall"')[0]
        world.expect(after == before, f"the guard is {after} and was {before}")
    world.check_inverse()
    return world.finish()


def _manage(world: QaMachine, *command: str) -> None:
    """Now and then one of them fails for reasons of its own: that is noted, and it has another try."""
    first = world.machine.run(*command, check=False)
    if first.returncode == 0:
        return
    journal = world.machine.run("journalctl", "--no-pager", "--output=cat", "--lines=12", "--unit=firewalld",
                                "--unit=nftables", "--unit=ufw").stdout
    world.result.notes.append(f"{' '.join(command)}: {first.stderr.strip()}\n{journal}")
    time.sleep(0.5)
    again = world.machine.run(*command, check=False)
    world.expect(again.returncode == 0, f"{' '.join(command)}: {again.stderr.strip()}")
