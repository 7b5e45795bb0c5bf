"""Builds the disk of a guest: Debian 12 with one of its stock kernels, what the program under test links, and
the agent that runs commands. Everything is kept in build-guest/, keyed by what it was made of, so that a second
campaign starts at once. Only Debian's own archive is asked, through apt.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from machine_root import apt_proxy

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build-guest"
MIRROR = "http://deb.debian.org/debian"
SOURCES = (f"deb {MIRROR} bookworm main", "deb http://deb.debian.org/debian-security bookworm-security main")
BACKPORTS = f"deb {MIRROR} bookworm-backports main"

# The cloud flavour is the stock kernel without drivers for real hardware; every netfilter module is in it.
PACKAGES = ("systemd-sysv", "udev", "kmod", "iproute2", "nftables", "python3", "procps", "initramfs-tools",
            "netbase", "libsubunit0", "iptables")
DISK = "2G"

# What the first seconds of a boot need; everything else is loaded from the disk.
INITRAMFS = {"modules": "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n", "conf.d/guest": "MODULES=list\nCOMPRESS=gzip\n"}

AGENT_UNIT = """\
[Unit]
Description=Runs the campaign's commands
DefaultDependencies=no
After=systemd-udevd.service systemd-tmpfiles-setup-dev.service local-fs.target
Before=sysinit.target
Conflicts=umount.target

[Service]
ExecStart=/usr/bin/python3 -u /usr/local/lib/guest_agent.py
Restart=always
RestartSec=200ms
KillMode=process
OOMScoreAdjust=-1000

[Install]
WantedBy=sysinit.target
"""


class ImageError(Exception):
    """The image could not be made: the guest stage cannot run."""


@dataclass(frozen=True)
class Kernel:
    name: str  # as people say it
    package: str  # as apt is asked for it
    backports: bool
    persist: bool  # whether it knows NFT_TABLE_F_PERSIST


KERNELS = (
    Kernel("6.1", "linux-image-cloud-amd64", False, False),
    Kernel("6.12", "linux-image-cloud-amd64/bookworm-backports", True, True),
)


@dataclass(frozen=True)
class Image:
    """A read-only disk, and what boots it."""
    disk: Path
    vmlinuz: Path
    initrd: Path


def build(kernel: Kernel, libraries: tuple[str, ...], overlay: dict[str, bytes]) -> Image:
    """`libraries` are Debian packages to be installed beside ours; `overlay` is put over the file system,
    path to content, programs (in a bin or sbin directory) executable. Takes minutes the first time, no time
    the next."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(kernel, (*PACKAGES, *libraries), overlay)


def _build(kernel: Kernel, packages: tuple[str, ...], overlay: dict[str, bytes]) -> Image:
    root = CACHE / f"root-{kernel.name}-{_key(kernel.package, packages, INITRAMFS)}"
    if not root.exists():
        _bootstrap(kernel, packages, root)
    files = overlay | {"etc/systemd/system/guest-agent.service": AGENT_UNIT.encode(),
                       "usr/local/lib/guest_agent.py": Path(__file__).with_name("guest_agent.py").read_bytes()}
    disk = CACHE / f"disk-{kernel.name}-{_key(root.name, {k: v.hex() for k, v in files.items()})}.ext4"
    if not disk.exists():
        _make_disk(root, files, disk)
    boot = root / "boot"
    return Image(disk, next(boot.glob("vmlinuz-*")), next(boot.glob("initrd.img-*")))


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _bootstrap(kernel: Kernel, packages: tuple[str, ...], root: Path) -> None:
    for old in CACHE.glob(f"*-{kernel.name}-*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    making = root.with_name(root.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    seeds = "".join(f"mkdir -p \"$1/etc/initramfs-tools/{Path(name).parent}\"; "
                    f"printf {json.dumps(text)} >\"$1/etc/initramfs-tools/{name}\"; "
                    for name, text in INITRAMFS.items())
    _run("mmdebstrap", "--mode=root", "--variant=apt", "--quiet", "--aptopt=Acquire::Languages \"none\"",
         "--aptopt=APT::Install-Recommends \"false\"", "--dpkgopt=path-exclude=/usr/share/doc/*",
         "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
         f"--include={','.join((*packages, kernel.package))}", f"--essential-hook={seeds}", *apt_proxy(),
         "bookworm", str(making), *SOURCES, *((BACKPORTS,) if kernel.backports else ()), seconds=900)
    making.rename(root)


def _make_disk(root: Path, files: dict[str, bytes], disk: Path) -> None:
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o755 if target.parent.name in ("bin", "sbin") else 0o644)
    _run("systemctl", f"--root={root}", "--quiet", "enable", "systemd-networkd.service", "guest-agent.service", seconds=60)
    making = disk.with_name(disk.name + ".making")
    making.unlink(missing_ok=True)
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(making), DISK, seconds=300)
    making.rename(disk)


def _run(*argv: str, seconds: float) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        raise ImageError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
