"""A host, a LAN and a small internet in network namespaces, and every process that runs in them.

    lan ---- 192.0.2.128/25, 2001:db8:0:2::/64 ---- host ---- 192.0.2.0/25, 2001:db8:0:1::/64 ---- inet

`lan` sends what is not its own through `host`, as a container does.

`inet` accepts connections to any address of the documentation ranges, whatever the MX. Nothing is
made in the machine's own namespace, and nothing is left anywhere once the lab is closed: processes,
namespaces and the temporary directory go, also after a failure, SIGINT, SIGTERM or the loss of the terminal.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import zones

HOST, INET, LAN = "host", "inet", "lan"

SOURCES_V4 = ("192.0.2.11", "192.0.2.12", "192.0.2.13")
SOURCES_V6 = ("2001:db8:0:1::11", "2001:db8:0:1::12", "2001:db8:0:1::13")
LAN_GATEWAY_V4 = "192.0.2.129"
LAN_GATEWAY_V6 = "2001:db8:0:2::129"

# The lines of `ip -batch`, a namespace each. wan and lan are the host's devices, host is the others'.
LINKS = {
    HOST: [
        *(f"address add {a}/25 dev wan" for a in SOURCES_V4),
        *(f"address add {a}/64 dev wan nodad" for a in SOURCES_V6),
        f"address add {LAN_GATEWAY_V4}/25 dev lan",
        f"address add {LAN_GATEWAY_V6}/64 dev lan nodad",
        "link set lo up",
        "link set wan up",
        "link set lan up",
        "route add default via 192.0.2.1",
        "route add default via 2001:db8:0:1::1",
    ],
    INET: [
        "address add 192.0.2.1/25 dev host",
        "address add 2001:db8:0:1::1/64 dev host nodad",
        "link set lo up",
        "link set host up",
        # Every address of these is this namespace's own: an MX needs no interface.
        "route add local 198.51.100.0/24 dev lo",
        "route add local 203.0.113.0/24 dev lo",
        "route add local 2001:db8:100::/40 dev lo",
    ],
    LAN: [
        *(f"address add {a}/{'64' if ':' in a else '25'} dev host{' nodad' * (':' in a)}"
          for a in zones.LAN_ADDRESSES),
        f"address add {zones.BRANCH_ADDRESS}/25 dev host",
        "link set lo up",
        "link set host up",
        f"route add default via {LAN_GATEWAY_V4}",
        f"route add default via {LAN_GATEWAY_V6}",
    ],
}

# A process of the lab follows its lab, even when that is killed.
_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
# `ip netns exec` gives the command a mount namespace of its own: what is mounted there ends with it.
_WITH_RESOLVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


_NAME = re.compile(r"mxm-(?P<pid>\d+)-(?:host|inet|lan)")


class LabError(Exception):
    """The lab itself does not work: a run in it proves nothing."""


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Polls until condition() is true. Raises LabError naming `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.05)


class Lab:
    """Context manager. `directory` is the lab's own, readable by all users, gone on exit."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise LabError("the lab makes network namespaces: run it as root")
        if not Path("/etc/resolv.conf").exists():
            raise LabError("/etc/resolv.conf: missing, and the lab mounts its own over it: make an empty one")
        self.directory = Path(tempfile.mkdtemp(prefix="mxm-lab-"))
        self.directory.chmod(0o755)
        self.resolv_conf = self.directory / "resolv.conf"
        self._processes: list[subprocess.Popen] = []
        self._spaces: list[str] = []
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Lab:
        atexit.register(self.close)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                self._previous[number] = signal.signal(number, lambda received, _: sys.exit(128 + received))
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def name(self, space: str) -> str:
        """The namespace's name for `ip netns`."""
        return f"mxm-{os.getpid()}-{space}"

    def _build(self) -> None:
        _sweep()
        self.resolv_conf.write_text(f"nameserver {zones.NAME_SERVER}\noptions timeout:2 attempts:3\n")
        for space in LINKS:
            _ip("netns", "add", self.name(space))
            self._spaces.append(space)
        # The host's hardware addresses end in TCP's protocol number: seen at a fixed offset, ARP looks like TCP then.
        _ip("-n", self.name(HOST), "link", "add", "wan", "address", "02:00:00:00:01:06", "type", "veth",
            "peer", "name", "host", "netns", self.name(INET))
        _ip("-n", self.name(HOST), "link", "add", "lan", "address", "02:00:00:00:02:06", "type", "veth",
            "peer", "name", "host", "netns", self.name(LAN))
        for space, lines in LINKS.items():
            _ip("-n", self.name(space), "-batch", "-", stdin="\n".join(lines) + "\n")

    def command(self, space: str, *argv: str) -> list[str]:
        """argv as it must be started to run in a namespace, with the lab's name server."""
        return ["ip", "netns", "exec", self.name(space), "sh", "-c", _WITH_RESOLVER,
                str(self.resolv_conf), *map(str, argv)]

    def run(self, space: str, *argv: str, check: bool = True, timeout: float = 60,
            stdin: str | None = None) -> subprocess.CompletedProcess:
        """Runs to the end. With check, a failure raises LabError with what the command said."""
        done = subprocess.run(self.command(space, *argv), input=stdin, text=True, timeout=timeout,
                              capture_output=True, start_new_session=True)
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}: "
                           f"{done.stderr.strip() or done.stdout.strip()}")
        return done

    def start(self, space: str, *argv: str, log: Path | None = None, **options: object) -> subprocess.Popen:
        """Starts a process that close() ends at the latest. Its pid is the command's own. What it prints
        is added to the file `log`."""
        with (log.open("ab") if log else nullcontext()) as to:
            if to:
                options |= {"stdout": to, "stderr": subprocess.STDOUT}
            process = subprocess.Popen([*_WITH_PARENT, *self.command(space, *argv)], stdin=subprocess.DEVNULL,
                                       start_new_session=True, **options)
        self._processes.append(process)
        return process

    def adopt(self, process: subprocess.Popen) -> None:
        """A process that was started otherwise, and is to end with the lab."""
        self._processes.append(process)

    def start_python(self, space: str, program: str, *argv: str, **options: object) -> subprocess.Popen:
        """Starts one of the programs beside this file."""
        return self.start(space, sys.executable, str(Path(__file__).with_name(program)), *argv, **options)

    @contextmanager
    def inside(self, space: str) -> Iterator[None]:
        """The calling thread is in a namespace for as long as the body takes; what it opens there stays there."""
        with open("/proc/thread-self/ns/net", "rb") as own, open(f"/run/netns/{self.name(space)}", "rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def socket(self, space: str, address: str) -> socket.socket:
        """A TCP socket that lives in a namespace, for an address of this family: it stays there whoever uses it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside(space):
            return socket.socket(family, socket.SOCK_STREAM)

    def stop(self, process: subprocess.Popen, seconds: float = 30) -> int:
        """SIGTERM, then SIGKILL. Returns the exit status."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode

    def close(self) -> None:
        """Fine to call twice."""
        for process in reversed(self._processes):
            self.stop(process, 3)
        for space in self._spaces:
            self._kill_space(space)
            subprocess.run(["ip", "netns", "delete", self.name(space)], check=False)
        self._processes.clear()
        self._spaces.clear()
        shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.close)
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _kill_space(self, space: str) -> None:
        """Ends what processes of ours left behind: a namespace with a process in it does not go away."""
        for _ in range(20):
            pids = subprocess.run(["ip", "netns", "pids", self.name(space)],
                                  capture_output=True, text=True, check=False).stdout.split()
            if not pids:
                return
            for pid in pids:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)


_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def _enter(namespace: int) -> None:
    """The calling thread alone moves."""
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")


def _sweep() -> None:
    """Removes empty namespaces of a lab whose process was killed before it could."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        match = _NAME.fullmatch(name)
        if not match or Path("/proc", match["pid"]).exists():
            continue
        with suppress(LabError):  # another lab that begins now may be faster
            if not _ip("netns", "pids", name):
                _ip("netns", "delete", name)


def _ip(*argv: str, stdin: str | None = None) -> str:
    done = subprocess.run(["ip", *argv], input=stdin, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
