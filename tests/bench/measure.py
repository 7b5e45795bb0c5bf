"""One run: a load is put on a sink, and what it took of the sink's CPU is read."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from sinks import CLIENT_CPU, Mxmirage, Sink, Void

LOAD = "bench-load"
TICKS = os.sysconf("SC_CLK_TCK")

Result = dict  # us: CPU time of the sink a message; rate: messages a second; client: of its CPU; foreign: of both


def busy() -> float:
    """CPU seconds that all CPUs together were at work, for whomever."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def cpu_of(pid: int) -> float:
    """CPU seconds of all threads of a process."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def load(sink: Sink, options: list[str], seconds: float) -> Result:
    """One run of the load generator; Void unless the sink took and counted everything."""
    before, started, busy_before, sink_before = sink.accepted(), time.monotonic(), busy(), cpu_of(sink.pid)
    command = sink.place.pinned(CLIENT_CPU, LOAD, *options, "--seconds", seconds, "--warm-up", seconds / 4,
                                "--sink", sink.pid, sink.address, sink.port)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Void(f"{sink.name}: {' '.join(command)}: {done.stderr.strip()}")
    foreign, sink_after, elapsed = busy() - busy_before, cpu_of(sink.pid), time.monotonic() - started
    result = json.loads(done.stdout)
    if not result["messages"]:
        raise Void(f"{sink.name}: {' '.join(command)}: not one message in {seconds:g} s")
    result["us"] = result["sink_cpu_ns"] / 1e3 / result["messages"]
    result["rate"] = result["messages"] / result["seconds"]
    result["client"] = result["client_cpu_s"] / result["seconds"]
    # The client's CPU time is known for the measured stretch alone; at most it was busy all the while.
    client = max(result["client"], 0.0) * elapsed
    result["foreign"] = max(0.0, foreign - (sink_after - sink_before) - client) / elapsed / (os.cpu_count() or 1)
    if before is not None and "--quit" not in options:
        # The last message of a connection may be counted without its reply having been read.
        counted, read = sink.accepted() - before, result["messages_in_all"]
        if not read <= counted <= read + result["connections"]:
            raise Void(f"{sink.name}: counted {counted} messages, the client {read}")
    return result


def source(sink: Sink, connections: int, size: int, messages: int) -> Result:
    """The same by Postfix's smtp-source, which keeps its connections; it does not pipeline."""
    program = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
    command = sink.place.pinned(CLIENT_CPU, program, "-d", "-s", connections, "-m", messages, "-l", size,
                                "-f", "load@example.org", "-t", "load@example.com", f"inet:{sink.address}:{sink.port}")
    before, started, cpu = sink.accepted(), time.monotonic(), cpu_of(sink.pid)
    done = subprocess.run(command, capture_output=True, text=True)
    elapsed, cpu = time.monotonic() - started, cpu_of(sink.pid) - cpu
    if done.returncode:
        raise Void(f"{sink.name}: {' '.join(command)}: {done.stderr.strip()}")
    if isinstance(sink, Mxmirage) and sink.accepted() - before != messages:
        raise Void(f"{sink.name}: counted {sink.accepted() - before} messages of smtp-source's {messages}")
    return {"us": cpu * 1e6 / messages, "rate": messages / elapsed, "foreign": 0.0}
