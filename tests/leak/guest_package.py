"""Scenario 22: the package upgraded, downgraded, removed and installed again under the rules that it has loaded."""

from __future__ import annotations

import random

from campaign import Result
from guest_world import PACKAGE, GuestWorld
from lab import HOST
from machine_root import package_file
from nspawn_package import repack


def package(world: GuestWorld, rng: random.Random) -> Result:
    world.begin(rng)
    newer = repack(package_file(), world.scratch(), "99.0").read_bytes()
    for kernel in world.kernels:
        world.fresh(kernel)
        world.arm()
        world.lab.run(HOST, "sh", "-c", "cat >/root/newer.deb", stdin=newer)
        with world.probes(), world.flushes():
            for file in ("/root/newer.deb", PACKAGE, "/root/newer.deb"):
                world.shell(f"dpkg -i {file}")
                world.expect_back(f"after {file} was installed")
                world.expect_closed(f"when {file} was installed, with flushes")
            world.shell("dpkg --remove mxmirage; systemctl daemon-reload")
            world.settle()
            world.expect_closed("when the package was removed, with flushes")
            world.shell(f"dpkg -i {PACKAGE}; systemctl enable --now mxmirage")
            world.expect_back("after the package was installed again")
        world.settle()
        world.expect_closed("at the end")
        world.expect_open_ways()
    return world.result
