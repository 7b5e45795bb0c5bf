#!/usr/bin/env python3
"""What a flood of escapes costs, with the escape queue and without: how many packets a second the guard stops, and
how long a diverted connection waits for its banner meanwhile. Prints a table; changes nothing outside its own
network namespaces.

    flood.py [SECONDS]
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

import zones  # noqa: E402 (found by the line above)
from lab import HOST, SOURCES_V4  # noqa: E402
from world import World  # noqa: E402

FLOODER = HERE.parents[1] / "build" / "tests" / "bench" / "bench-flood"
TARGET = sorted(address for address in zones.domain_addresses("gmail.com") if ":" not in address)[0]
# 0: as many as it can.
FLOODS = ((None, 0), ("raw", 300_000), ("raw", 0), ("packet", 300_000), ("packet", 0))
NOTRACK = "table inet foreign {{ chain c {{ type filter hook output priority raw; ip saddr {} tcp dport 25 notrack; }}; }}"
# Holds our queue's and log group's number (struct nfgenmsg and a BIND command each), as another program would.
HOLD_NUMBER = """
import socket, struct, time
netfilter = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
for kind, command in ((3 << 8 | 2, struct.pack("=HHBBH", 8, 1, 1, 0, 0)), (4 << 8 | 1, struct.pack("=HHBxxx", 5, 1, 1))):
    body = struct.pack(">BBH", 0, 0, 2525) + command
    netfilter.send(struct.pack("=IHHII", 16 + len(body), kind, 5, 1, 0) + body)
    print(netfilter.recv(4096)[16:20].hex(), flush=True)
time.sleep(600)
"""


def banner_times(lab, seconds: float) -> list[float]:
    """Seconds from connect to banner, one connection after the other, from a source that is not the flooder's."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        with lab.socket(HOST, SOURCES_V4[1]) as client:
            client.settimeout(10)
            client.bind((SOURCES_V4[1], 0))
            client.connect((TARGET, 25))
            client.recv(512)
        times.append(time.monotonic() - begin)
        time.sleep(0.002)
    return sorted(times)


def stopped(world: World) -> int:
    firewall = world.mxmirage.status()["firewall"]
    return sum(firewall[key]["packets"] for key in ("rejected_output", "dropped_postrouting", "dropped_egress"))


def measure(world: World, kind: str | None, rate: int, seconds: float) -> tuple[float, float, list[float]]:
    """Packets sent and stopped a second, and the banner's times."""
    before = stopped(world)
    flooder = None
    if kind:
        flooder = world.lab.start(HOST, FLOODER, kind, SOURCES_V4[0], TARGET, device(world), str(seconds + 1), str(rate),
                                  stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
    times = banner_times(world.lab, seconds)
    if not flooder:
        return 0, 0, times
    sent, lasted, _ = flooder.communicate(timeout=30)[0].split()
    return int(sent) / float(lasted), (stopped(world) - before) / float(lasted), times


def device(world: World) -> str:
    line = world.lab.run(HOST, "ip", "-o", "route", "get", TARGET).stdout.split()
    return line[line.index("dev") + 1]


def show(name: str, result: tuple[float, float, list[float]]) -> None:
    sent, stops, times = result
    print(f"{name:42} {sent:10,.0f} {stops:10,.0f} {statistics.median(times) * 1000:8.2f} "
          f"{times[int(len(times) * 0.99)] * 1000:8.2f} {len(times):6}", flush=True)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'':42} {'sent/s':>10} {'stopped/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'conns':>6}")
    with World(with_postfix=False) as world:
        world.lab.run(HOST, "nft", NOTRACK.format(SOURCES_V4[0]))
        for escape_queue in (True, False):
            if not escape_queue:
                # Somebody else listens under our number: the warden goes without.
                world.mxmirage.stop()
                holder = world.lab.start(HOST, sys.executable, "-c", HOLD_NUMBER, stdout=subprocess.PIPE, text=True)
                holder.stdout.readline(), holder.stdout.readline()
                world.mxmirage.start()
            state = world.mxmirage.status()["guard"]["escape_queue"]
            for kind, rate in FLOODS:
                show(f"{state:10}  {kind or 'no'} flood{f' of {rate:,}/s' if rate else ''}",
                     measure(world, kind, rate, seconds))
            if escape_queue:
                status = world.mxmirage.status()
                print("  shown:", {(row["path"], row["process"]): row["packets"] for row in status["escapes"]},
                      "lost:", status["guard"]["escapes_lost"])
        print("left the host:", world.oracle.seen())


if __name__ == "__main__":
    main()
