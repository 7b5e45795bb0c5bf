"""The sinks that the bench compares, each pinned to a CPU, in the network namespace of a place."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

SINK_CPU, CLIENT_CPU = 0, 1
LOOPBACK = "127.0.0.1"
MX = "198.51.100.27"  # RFC 5737: of nobody
STARTS_WITHIN = 10.0  # seconds
STOPS_WITHIN = 10.0


class Void(Exception):
    """A run that says nothing: something refused, failed or was lost."""


class Place:
    """The network namespace that the bench runs in."""

    prefix: list[str] = []

    def pinned(self, cpu: int, *command) -> list[str]:
        return [*self.prefix, "taskset", "-c", str(cpu), *map(str, command)]


class Host(Place):
    """A network namespace of its own with a way to anywhere, so that a connection to port 25 can be diverted."""

    def __enter__(self) -> "Host":
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.prefix = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.process.pid}/ns/net") == ours:
            time.sleep(0.01)
        for command in ("link set lo up", "link add out type veth peer name wire", "address add 192.0.2.1/24 dev out",
                        "link set out up", "link set wire up", "route add default dev out"):
            subprocess.run([*self.prefix, "ip", *command.split()], check=True)
        return self

    def __exit__(self, *_) -> None:
        stop(self.process)


def await_greeting(port: int, process: subprocess.Popen, name: str) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
                if connection.recv(512).startswith(b"220"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise Void(f"{name}: no greeting on port {port} within {STARTS_WITHIN:.0f} s; exit status {process.poll()}")


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Sink:
    """A process that takes mail at an address and port."""

    place = Place()
    address = LOOPBACK
    name: str
    port: int
    pid: int
    refuses_at_most = 0.0  # of the messages
    tolerance: list[str] = []  # options by which the client goes on when it does

    def command(self) -> list:
        raise NotImplementedError

    def __enter__(self):
        self.process = subprocess.Popen(self.place.pinned(SINK_CPU, *self.command()), stderr=subprocess.DEVNULL)
        try:
            await_greeting(self.port, self.process, self.name)
        except BaseException:
            stop(self.process)
            raise
        self.pid = self.process.pid
        return self

    def __exit__(self, *_) -> None:
        stop(self.process)

    def accepted(self) -> int | None:
        """How many messages it says that it accepted; None where it keeps no such count."""
        return None


class Raw(Sink):
    """What the kernel alone takes: reads and throws away. No sink that copies can be cheaper."""

    name = "raw"
    binary = "bench-raw"

    def __init__(self, size: int, port: int) -> None:
        self.size, self.port = size, port

    def command(self) -> list:
        return [self.binary, self.port, self.size]


class SmtpSink(Sink):
    """Postfix's: one process; it would hold 256 connections and drop the idle unless told otherwise."""

    def __init__(self, name: str = "smtp-sink", port: int = 2525) -> None:
        self.name, self.port = name, port

    def command(self) -> list:
        return [shutil.which("smtp-sink") or "/usr/sbin/smtp-sink", "-u", "nobody", "-m", "20000", "-t", "3600",
                f"{self.address}:{self.port}", "4096"]


# Everything that smart mode does for a message, with odds and limits that let it through: all profiles loaded,
# the recipient's provider found, an outcome drawn, rate and size held against limits. One message in 10,000 is
# refused; the client counts these and goes on.
REFUSED = 0.0001
SMART = f"""[provider."bench"]
domains = ["example.com"]
bounce = {REFUSED}
max_message_rate = "1000000000/s"
max_message_size = 1000000000
"""


class Mxmirage(Sink):
    """The responder alone is measured: it is the warden's only child."""

    binary = "mxmirage"

    def __init__(self, name: str = "sink mode", port: int = 4025, smart: bool = False,
                 host: Host | None = None) -> None:
        self.name, self.port, self.diverts = name, port, host is not None
        self.listens = port
        if host:
            self.place, self.address, self.port = host, MX, 25
        self.answer = 'mode = "smart"\n' + SMART if smart else 'mode = "sink"\n'
        if smart:
            self.refuses_at_most, self.tolerance = 5 * REFUSED, ["--keep-going"]

    def __enter__(self) -> "Mxmirage":
        self.directory = tempfile.TemporaryDirectory(prefix="mxmirage-bench-")
        where = Path(self.directory.name)
        where.chmod(0o755)
        self.conf = where / "mxmirage.toml"
        self.conf.write_text(f'[listen]\nports = "{self.listens}"\nworkers = 1\n'
                             f'[admin]\nsocket = "{where}/control.sock"\n'
                             f'[counts]\nfile = "{where}/counts"\n'
                             f'[answer]\n{self.answer}')
        self.log = open(where / "log", "w+")
        more = [] if self.diverts else ["--no-divert"]
        self.process = subprocess.Popen(
            self.place.pinned(SINK_CPU, self.binary, "run", *more, "-c", self.conf), stderr=self.log)
        try:
            self.await_ready()
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            self.pid, = map(int, children.read_text().split())
        except BaseException as failure:
            self.__exit__()
            if isinstance(failure, Void):
                raise Void(f"{failure}\n{self.said}") from None
            raise
        return self

    def await_ready(self) -> None:
        if not self.diverts:
            await_greeting(self.port, self.process, self.name)
            return
        deadline = time.monotonic() + STARTS_WITHIN
        while not (self.status() or {"guard": {"armed": False}})["guard"]["armed"]:
            if time.monotonic() > deadline:
                raise Void(f"{self.name}: not armed within {STARTS_WITHIN:.0f} s")
            time.sleep(0.05)

    def __exit__(self, *_) -> None:
        stop(self.process)
        self.log.seek(0)
        self.said = self.log.read()
        self.log.close()
        self.directory.cleanup()

    def status(self) -> dict | None:
        done = subprocess.run([self.binary, "status", "--json", "-c", str(self.conf)], capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def accepted(self) -> int:
        return self.status()["messages"]["accepted"]
