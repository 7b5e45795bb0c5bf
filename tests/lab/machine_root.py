"""The root directory of a machine: a Debian 12 with what the package under test depends on, and the firewall
managers that it has to live with. Made once by mmdebstrap, for each list of packages, in the build directory."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import LabError

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / "build-machine"
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# systemd with what it needs to boot, the firewall managers, and the tools of the tests.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "nftables", "iptables", "firewalld", "ufw", "iproute2", "procps",
            "python3-minimal", "passwd")
# Of earlier lists of packages, this many stay.
KEEP = 2


def build_directory() -> Path:
    return Path(os.environ.get("MXMIRAGE_BUILD", ROOT / "build"))


@functools.cache
def package_file() -> Path:
    """The package under test, made anew where it is older than what goes into it."""
    build = build_directory()
    with _lock():
        package = _newest(build)
        sources = (build / "mxmirage", *(ROOT / "systemd").iterdir(), *(ROOT / "packaging").iterdir())
        if not package or any(path.stat().st_mtime > package.stat().st_mtime for path in sources):
            _run("cmake", "--build", build, "--target", "package")
            package = _newest(build)
    return package


def _newest(build: Path) -> Path | None:
    return max(build.glob("mxmirage_*_*.deb"), key=lambda path: path.stat().st_mtime, default=None)


@contextmanager
def _lock() -> Iterator[None]:
    """One process at a time makes what all use."""
    DIRECTORY.mkdir(exist_ok=True)
    with (DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def dependencies(package: Path) -> list[str]:
    """The first alternative of each, without versions."""
    field = _run("dpkg-deb", "--field", package, "Depends")
    return [re.split(r"[ (|]", entry.strip())[0] for entry in field.split(",")]


def machine_root(package: Path) -> Path:
    """Where it is; makes it first, which takes a minute and needs the network."""
    packages = sorted({*PACKAGES, *dependencies(package)})
    key = hashlib.sha256(" ".join((SUITE, *packages)).encode()).hexdigest()[:12]
    root = DIRECTORY / key
    with _lock():
        if not root.exists():
            _make(root, packages)
    return root


def _make(root: Path, packages: list[str]) -> None:
    half = root.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    for old in sorted(root.parent.glob("?" * len(root.name)), key=lambda path: path.stat().st_mtime)[:-KEEP]:
        shutil.rmtree(old)
    _run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", *apt_proxy(),
         # None of them is to be found at work but when a test asks for it.
         "--customize-hook=chroot \"$1\" systemctl disable --quiet nftables.service firewalld.service ufw.service",
         SUITE, half, MIRROR)
    half.rename(root)


def apt_proxy() -> list[str]:
    """For mmdebstrap, whose apt reads nothing of this host's configuration: the proxy by which packages come here."""
    proxy = _run("apt-config", "dump", "--no-empty", "--format", "%v", "Acquire::http::Proxy").strip()
    return [f'--aptopt=Acquire::http::Proxy "{proxy}"'] if proxy else []


def _run(*argv: object) -> str:
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout
