"""Scenario 28: the kernel tests of the build (tests/kern) on Debian's own kernels, where some of what the newest kernel
can is missing: each test asks for what it presumes, and tests there what holds without it."""

from __future__ import annotations

import random

from campaign import Result, Void
from guest_world import GuestWorld, unit_tests
from lab import HOST

_SECONDS = 1800  # for one program
_SAID_MAX = 1500


def units(world: GuestWorld, rng: random.Random) -> Result:
    world.begin(rng)
    programs = unit_tests()
    if not programs:
        raise Void("the build has no kernel tests")
    for kernel in world.kernels:
        world.fresh(kernel)
        for inside in programs:
            done = world.lab.run(HOST, "env", "CK_FORK=no", "TEST_SLOWNESS=20", inside, check=False, timeout=_SECONDS)
            said = (done.stdout + done.stderr)[-_SAID_MAX:]
            world.expect(done.returncode == 0 and "100%" in said, f"{inside}: exit {done.returncode}:\n{said}")
        world.settle()
        world.expect_closed("from the tests' namespaces")
    return world.result
