"""The lab with a guest as its host: LAN and internet are namespaces as ever, and their devices towards the host are
tap devices, whose other end is the guest's. So the oracle counts outside the kernel under test.

One guest runs at a time, of one kernel at a time; switch() changes it. What runs in HOST runs in that guest, where
the tests' programs have the same path as here.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import lab
import zones
from guest import MACS, Guest
from guest_image import CACHE, ROOT, Kernel, build
from lab import HOST, INET, LAN, Lab, LabError, wait_until

BIN = "/usr/local/bin"
PROBE_SECONDS = 1800  # no run takes longer
V4_PEER = min(a for a in zones.domain_addresses("gmail.com") if ":" not in a)
V6_PEER = min(a for a in zones.domain_addresses("gmail.com") if ":" in a)
PROBE_KINDS = {"connect4": "v4", "marked": "v4", "bound": "v4", "raw": "v4", "packet4": "v4",
               "connect6": "v6", "packet6": "v6"}

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000

_LINK = "[Match]\nMACAddress={mac}\n[Link]\nName={name}\n"
_NETWORK = ("[Match]\nName={name}\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n{gateways}"
            "{addresses}")
# From the first moment that systemd can start anything until the machine is off.
_PROBE_UNIT = f"""\
[Unit]
Description=Tries to send to port 25
DefaultDependencies=no

[Service]
ExecStart=@{BIN}/guest-probe @guest-probe 1000 0 {','.join(PROBE_KINDS)} {V4_PEER} {V6_PEER}
StandardOutput=file:/run/guest-probe.json
KillMode=none
Restart=no

[Install]
WantedBy=sysinit.target
"""
# The host's own mail server.
_DOORS_UNIT = f"""\
[Service]
ExecStart=/usr/bin/python3 {ROOT}/tests/lab/doors.py 25

[Install]
WantedBy=multi-user.target
"""
# What a careless administrator's script might do.
_FLUSHER_UNIT = f"[Service]\nExecStart=/bin/sh {BIN}/flusher\n"
_FLUSHER = """\
while :; do
\tnft flush ruleset
\tnft delete table inet mxmirage
\tnft flush table netdev mxmirage
\tnft delete table netdev mxmirage
\tnft delete table bridge mxmirage
\tsleep 0.01
done 2>/dev/null
"""


def _network(name: str, addresses: list[str], gateways: list[str]) -> str:
    return _NETWORK.format(
        name=name, gateways="".join(f"Gateway={g}\n" for g in gateways),
        addresses="".join(f"[Address]\nAddress={a}/{'64' if ':' in a else '25'}\nDuplicateAddressDetection=none\n"
                          for a in addresses))


def overlay() -> dict[str, bytes]:
    """What makes a plain Debian the lab's host."""
    files = {
        "etc/systemd/network/10-wan.link": _LINK.format(mac=MACS[0], name="wan"),
        "etc/systemd/network/10-lan.link": _LINK.format(mac=MACS[1], name="lan"),
        "etc/systemd/network/wan.network": _network("wan", [*lab.SOURCES_V4, *lab.SOURCES_V6],
                                                    ["192.0.2.1", "2001:db8:0:1::1"]),
        "etc/systemd/network/lan.network": _network("lan", [lab.LAN_GATEWAY_V4, lab.LAN_GATEWAY_V6], []),
        "etc/resolv.conf": f"nameserver {zones.NAME_SERVER}\n",
        # The tests' programs have the same path as here, be it below /tmp: a boot must not clear it.
        "etc/tmpfiles.d/tmp.conf": "d /tmp 1777 root root -\n",
        "etc/hostname": "qa\n", "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 qa\n",
        "etc/systemd/system/guest-probe.service": _PROBE_UNIT,
        "etc/systemd/system/doors.service": _DOORS_UNIT,
        "etc/systemd/system/flusher.service": _FLUSHER_UNIT,
        f"{BIN.lstrip('/')}/flusher": _FLUSHER,
    }
    return {path: text.encode() for path, text in files.items()}


def compile_probe() -> Path:
    source, program = Path(__file__).with_name("guest_probe.c"), CACHE / "guest-probe"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        CACHE.mkdir(exist_ok=True)
        making = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-static", "-o", making, source], check=True)
        making.rename(program)
    return program


