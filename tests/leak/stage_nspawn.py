"""The nspawn stage: a Debian host with systemd as its first process, and the package on it."""

from __future__ import annotations

import itertools

import nspawn_boot
import nspawn_managers
import nspawn_package
import nspawn_process
import nspawn_socket
from campaign import Scenario
from qa_machine import QaMachine

JOBS = 2  # machines side by side
_worlds = itertools.count()

SCENARIOS = [Scenario(number, name, function, chunk=1, seconds_max=180) for number, name, function in (
    (9, "warden, responder or both killed, and the rules flushed", nspawn_process.kill),
    (21, "nftables.service, firewalld and ufw beside it", nspawn_managers.managers),
    (22, "package installed, upgraded, downgraded, removed", nspawn_package.package),
    (23, "boot, shutdown, reboot, power loss, crash loop", nspawn_boot.boot),
    (24, "no memory, no descriptors, no threads", nspawn_process.starve),
    (27, "each way to lose the owner's socket", nspawn_socket.lose),
)]


def world() -> QaMachine:
    """A run's own. To every second one somebody answers on port 25 of the internet."""
    return QaMachine(answering=next(_worlds) % 2 == 1)
