"""The sinks that the bench compares and the load that it puts on them, each pinned to a CPU."""

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
ADDRESS = "127.0.0.1"
STARTS_WITHIN = 10.0  # seconds
STOPS_WITHIN = 10.0


class Void(Exception):
    """A run that says nothing: something refused, failed or was lost."""


def pinned(cpu: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(cpu), *command]


def await_greeting(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((ADDRESS, port), timeout=1) as connection:
                if connection.recv(512).startswith(b"220"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise Void(f"{process.args[3]}: no greeting on port {port} within {STARTS_WITHIN:.0f} s; "
               f"exit status {process.poll()}")


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Raw:
    """What the kernel alone takes: reads and throws away. No sink can be cheaper."""

    name = "raw"
    port = 2526
    binary = "bench-raw"

    def __init__(self, size: str) -> None:
        self.size = size

    def __enter__(self) -> "Raw":
        self.process = subprocess.Popen(pinned(SINK_CPU, [self.binary, str(self.port), self.size]))
        try:
            await_greeting(self.port, self.process)
        except BaseException:
            stop(self.process)
            raise
        self.pid = self.process.pid
        return self

    def __exit__(self, *_) -> None:
        stop(self.process)

    def accepted(self) -> None:
        return None


class SmtpSink:
    """Postfix's: one process; it would hold 256 connections and drop the idle unless told otherwise."""

    name = "smtp-sink"
    port = 2525

    def __enter__(self) -> "SmtpSink":
        command = [shutil.which("smtp-sink") or "/usr/sbin/smtp-sink", "-u", "nobody", "-m", "20000",
                   "-t", "3600", f"{ADDRESS}:{self.port}", "4096"]
        self.process = subprocess.Popen(pinned(SINK_CPU, command), stderr=subprocess.DEVNULL)
        try:
            await_greeting(self.port, self.process)
        except BaseException:
            stop(self.process)
            raise
        self.pid = self.process.pid
        return self

    def __exit__(self, *_) -> None:
        stop(self.process)

    def accepted(self) -> None:
        """smtp-sink keeps no counts that could be asked for."""
        return None


# Everything that smart mode does for a message, with odds and limits that let it through: all profiles loaded,
# the recipient's provider found, an outcome drawn, rate and size held against limits. With this seed the first
# six million outcomes of the bench's one sender and recipient are acceptances.
SMART = """seed = 439
[provider."bench"]
domains = ["example.com"]
bounce = 0.0001
max_message_rate = "1000000000/s"
max_message_size = 1000000000
"""


class Mxmirage:
    """The responder alone is measured: it is the warden's only child."""

    binary = "mxmirage"

    def __init__(self, smart: bool = False) -> None:
        self.name = "smart mode" if smart else "mxmirage"
        self.port = 4026 if smart else 4025
        self.answer = 'mode = "smart"\n' + SMART if smart else 'mode = "sink"\n'

    def __enter__(self) -> "Mxmirage":
        self.directory = tempfile.TemporaryDirectory(prefix="mxmirage-bench-")
        where = Path(self.directory.name)
        where.chmod(0o755)
        self.conf = where / "mxmirage.toml"
        self.conf.write_text(f'[listen]\nports = "{self.port}"\nworkers = 1\n'
                             f'[admin]\nsocket = "{where}/control.sock"\n'
                             f'[counts]\nfile = "{where}/counts"\n'
                             f'[answer]\n{self.answer}')
        self.log = open(where / "log", "w+")
        self.process = subprocess.Popen(
            pinned(SINK_CPU, [self.binary, "run", "--no-divert", "-c", str(self.conf)]),
            stderr=self.log)
        try:
            await_greeting(self.port, self.process)
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            self.pid, = map(int, children.read_text().split())
        except BaseException as failure:
            self.__exit__()
            if isinstance(failure, Void):
                raise Void(f"{failure}\n{self.said}") from None
            raise
        return self

    def __exit__(self, *_) -> None:
        stop(self.process)
        self.log.seek(0)
        self.said = self.log.read()
        self.log.close()
        self.directory.cleanup()

    def accepted(self) -> int:
        """What it counted itself."""
        status = subprocess.run([self.binary, "status", "--json", "-c", str(self.conf)],
                                check=True, capture_output=True, text=True).stdout
        return json.loads(status)["messages"]["accepted"]


def load(binary: str, sink, options: list[str], seconds: float) -> dict:
    """One run of the load generator; Void unless the sink took and counted everything."""
    before = sink.accepted()
    command = pinned(CLIENT_CPU, [binary, *options, "--seconds", str(seconds),
                                  "--warm-up", str(seconds / 4), "--sink", str(sink.pid),
                                  ADDRESS, str(sink.port)])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Void(f"{sink.name}: {' '.join(command)}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    if not result["messages"]:
        raise Void(f"{sink.name}: {' '.join(command)}: not one message in {seconds:g} s")
    result["us"] = result["sink_cpu_ns"] / 1e3 / result["messages"]
    result["rate"] = result["messages"] / result["seconds"]
    result["client"] = result["client_cpu_s"] / result["seconds"]
    result["busy"] = result["sink_cpu_ns"] / 1e9 / result["seconds"]
    if before is not None:
        # The last message of a connection may be counted without its reply having been read.
        counted, read = sink.accepted() - before, result["messages_in_all"]
        if not read <= counted <= read + result["connections"]:
            raise Void(f"{sink.name}: counted {counted} messages, the client {read}")
    return result