class GuestLab(Lab):
    """Context manager, as Lab is. `payload` is copied into every guest: path to file or directory of ours; then
    `prepare` is called, before the snapshot is taken that switch() goes back to."""

    def __init__(self, kernels: tuple[Kernel, ...], packages: tuple[str, ...], prepare: Callable[[GuestLab], None],
                 payload: dict[str, Path]) -> None:
        super().__init__()
        self._prepare = prepare
        self._images = {kernel.name: build(kernel, packages, overlay()) for kernel in kernels}
        self._payload = _tar(payload | {f"{BIN}/guest-probe": compile_probe(), str(ROOT / "tests/lab"): ROOT / "tests/lab",
                                        str(ROOT / "tests/leak"): ROOT / "tests/leak"})
        self._guests: dict[str, Guest] = {}
        self._taps: tuple[int, int] | None = None
        self.kernel = ""

    def _build(self) -> None:
        lab._sweep()
        self.resolv_conf.write_text(f"nameserver {zones.NAME_SERVER}\n")
        for space in (INET, LAN):
            lab._ip("netns", "add", self.name(space))
            self._spaces.append(space)
        self._taps = (self._tap(INET), self._tap(LAN))
        for space in (INET, LAN):
            lab._ip("-n", self.name(space), "-batch", "-", stdin="\n".join(lab.LINKS[space]) + "\n")
        for name, image in self._images.items():
            directory = self.directory / name
            directory.mkdir()
            guest = self._guests[name] = Guest(image, directory, self._taps)
            guest.power_on()
            self.kernel = name
            self.run(HOST, "tar", "-xz", "-C", "/", "-f", "-", stdin=self._payload)
            self.wait_for_boot()
            self._prepare(self)
            guest.save("ready")
            guest.off()

    def close(self) -> None:
        for guest in self._guests.values():
            guest.off()
        super().close()
        for tap in self._taps or ():
            os.close(tap)
        self._taps = None

    @property
    def guest(self) -> Guest:
        return self._guests[self.kernel]

    def switch(self, kernel: str) -> None:
        """To a guest of this kernel as it was when it had just booted: with the program's files, without rules."""
        if self.guest.running and kernel == self.kernel:
            self.guest.load("ready")
            return
        self.guest.off()
        self.kernel = kernel
        self.guest.power_on(snapshot="ready")

    def wait_for_network(self, seconds: float = 180) -> None:
        script = f"ip -4 route show default; ip -6 route show default; ip -6 -o address show dev lan to {lab.LAN_GATEWAY_V6}"
        wait_until(lambda: len(self.shell(script, check=False).splitlines()) == 3, seconds,
                   "the guest's network to be configured")

    def wait_for_boot(self, seconds: float = 300) -> None:
        """Until everything that is to start at boot has started or failed."""
        wait_until(lambda: self.shell("systemctl is-system-running", check=False).strip() in ("running", "degraded"),
                   seconds, "the guest's boot to end")
        self.wait_for_network()

    def run(self, space: str, *argv: str, check: bool = True, timeout: float = 180,
            stdin: str | bytes | None = None) -> subprocess.CompletedProcess:
        if space != HOST:
            return super().run(space, *argv, check=check, timeout=timeout, stdin=stdin)
        words = ["python3" if word == sys.executable else str(word) for word in argv]
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        done = subprocess.CompletedProcess(words, *self.guest.run(*words, stdin=given, seconds=timeout))
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(words)}: exit {done.returncode} in the guest: "
                           f"{done.stderr.strip() or done.stdout.strip()}")
        return done

    def shell(self, script: str, check: bool = True, timeout: float = 180) -> str:
        """Runs a script in the guest; what it printed."""
        return self.run(HOST, "sh", "-c", script, check=check, timeout=timeout).stdout

    def start_probes(self, kinds: tuple[str, ...] = tuple(PROBE_KINDS), rate: int = 1000) -> None:
        self.shell(f"rm -f /run/probe.json; {BIN}/guest-probe {rate} {PROBE_SECONDS} {','.join(kinds)} {V4_PEER} {V6_PEER} "
                   ">/run/probe.json 2>&1 & echo $! >/run/probe.pid")

    def stop_probes(self) -> dict:
        """What became of them: {"sent", "failed", "connected"}, by kind each."""
        said = self.shell("kill $(cat /run/probe.pid); for n in $(seq 100); do test -s /run/probe.json && break; "
                          "sleep 0.1; done; cat /run/probe.json")
        try:
            return json.loads(said)
        except ValueError as error:
            raise LabError(f"the probe said {said!r}") from error

    def command(self, space: str, *argv: str) -> list[str]:
        if space == HOST:
            raise LabError("a process of the guest's is not started from here")
        return super().command(space, *argv)

    def _tap(self, space: str) -> int:
        """A tap device "host" in a namespace, which lives as long as its descriptor."""
        with self.inside(space):
            tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", b"host", _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
        return tap


def _tar(payload: dict[str, Path]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for target, source in payload.items():
            tar.add(source, target.lstrip("/"), filter=lambda m: None if "__pycache__" in m.name else m)
    return packed.getvalue()
