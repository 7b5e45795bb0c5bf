"""The guest stage: Debian's own kernels, each with a host of its own under qemu, the oracle outside of it."""

from __future__ import annotations

import os

import guest_boot
import guest_escape
import guest_kernel
import guest_package
import guest_units
from campaign import Scenario
from guest_world import GuestWorld as world

JOBS = os.cpu_count() or 1  # a guest takes one
PATIENCE = 3600  # seconds for a run, which has both kernels, on a machine that is busy with other things

SCENARIOS = [Scenario(number, f"{name}, on 6.1 and 6.12", function, chunk=5, seconds_max=PATIENCE)
             for number, name, function in (
    (22, "package upgraded, removed and installed again", guest_package.package),
    (23, "reboot, boot, crash loop and shutdown", guest_boot.boot),
    (25, "the escape queue with nft_queue: nobody, killed, no room", guest_escape.escape),
    (26, "owner, kill, taking over and power loss", guest_kernel.kernel),
    (28, "the kernel tests of the build", guest_units.units),
)]

__all__ = ["JOBS", "SCENARIOS", "world"]
