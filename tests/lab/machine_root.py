"""The root directory of a machine: a Debian 12 with what the package under test depends on, and the firewall
managers that it has to live with. Made once by mmdebstrap, for each list of packages, in the build directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from lab import LabError

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# systemd with what it needs to boot, the firewall managers, and the tools of the tests.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "nftables", "iptables", "firewalld", "ufw", "iproute2", "procps",
            "python3-minimal", "passwd")
# Of earlier lists of packages, this many stay.
KEEP = 2


def package_file() -> Path:
    """The package under test, from the build directory that MXMIRAGE_BUILD names."""
    build = Path(os.environ.get("MXMIRAGE_BUILD", ROOT / "build"))
    files = sorted(build.glob("mxmirage_*_*.deb"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise LabError(f"{build}: there is no package; make it by `cmake --build {build} --target package`")
    return files[-1]


def dependencies(package: Path) -> list[str]:
    """The first alternative of each, without versions."""
    field = _run("dpkg-deb", "--field", package, "Depends")
    return [re.split(r"[ (|]", entry.strip())[0] for entry in field.split(",")]


def machine_root(package: Path) -> Path:
    """Where it is; makes it first, which takes a minute and needs the network."""
    packages = sorted({*PACKAGES, *dependencies(package)})
    key = hashlib.sha256(" ".join((SUITE, *packages)).encode()).hexdigest()[:12]
    directory = ROOT / "build-machine"
    directory.mkdir(exist_ok=True)
    root = directory / key
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _make(root, packages)
    return root


def _make(root: Path, packages: list[str]) -> None:
    half = root.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    for old in sorted(root.parent.glob("?" * len(root.name)), key=lambda path: path.stat().st_mtime)[:-KEEP]:
        shutil.rmtree(old)
    _run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}",
         # None of them is to be found at work but when a test asks for it.
         "--customize-hook=chroot \"$1\" systemctl disable --quiet nftables.service firewalld.service ufw.service",
         SUITE, half, MIRROR)
    half.rename(root)


def _run(*argv: object) -> str:
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout
