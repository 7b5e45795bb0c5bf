"""A guest under qemu, without KVM: started, asked to run commands, cut off from power, set back to a snapshot.

It has two network devices, each the other end of a tap device whose descriptor the caller made, in whatever
network namespace that may live: the wire ends there, outside the guest. qemu itself needs no privilege.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from guest_image import Image

# Its processors take turns in one thread. Each in its own, as by default, qemu 7.2 may run a translation of code that
# the kernel has patched meanwhile: the guest dies of an "Oops: int3", or passes by a netfilter hook that is new.
ACCELERATOR = "tcg,thread=single"
MEMORY = "768M"
BOOT_SECONDS = 600
PANIC = "Kernel panic"
KERNEL_COMMAND_LINE = ("root=/dev/vda rw console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off "
                       "random.trust_cpu=on systemd.show_status=0")
MACS = ("52:54:00:00:25:01", "52:54:00:00:25:02")


class GuestError(Exception):
    """The guest does not work: a run in it proves nothing."""


class Silent(GuestError):
    """Its agent does not answer."""


class Guest:
    """`directory` is for its files: the disk that is written, the sockets, the console's log."""

    def __init__(self, image: Image, directory: Path, taps: tuple[int, int]) -> None:
        self._image = image
        self._taps = taps
        self._disk = directory / "disk.qcow2"  # over the image, which is never written
        self._agent_path = directory / "agent.sock"
        self._monitor_path = directory / "monitor.sock"
        self.console = directory / "console.log"
        self.probe_log = directory / "probe.log"  # what a guest's process writes to its port "probe"
        self._process: subprocess.Popen | None = None
        self._agent: socket.socket | None = None
        self._requests = 0
        self._monitor: socket.socket | None = None
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.disk), str(self._disk))

    @property
    def running(self) -> bool:
        return self._process is not None

    def power_on(self, snapshot: str = "") -> None:
        """From the disk, or as a snapshot was. Returns once the agent answers: early in a boot, before the network."""
        devices = [part for n, (tap, mac) in enumerate(zip(self._taps, MACS, strict=True))
                   for part in ("-netdev", f"tap,id=net{n},fd={tap}",
                                "-device", f"virtio-net-pci,netdev=net{n},mac={mac},romfile=")]
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-M", "q35", "-accel", ACCELERATOR,
             "-cpu", "max,-cx16", "-smp", "2", "-m", MEMORY, "-nodefaults", "-display", "none", "-no-user-config",
             "-kernel", str(self._image.vmlinuz), "-initrd", str(self._image.initrd), "-append", KERNEL_COMMAND_LINE,
             "-drive", f"file={self._disk},if=virtio,cache=unsafe", "-device", "virtio-rng-pci",
             "-serial", f"file:{self.console}", "-qmp", f"unix:{self._monitor_path},server=on,wait=off",
             "-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={self._agent_path},server=on,wait=off",
             "-device", "virtserialport,chardev=agent,name=campaign",
             "-chardev", f"file,id=probe,path={self.probe_log},append=on",
             "-device", "virtserialport,chardev=probe,name=probe", *devices, *(("-loadvm", snapshot) if snapshot else ())],
            pass_fds=self._taps, stdin=subprocess.DEVNULL, start_new_session=True)
        self._monitor = self._connect(self._monitor_path)
        _read_line(self._monitor, 10)  # the greeting
        self._ask("qmp_capabilities")
        self._agent = self._connect(self._agent_path)
        self.wait_for_agent()

    def wait_for_agent(self, not_boot: str = "") -> None:
        """The request waits in the port until an agent reads it. After a reboot, `not_boot` is boot_id() from before.

        An agent that a shutdown kills may have read a request, or half of it, and never answers: it is asked again.
        """
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            try:
                if self.boot_id(seconds=20, grace=0) != not_boot:
                    return
                if time.monotonic() > deadline:
                    raise GuestError(f"the guest did not boot anew within {BOOT_SECONDS} s")
            except (Silent, ValueError):
                if time.monotonic() > deadline:
                    raise
                self._reconnect()
            time.sleep(0.5)

    def boot_id(self, seconds: float = 180, grace: float = 60) -> str:
        return self.run("cat", "/proc/sys/kernel/random/boot_id", seconds=seconds, grace=grace)[1].strip()

    def run(self, *argv: str, stdin: bytes = b"", seconds: float = 180, grace: float = 60) -> tuple[int, str, str]:
        """Exit status, standard output and error. Status 124 when it took longer than `seconds` there; Silent when
        there was no answer `grace` seconds later."""
        self._requests += 1
        request = {"id": self._requests, "argv": list(map(str, argv)), "input": len(stdin), "seconds": seconds}
        self._agent.settimeout(seconds + grace)
        self._agent.sendall(json.dumps(request).encode() + b"\n" + stdin)
        while True:
            try:
                answer = json.loads(_read_line(self._agent, seconds + grace, self._fail_if_dead))
            except TimeoutError as error:
                said = self.console.read_text(errors="replace")[-3000:]
                raise Silent(f"the guest's agent did not answer within {seconds + grace:g} s to "
                             f"{' '.join(map(str, argv))}; its console:\n{said}\n{self._registers()}") from error
            out = _read(self._agent, answer["stdout"])
            err = _read(self._agent, answer["stderr"])
            if answer["id"] == self._requests:  # not of a request that was given up
                return answer["status"], out.decode(errors="replace"), err.decode(errors="replace")

    def _fail_if_dead(self) -> None:
        said = self.console.read_text(errors="replace")
        if PANIC in said:
            oops = said.find("Oops")
            raise GuestError(f"the guest's kernel died; its console:\n{said[oops if oops >= 0 else -3000:][:3000]}")

    def _registers(self) -> str:
        """Where its processors are."""
        said = self._ask("human-monitor-command", **{"command-line": "info registers -a"})
        return "\n".join(line for line in said.splitlines() if line.startswith(("CPU#", "RIP=", "RAX=")))

    def save(self, name: str) -> None:
        """A snapshot of memory and disk."""
        self._human(f"savevm {name}")

    def load(self, name: str) -> None:
        self._human(f"loadvm {name}")
        self._reconnect()
        self.wait_for_agent()

    def reset(self) -> None:
        """As by the button: nothing is written, and the machine starts anew."""
        self._ask("system_reset")
        self._reconnect()

    def off(self) -> None:
        for channel in (self._agent, self._monitor):
            if channel:
                channel.close()
        self._agent = self._monitor = None
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait_off(self, seconds: float) -> None:
        """Until qemu has ended by itself, after a shutdown in the guest."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise GuestError(f"the guest did not shut down within {seconds:g} s") from error
        self.off()

    def _reconnect(self) -> None:
        """A new connection: what was under way on the old one is forgotten."""
        self._agent.close()
        self._agent = self._connect(self._agent_path)

    def _connect(self, path: Path) -> socket.socket:
        deadline = time.monotonic() + 10
        while True:
            channel = socket.socket(socket.AF_UNIX)
            try:
                channel.connect(str(path))
                return channel
            except OSError as error:
                channel.close()
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise GuestError(f"{path.name}: {error} (qemu's exit status {self._process.poll()})") from error
                time.sleep(0.05)

    def _ask(self, command: str, **arguments: object) -> object:
        self._monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(_read_line(self._monitor, 120))
            if "error" in answer:
                raise GuestError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def _human(self, line: str) -> None:
        said = self._ask("human-monitor-command", **{"command-line": line})
        if said:
            raise GuestError(f"{line}: {said.strip()}")


def _read(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        got = channel.recv(min(65536, size - len(data)))
        if not got:
            raise GuestError("qemu closed a channel")
        data += got
    return data


def _read_line(channel: socket.socket, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> bytes:
    """`meanwhile` is called now and then while nothing comes."""
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        channel.settimeout(min(2.0, max(0.01, deadline - time.monotonic())))
        try:
            line += _read(channel, 1)
        except TimeoutError:
            meanwhile()
            if time.monotonic() >= deadline:
                raise
    channel.settimeout(seconds)
    return line


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GuestError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()}")
