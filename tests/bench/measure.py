"""One run: a load is put on a sink by `mxmirage gen`, and what it took of the sink's CPU is read."""

import json
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

from sinks import CLIENT_CPU, LOOPBACK, Mxmirage, Sink, Void

COMMON = ["--concurrency", "20", "--threads", "1", "--domain", "example.com", "--domain-suffix", ""]
SOURCES = 16  # loopback addresses to connect from: one has ports for some 28,000 connections to one target
TICKS = os.sysconf("SC_CLK_TCK")

# us: CPU time of the sink a message; rate: messages a second; sink, client: of their CPUs, in use; foreign: of both
Result = dict


def busy() -> float:
    """CPU seconds that all CPUs together were at work, for whomever."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def busy_now(seconds: float = 1.0) -> float:
    """The share of all CPUs that is in use while the bench does nothing."""
    before, started = busy(), time.monotonic()
    time.sleep(seconds)
    return (busy() - before) / (time.monotonic() - started) / (os.cpu_count() or 1)


def cpu_of(pid: int) -> float:
    """CPU seconds of all threads of a process."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def children() -> float:
    """CPU seconds of the programs that were run and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_message(path: Path, size: int) -> None:
    """A whole message of exactly so many octets, in lines of 78 at most, none of which begins with a dot."""
    text = bytearray(b"Subject: load\r\n\r\n")
    left = size - len(text)
    while left:
        line = min(left, 78)
        line -= left - line == 1  # a lone octet could not hold a CRLF
        text += b"x" * (line - 2) + b"\r\n"
        left -= line
    path.write_bytes(text)


class Load:
    """Puts the same load on every sink."""

    def __init__(self, binary: str, directory: Path) -> None:
        self.binary, self.directory = binary, directory

    def message(self, size: int) -> Path:
        path = self.directory / f"{size}.eml"
        if not path.exists():
            write_message(path, size)
        return path

    def command(self, sink: Sink, size: int, options: list[str], seconds: float) -> list[str]:
        sources = [f"127.0.0.{2 + i}" for i in range(SOURCES)] if sink.address == LOOPBACK else []
        return sink.place.pinned(
            CLIENT_CPU, self.binary, "gen", "--json", "--target", f"{sink.address}:{sink.port}", *COMMON,
            *(word for source in sources for word in ("--source", source)), "--body-file", self.message(size),
            *options, *sink.tolerance, "--duration", seconds, "--warm-up", seconds / 4, "--cpu-of", sink.pid)

    def run(self, sink: Sink, size: int, options: list[str], seconds: float) -> Result:
        """Void unless the sink accepted and counted everything that was sent, but for what it is to refuse."""
        command = self.command(sink, size, options, seconds)
        before, started, all_before = sink.accepted(), time.monotonic(), busy() - cpu_of(sink.pid) - children()
        done = subprocess.run(command, capture_output=True, text=True)
        foreign = busy() - cpu_of(sink.pid) - children() - all_before
        elapsed = time.monotonic() - started
        if done.returncode:
            raise Void(f"{sink.name}: {done.stderr.strip()}: {' '.join(map(str, command))}")
        told = json.loads(done.stdout)
        took, refused = told["measured"], told["failed"]
        if told["broken_connections"] or refused > sink.refuses_at_most * told["sent"]:
            raise Void(f"{sink.name}: {refused} messages refused, {told['broken_connections']} connections broken: "
                       f"{told['failures'][:1]}: {' '.join(map(str, command))}")
        if not took["messages"]:
            raise Void(f"{sink.name}: not one message in {seconds:g} s: {' '.join(map(str, command))}")
        if before is not None and "--connect-only" not in options and sink.accepted() - before != told["sent"]:
            raise Void(f"{sink.name}: counted {sink.accepted() - before} messages, the client {told['sent']}")
        return {"us": took["cpu_of_s"] * 1e6 / took["messages"], "rate": took["messages"] / took["seconds"],
                "sink": took["cpu_of_s"] / took["seconds"], "client": took["cpu_s"] / took["seconds"],
                "foreign": max(0.0, foreign) / elapsed / (os.cpu_count() or 1), "idle_memory": took["idle_memory"]}


def source(sink: Sink, connections: int, size: int, messages: int) -> Result:
    """The same by Postfix's smtp-source, which keeps its connections; it does not pipeline."""
    program = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
    command = sink.place.pinned(CLIENT_CPU, program, "-d", "-s", connections, "-m", messages, "-l", size,
                                "-f", "load@example.org", "-t", "load@example.com", f"inet:{sink.address}:{sink.port}")
    before, started, cpu, client, all_before = sink.accepted(), time.monotonic(), cpu_of(sink.pid), children(), busy()
    done = subprocess.run(command, capture_output=True, text=True)
    elapsed, cpu, client = time.monotonic() - started, cpu_of(sink.pid) - cpu, children() - client
    foreign = busy() - all_before - cpu - client
    if done.returncode:
        raise Void(f"{sink.name}: {' '.join(map(str, command))}: {done.stderr.strip()}")
    if isinstance(sink, Mxmirage) and sink.accepted() - before != messages:
        raise Void(f"{sink.name}: counted {sink.accepted() - before} messages of smtp-source's {messages}")
    return {"us": cpu * 1e6 / messages, "rate": messages / elapsed, "sink": cpu / elapsed, "client": client / elapsed,
            "foreign": max(0.0, foreign) / elapsed / (os.cpu_count() or 1)}
