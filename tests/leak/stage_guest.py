"""The guest stage: Debian's own kernels, each with a host of its own under qemu, the oracle outside of it."""

from __future__ import annotations

import guest_boot
import guest_escape
import guest_kernel
import guest_package
import guest_units
from campaign import Scenario
from guest_world import GuestWorld as world

JOBS = 1  # a guest has two processors
PATIENCE = 3600  # seconds for a run, which has both kernels, on a machine that is busy with other things

SCENARIOS = [
    Scenario(22, "package upgraded, removed and installed again, on 6.1 and 6.12", guest_package.package,
             seconds_max=PATIENCE),
    Scenario(23, "reboot, boot, crash loop and shutdown, on 6.1 and 6.12", guest_boot.boot,
             seconds_max=PATIENCE),
    Scenario(25, "the escape queue with nft_queue: nobody, killed, no room, on 6.1 and 6.12", guest_escape.escape,
             seconds_max=PATIENCE),
    Scenario(26, "owner, kill, taking over and power loss, on 6.1 and 6.12", guest_kernel.kernel,
             seconds_max=PATIENCE),
    Scenario(28, "the kernel tests of the build, on 6.1 and 6.12", guest_units.units, seconds_max=PATIENCE),
]

__all__ = ["JOBS", "SCENARIOS", "world"]
