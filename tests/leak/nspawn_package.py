"""Scenario 22: the package installed, upgraded, downgraded, removed and installed again."""

from __future__ import annotations

import random
import re
import subprocess
import time
from pathlib import Path

from campaign import Result
from lab import LabError
from qa_machine import QaMachine

GUARD = "mxmirage-guard.socket"


def package(world: QaMachine, rng: random.Random) -> Result:
    machine = world.machine
    other = repack(machine.package, world.lab.directory, "99.0")
    machine.boot()
    # Installed, and nothing but that: nothing is armed, so these probes arrive.
    with world.probes():
        time.sleep(0.3)
    world.expect(world.oracle.seen(), "installing the package alone closes port 25")
    world.expect(not machine.run("nft", "list", "tables").stdout, "installing the package alone loads rules")
    world.oracle.reset()

    machine.systemctl("enable", "--now", "mxmirage")
    daemon = rng.random() < 0.7  # else the guard alone
    if not daemon:
        machine.systemctl("stop", "mxmirage.service")
    with world.probes(), world.flushes():
        for version in (other, machine.package, other):
            machine.install(version)
            world.expect_closed(f"when {version.name} was installed")
            if daemon:
                world.expect_back()
        said = machine.run("dpkg", "--remove", "mxmirage").stderr
        for _ in range(2):
            machine.systemctl("daemon-reload")
        time.sleep(0.5)
        world.expect_closed("when the package was removed")
        world.expect(machine.show(GUARD, "ActiveState") == "active", "the owner's socket is lost at removal")
        machine.install()
        machine.systemctl("enable", "--now", "mxmirage")
        world.expect_back()
        world.expect_closed("when the package was installed again")
        machine.run("dpkg", "--purge", "mxmirage")
        machine.systemctl("daemon-reload")
        time.sleep(0.3)
    world.check_inverse()
    world.expect_closed("when the package was purged")
    # What the removal said must be true.
    commands = re.findall(r"^ {4}(.+)$", said, re.MULTILINE)
    world.expect(commands, "the removal does not say how to open port 25")
    machine.run("sh", "-c", "\n".join(commands), check=False)
    world.expect_opens("what the removal says")
    return world.finish()


def repack(package_file: Path, directory: Path, version: str) -> Path:
    """The same package under another version."""
    tree, made = directory / "repack", directory / f"mxmirage_{version}_amd64.deb"
    for argv in (("dpkg-deb", "-R", package_file, tree),
                 ("sed", "-i", f"s/^Version: .*/Version: {version}/", tree / "DEBIAN" / "control"),
                 ("dpkg-deb", "-Znone", "-b", tree, made)):
        done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"{argv[0]}: {done.stderr.strip()}")
    return made
