"""Scenario 28: the tests of the kernel's layer themselves, on the kernels that users have."""

from __future__ import annotations

import random

from campaign import Result
from guest_world import GuestWorld, build_directory
from lab import HOST

PROGRAMS = ("test_encode", "test_plan", "test_guard", "test_guard_effect", "test_links", "test_origdst")


def tests(world: GuestWorld, rng: random.Random) -> Result:
    world.begin(rng)
    for kernel in world.kernels:
        world.fresh(kernel)
        for program in PROGRAMS:
            path = f"/root/{program}"
            world.lab.run(HOST, "sh", "-c", f"cat >{path}; chmod +x {path}",
                          stdin=(build_directory() / "tests" / program).read_bytes())
            done = world.lab.run(HOST, "sh", "-c", f"CK_DEFAULT_TIMEOUT=120 {path}", check=False, timeout=300)
            world.expect(done.returncode == 0, f"{program}: {(done.stdout + done.stderr).strip()[-3000:]}")
        world.expect_closed("while the tests ran")
    return world.result
