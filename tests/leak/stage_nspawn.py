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

SCENARIOS = [
    Scenario(9, "warden, responder or both killed, and the rules flushed", nspawn_process.kill, chunk=1, seconds_max=180),
    Scenario(21, "nftables.service, firewalld and ufw beside it", nspawn_managers.managers, chunk=1, seconds_max=180),
    Scenario(22, "package installed, upgraded, downgraded, removed", nspawn_package.package, chunk=1, seconds_max=180),
    Scenario(23, "boot, shutdown, reboot, power loss, crash loop", nspawn_boot.boot, chunk=1, seconds_max=180),
    Scenario(24, "no memory, no descriptors, no threads", nspawn_process.starve, chunk=1, seconds_max=180),
    Scenario(27, "each way to lose the owner's socket", nspawn_socket.lose, chunk=1, seconds_max=180),
]


def world() -> QaMachine:
    """A run's own. To every second one somebody answers on port 25 of the internet."""
    return QaMachine(answering=next(_worlds) % 2 == 1)
